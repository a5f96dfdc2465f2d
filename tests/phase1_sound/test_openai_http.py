"""The engine against a real server on this machine that checks the body and misbehaves in every way we know."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import EngineError, PictureError, SceneError, UsageError
from flows.cli import app
from phase1_sound.vision import VISION_ENGINES
from phase1_sound.vision.answers import Frame
from phase1_sound.vision.engines.openai_http import OpenAIHttpVision, http_options
from phase1_sound.vision.prompt import PromptOptions, example
from phase1_sound.vision.protocol import VisionRequest

SIZE = (840, 560)
SCENE = example(PromptOptions(), Frame(*SIZE))
KEY = "sk-secret-4711"

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next behaviour; the last one stays."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), json.loads(body)))
        behaviours = self.server.behaviours
        (behaviours.pop(0) if len(behaviours) > 1 else behaviours[0])(self)

    def send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behaviours: list[Behaviour]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours, self.seen = behaviours, []  # type: ignore[var-annotated]
        self.released = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that has had enough


@dataclass
class Asked:
    """A server with an engine that asks it."""

    server: Server
    engine: OpenAIHttpVision
    slept: list[float] = field(default_factory=list)

    @property
    def bodies(self) -> list[Any]:
        return [body for _, _, body in self.server.seen]


@contextmanager
def serving(*behaviours: Behaviour, options: str = "", key: str = "") -> Iterator[Asked]:
    server = Server(list(behaviours))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    slept: list[float] = []
    address = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield Asked(server, OpenAIHttpVision(f"{address}?model=qwen{options}", key, sleep=slept.append), slept)
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def said(content: object, reason: str = "stop") -> Behaviour:
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    message = {"role": "assistant", "content": text}
    value = {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }
    return lambda handler: handler.send(200, json.dumps(value).encode())


def status(code: int, body: bytes = b'{"error": {"message": "busy"}}', **headers: str) -> Behaviour:
    return lambda handler: handler.send(code, body, **headers)


@pytest.fixture
def picture(tmp_path: Path) -> VisionRequest:
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (834, 570), (40, 120, 200)).save(path)
    return VisionRequest(path)


def test_a_scene_comes_back(picture: VisionRequest) -> None:
    with serving(said(SCENE)) as asked:
        scene = asked.engine.describe(picture)
    assert [source.name for source in scene.sound_sources] == ["wooden boat", "iron chain", "wind"]
    assert scene.sound_sources[0].box == [0.1, 0.45, 0.6, 0.95]
    assert scene.sound_sources[2].box is None
    assert asked.slept == []


def test_the_body_is_the_one_that_all_servers_take(picture: VisionRequest) -> None:
    with serving(said(SCENE), options="&temperature=0.25&seed=5&max_tokens=900", key=f" {KEY}\n") as asked:
        asked.engine.describe(picture)
    ((path, headers, body),) = asked.server.seen
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert set(body) == {"model", "messages", "max_tokens", "temperature", "seed", "stream", "response_format"}
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("qwen", 900, 0.25, 5)
    assert body["stream"] is False
    form = body["response_format"]
    assert form["type"] == "json_schema"
    assert (form["json_schema"]["name"], form["json_schema"]["strict"]) == ("scene", True)
    jsonschema.validate(SCENE, form["json_schema"]["schema"])
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_the_picture_is_sent_in_whole_blocks(picture: VisionRequest) -> None:
    with serving(said(SCENE)) as asked:
        asked.engine.describe(picture)
    image_part, text_part = asked.bodies[0]["messages"][1]["content"]
    assert image_part["type"] == "image_url"
    head, _, data = image_part["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as sent:
        assert (sent.format, sent.mode, sent.size) == ("JPEG", "RGB", SIZE)
        assert sent.getpixel((400, 300)) == pytest.approx((40, 120, 200), abs=3)
    assert "840 x 560 pixels" in text_part["text"]


def test_without_a_key_none_is_sent_and_the_environment_stays_out(
    picture: VisionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PHOTONE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(said(SCENE)) as asked:
        asked.engine.describe(picture)
    assert "Authorization" not in asked.server.seen[0][1]


def test_the_key_is_written_nowhere(picture: VisionRequest) -> None:
    with serving(status(401), key=KEY) as asked, pytest.raises(EngineError, match="refuses the key") as caught:
        asked.engine.describe(picture)
    told = f"{asked.engine.info} {asked.engine.options!r} {caught.value} {asked.engine._server!r}"
    assert KEY not in told
    assert caught.value.retryable is False


def test_no_schema_is_sent_where_it_is_not_wanted(picture: VisionRequest) -> None:
    with serving(said(f"```json\n{json.dumps(SCENE)}\n```"), options="&schema=no&without=boxes") as asked:
        scene = asked.engine.describe(picture)
    assert "response_format" not in asked.bodies[0]
    assert all(source.box is None for source in scene.sound_sources)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_after_longer_and_longer_waits(picture: VisionRequest, code: int) -> None:
    with serving(status(code), status(code), said(SCENE)) as asked:
        asked.engine.describe(picture)
    assert asked.slept == [1.0, 2.0]
    assert asked.bodies[0] == asked.bodies[2]


def test_the_servers_own_wish_to_wait_is_kept(picture: VisionRequest) -> None:
    with serving(status(429, Retry_After="7"), status(503, Retry_After="soon"), said(SCENE)) as asked:
        asked.engine.describe(picture)
    assert asked.slept == [7.0, 2.0]


def test_a_date_to_wait_for_is_understood(picture: VisionRequest) -> None:
    with serving(status(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), said(SCENE)) as asked:
        asked.engine.describe(picture)
    assert asked.slept == [0.0]


def test_a_wait_that_is_too_long_is_an_error(picture: VisionRequest) -> None:
    with (
        serving(status(429, Retry_After="3600")) as asked,
        pytest.raises(EngineError, match="try again in 3600 s") as caught,
    ):
        asked.engine.describe(picture)
    assert caught.value.retryable
    assert asked.slept == []


def test_a_server_that_stays_broken_is_an_error(picture: VisionRequest) -> None:
    with (
        serving(status(500, b"<h1>Internal   error</h1>"), options="&retries=2") as asked,
        pytest.raises(EngineError, match=r"status 500 \(<h1>Internal error</h1>\), 3 times asked") as caught,
    ):
        asked.engine.describe(picture)
    assert caught.value.retryable
    assert len(asked.bodies) == 3
    assert "\n" not in str(caught.value)


def slow(handler: Handler) -> None:
    handler.server.released.wait(20)


def trickling(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**10))
    handler.end_headers()
    while not handler.server.released.is_set():
        handler.wfile.write(b" " * 1_000_000)


def hanging_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


def half(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


@pytest.mark.parametrize("behaviour", [slow, trickling])
def test_a_slow_server_is_given_up_in_time(picture: VisionRequest, behaviour: Behaviour) -> None:
    with (
        serving(behaviour, options="&timeout_s=0.3&retries=1") as asked,
        pytest.raises(EngineError, match=r"no (whole )?answer within 0.3 s, 2 times asked") as caught,
    ):
        asked.engine.describe(picture)
    assert caught.value.retryable


@pytest.mark.parametrize("behaviour", [hanging_up, half])
def test_a_broken_connection_is_tried_again(picture: VisionRequest, behaviour: Behaviour) -> None:
    with serving(behaviour, said(SCENE)) as asked:
        asked.engine.describe(picture)
    assert asked.slept == [1.0]
    with (
        serving(behaviour, options="&retries=0") as asked,
        pytest.raises(EngineError, match="the connection failed"),
    ):
        asked.engine.describe(picture)


def test_an_endless_answer_is_cut(picture: VisionRequest) -> None:
    with serving(endless) as asked, pytest.raises(EngineError, match="answers more than 4 MB"):
        asked.engine.describe(picture)


def test_nobody_there_is_a_clear_error(picture: VisionRequest) -> None:
    with serving(said(SCENE), options="&retries=0") as asked:
        pass
    with pytest.raises(
        EngineError, match=r"/v1/chat/completions: the connection failed .*is the server running"
    ) as caught:
        asked.engine.describe(picture)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (lambda h: h.send(200, b"<!DOCTYPE html><h1>Welcome</h1>", "text/html"), "no JSON but text/html .*Welcome"),
        (lambda h: h.send(200, b""), r"no JSON .*nothing more"),
        (lambda h: h.send(200, b"[" * 100_000), "no JSON"),
        (lambda h: h.send(200, b'{"choices": ['), "no JSON"),
        (lambda h: h.send(200, b"[]"), "no chat completion"),
        (lambda h: h.send(200, b'{"error": "out of memory"}'), "no chat completion .*out of memory"),
        (lambda h: h.send(200, b'{"choices": []}'), "no chat completion"),
        (lambda h: h.send(200, b'{"choices": [{"message": null}]}'), "no chat completion"),
        (status(404, b'{"error": "model not found"}'), "model not found.*ends in /v1"),
        (status(400, b'{"error": "response_format"}'), "status 400 .*response_format.*schema=no"),
        (status(302, b"", Location="http://127.0.0.1:9/"), "status 302"),
    ],
)
def test_what_is_no_chat_completion_is_a_clear_error(
    picture: VisionRequest, behaviour: Behaviour, message: str
) -> None:
    with serving(behaviour) as asked, pytest.raises(EngineError, match=message) as caught:
        asked.engine.describe(picture)
    assert caught.value.retryable is False
    assert len(asked.bodies) == 1
    assert len(str(caught.value)) < 500


def test_a_cut_off_answer_gets_more_room(picture: VisionRequest) -> None:
    with serving(said(json.dumps(SCENE)[:200], "length"), said(SCENE)) as asked:
        asked.engine.describe(picture)
    assert [body["max_tokens"] for body in asked.bodies] == [2048, 4096]
    assert len(asked.bodies[1]["messages"]) == 2


def test_a_wrong_scene_is_asked_for_again_with_the_findings(picture: VisionRequest) -> None:
    wrong = {**SCENE, "sound_sources": SCENE["sound_sources"][:1]}
    with serving(said("not JSON"), said(wrong), said(SCENE)) as asked:
        asked.engine.describe(picture)
    roles = [message["role"] for message in asked.bodies[2]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    complaints = [message["content"] for message in asked.bodies[2]["messages"][3::2]]
    assert "not one JSON object" in complaints[0]
    assert "2 variants in all: at least 5" in complaints[1]


@pytest.mark.parametrize("content", ["not JSON", "{}", None, "", {**SCENE, "extra": 1}, "I cannot help with that."])
def test_answers_that_stay_wrong_are_a_scene_error(picture: VisionRequest, content: object) -> None:
    with serving(said(content)) as asked, pytest.raises(SceneError, match=r"picture\.jpg: 3 answers were no scene"):
        asked.engine.describe(picture)
    assert len(asked.bodies) == 3


def test_an_answer_in_parts_is_read(picture: VisionRequest) -> None:
    text = json.dumps(SCENE)
    parts = [{"type": "text", "text": text[:99]}, {"type": "image"}, {"type": "text", "text": text[99:]}]
    body = json.dumps({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}).encode()
    with serving(lambda handler: handler.send(200, body)) as asked:
        assert asked.engine.describe(picture).mood_description == "Calm and a little lonely."


ANY_JSON = st.recursive(
    st.none() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | ANY_JSON)
def test_fuzzed_answers_are_scene_errors(tmp_path: Path, content: object) -> None:
    path = tmp_path / "picture.jpg"
    if not path.exists():
        Image.new("RGB", (60, 60)).save(path)
    with serving(said(content)) as asked, pytest.raises(SceneError):
        asked.engine.describe(VisionRequest(path))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0broken"])
def test_a_broken_picture_is_never_sent(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with serving(said(SCENE)) as asked, pytest.raises(PictureError):
        asked.engine.describe(VisionRequest(path))
    assert asked.bodies == []


def test_what_decides_the_answer_is_recorded_and_nothing_else() -> None:
    one = OpenAIHttpVision("http://localhost:1/v1?model=a").info.options
    assert one == OpenAIHttpVision("http://localhost:1/v1?model=a&timeout_s=5&retries=9", KEY).info.options
    for other in (
        "model=b",
        "model=a&schema=no",
        "model=a&temperature=1",
        "model=a&without=example",
        "model=a&boxes=off",
    ):
        assert one != OpenAIHttpVision(f"http://localhost:1/v1?{other}").info.options
    assert (one["base_url"], one["model"], one["prompt"]) == ("http://localhost:1/v1", "a", "1")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("localhost:8000?model=a", "is no server's address"),
        ("ftp://host/v1?model=a", "is no server's address"),
        ("http://me:secret@host/v1?model=a", "is no server's address"),
        ("http://[?model=a", "is no server's address"),
        ("http://host/v1", "no model named"),
        ("http://host/v1?model=a&retries=many", "retries=many: Input should be a valid integer"),
        ("http://host/v1?model=a&key=abc", "cannot read 'key=abc'"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        http_options(argument)


def test_a_key_with_odd_characters_is_refused() -> None:
    with pytest.raises(UsageError, match="the key in PHOTONE_API_KEY holds characters that no key has") as caught:
        http_options("http://host/v1?model=a", "ключ")
    assert "ключ" not in str(caught.value)


def test_the_table_makes_the_engine_and_hands_it_the_key() -> None:
    engine = VISION_ENGINES.load("openai-http:http://host/v1?model=a/b", key=KEY)
    assert (engine.options.model, engine.options.key) == ("a/b", KEY)
    assert VISION_ENGINES.entries["openai-http"].key_variable == "PHOTONE_API_KEY"
    with pytest.raises(UsageError, match="needs a server's address"):
        VISION_ENGINES.load("openai-http")


def test_the_command_line_takes_the_key_from_the_environment(
    picture: VisionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTONE_API_KEY", KEY)
    with serving(said(SCENE)) as asked:
        address = f"http://127.0.0.1:{asked.server.server_port}/v1"
        spec = f"openai-http:{address}?model=qwen"
        done = CliRunner().invoke(app, ["describe", str(picture.picture), "--vision", spec], catch_exceptions=False)
    assert json.loads(done.stdout)["mood_description"] == "Calm and a little lonely."
    assert asked.server.seen[0][1]["Authorization"] == f"Bearer {KEY}"
