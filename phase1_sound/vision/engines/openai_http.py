"""Any server that speaks OpenAI's chat completions: vLLM, SGLang, Ollama, llama.cpp, hosted services.

One body serves them all: the picture as a base64 `data:` URL, the scene's schema as a nested `response_format`. What
comes back is checked on our side in any case, because some servers ignore what they do not know.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from PIL import Image
from pydantic import Field

from core.engines import EngineInfo, read_options
from core.errors import UsageError
from phase1_sound.vision.answers import answer_schema
from phase1_sound.vision.asking import AskingOptions, Question, Reply, ask
from phase1_sound.vision.chat_server import ChatServer
from phase1_sound.vision.pictures import load_rgb
from phase1_sound.vision.prompt import conversation
from phase1_sound.vision.protocol import VisionRequest
from schemas.scene import Scene

KEY_VARIABLE = "PHOTONE_API_KEY"
_GRID = 28  # Qwen2.5-VL sees blocks of 28 x 28 pixels: a picture of whole blocks is not scaled again on the server
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class HttpOptions(AskingOptions):
    """Which server and model are asked, and how patiently.

    `timeout_s` bounds one whole answer, `connect_s` the way there. A server that is busy or broken is asked `retries`
    times more, after 1, 2, 4 ... seconds or what it asks for, unless that is more than `most_wait_s`. `schema=no` leaves
    `response_format` out, for servers that refuse it.
    """

    base_url: str = ""
    model: str = ""
    key: str = field(default="", repr=False)
    schema: bool = True
    timeout_s: Annotated[float, Field(gt=0.0, le=86400.0)] = 300.0
    connect_s: Annotated[float, Field(gt=0.0, le=600.0)] = 10.0
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    most_wait_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_server(self.base_url):
            raise UsageError(
                f"openai-http: {self.base_url!r} is no server's address: "
                "write openai-http:http://HOST:PORT/v1?model=NAME (a key goes into the environment)"
            )
        if not self.model:
            raise UsageError(f"openai-http: no model named: write openai-http:{self.base_url}?model=NAME")
        if not (self.key.isascii() and self.key.isprintable()):
            raise UsageError(f"openai-http: the key in {KEY_VARIABLE} holds characters that no key has: copy it again")


def _is_server(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and (parts.port != 0)
    except ValueError:
        return False


class OpenAIHttpVision:
    """Asks a server for the scene. The picture leaves this machine if the server is not on it.

    `key` is sent to that server as a bearer token; it is written nowhere.

    Raises:
        UsageError: the address or an option cannot be read.
    """

    def __init__(self, argument: str | HttpOptions, key: str = "", sleep: Callable[[float], None] = time.sleep) -> None:
        options = argument if isinstance(argument, HttpOptions) else http_options(argument, key)
        self.options = options
        self._server = ChatServer(
            endpoint=options.base_url.rstrip("/") + "/chat/completions",
            key=options.key,
            timeout_s=options.timeout_s,
            connect_s=options.connect_s,
            retries=options.retries,
            most_wait_s=options.most_wait_s,
            sleep=sleep,
        )
        recorded = {"base_url": options.base_url, "model": options.model, "schema": options.schema}
        self.info = EngineInfo(name="openai-http", version="1", options=recorded | options.recorded())

    def describe(self, request: VisionRequest) -> Scene:
        """Describe one picture.

        Raises:
            PictureError: the picture cannot be read.
            SceneError: the model's answers were no scene.
            EngineError: the server cannot be reached, refuses, or answers something that is no chat completion.
        """
        image = whole_blocks(Image.fromarray(load_rgb(request.picture)))
        url = _data_url(image)

        def answer(questions: Sequence[Question]) -> list[Reply]:
            return [self._server.complete(request_body(self.options, question, url)) for question in questions]

        (scene,) = ask([request], [self.options.frame(*image.size)], answer, self.options)
        if isinstance(scene, Scene):
            return scene
        raise scene


def http_options(argument: str, key: str = "") -> HttpOptions:
    """Read "http://HOST:PORT/v1?model=NAME&timeout_s=60".

    Raises:
        UsageError: it cannot be read so.
    """
    return read_options(argument, HttpOptions, "base_url", "openai-http", key=key.strip())


def request_body(options: HttpOptions, question: Question, url: str) -> dict[str, Any]:
    """The JSON body of a request: the same for every server."""
    picture = {"type": "image_url", "image_url": {"url": url}}
    body: dict[str, Any] = {
        "model": options.model,
        "messages": conversation(options.prompt, question.frame, picture, question.turns),
        "max_tokens": question.max_tokens,
        "temperature": options.temperature,
        "seed": options.seed,
        "stream": False,
    }
    if options.schema:
        schema = answer_schema(options.shape, question.frame, "evidence" not in options.prompt.without)
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "scene", "strict": True, "schema": schema},
        }
    return body


def whole_blocks(image: Image.Image) -> Image.Image:
    """The picture scaled to whole blocks of 28 x 28 pixels, at least two each way."""
    size = tuple(_GRID * max(2, round(side / _GRID)) for side in image.size)
    return image if size == image.size else image.resize((size[0], size[1]), Image.Resampling.BICUBIC)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
