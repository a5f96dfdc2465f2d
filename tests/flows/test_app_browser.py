"""The served app in a real browser, against a real `photone up`: from a picture that is dropped to two songs compared."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from served import CHROMIUM, Up, small_picture, small_score

from core.audio import SAMPLE_RATE
from flows.service.player import player_app

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists() and not os.environ.get("CI"), reason="needs chromium")

EVIL = "<img src=x onerror=document.title='owned'>"

# Whatever goes to the loudspeakers also goes to an analyser that a test can read.
LISTEN = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    window.tap ??= new AnalyserNode(this.context, { fftSize: 32768 });
    connect.call(this, window.tap);
  }
  return connect.call(this, to, ...rest);
};
window.heard = () => {
  const block = new Float32Array(32768);
  window.tap?.getFloatTimeDomainData(block);
  let out = '';
  const bytes = new Uint8Array(block.buffer);
  for (let at = 0; at < bytes.length; at += 32768) out += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(out);
};
"""
DROP = """([name, type, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, { type }));
  for (const kind of ['dragenter', 'dragover', 'drop'])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
}"""


class Visit:
    """A browser's window on the app, and what it did that it should not."""

    def __init__(self, browser: Browser, home: str, width: int = 1280, height: int = 900, **options: Any) -> None:
        self.home = home
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.context.add_init_script(LISTEN)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.expected: set[int] = set()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _said(self, message: Any) -> None:
        # A refusal that a test asks for is told on the console by the browser itself.
        if message.type != "log" and not any(f"status of {status}" in message.text for status in self.expected):
            self.problems.append(message.text)

    def open(self, path: str = "/") -> Page:
        self.page.goto("about:blank")
        self.page.goto(self.home + path)
        self.page.wait_for_selector(".card, .empty, .source-card")
        return self.page

    def drop(self, path: Path, kind: str) -> None:
        """Drop a file of this machine onto the page."""
        self.page.evaluate(DROP, [path.name, kind, base64.b64encode(path.read_bytes()).decode()])

    def job_ended(self, limit_s: float = 120.0) -> str | None:
        """Wait for the end of the newest job on the page; gives its state."""
        panel = self.page.locator(".job").first
        panel.wait_for()
        end = time.monotonic() + limit_s
        while (state := panel.get_attribute("data-state")) in ("waiting", "running", "cancelling"):
            assert time.monotonic() < end, panel.inner_text()
            self.page.wait_for_timeout(100)
        return state

    def job_done(self) -> dict[str, str]:
        """Wait for the newest job on the page; gives what became of its stages."""
        state, panel = self.job_ended(), self.page.locator(".job").first
        assert state == "done", panel.inner_text()
        return panel.locator(".stages li").evaluate_all(
            "all => Object.fromEntries(all.map((one) => [one.dataset.stage, one.dataset.state]))"
        )

    def heard(self, wait_ms: int = 0) -> np.ndarray:
        """The last 0.74 s of what went to the loudspeakers, after a while."""
        text = self.page.evaluate("(wait) => new Promise((done) => setTimeout(() => done(heard()), wait))", wait_ms)
        return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)

    def close(self) -> None:
        self.context.close()
        assert self.problems == []
        assert all(url.startswith((self.home + "/", "blob:", "data:", "about:")) for url in self.requests)


@pytest.fixture(scope="module")
def visit(browser: Browser, up: Up) -> Iterator[Visit]:
    visit = Visit(browser, up.player)
    yield visit
    visit.close()


@pytest.fixture(scope="module")
def made(visit: Visit, up: Up, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was made by dropping a picture; 2 s of the canon, small instruments."""
    picture = small_picture(tmp_path_factory.mktemp("pictures") / "quiet-lake.png", seed=77)
    page = visit.open()
    visit.drop(picture, "image/png")
    page.wait_for_selector("dialog[open]")
    page.locator("dialog").get_by_label("Canon in D").check()
    page.get_by_label("How much of it").select_option("2")
    page.click("summary")
    page.get_by_label("Small instruments").check()
    page.click("text=Make it sound")
    page.wait_for_selector(".job")
    assert page.locator(".job progress").is_visible(), page.locator(".job").inner_text()
    visit.run_stages = visit.job_done()  # type: ignore[attr-defined]
    page.wait_for_selector(".card h2:has-text('quiet')")
    name = page.locator(".card", has_text="quiet").first.locator("h2 a").get_attribute("href")
    assert name
    return up.workspace / name.strip("/").removesuffix("/index.html")


def run_of(made: Path) -> str:
    """The id of a run."""
    return hashlib.sha256(made.name.encode()).hexdigest()[:16]


def hashes(made: Path, pattern: str) -> dict[str, str]:
    return {
        path.relative_to(made).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in made.glob(pattern)
    }


def played_by(made: Path) -> dict[str, set[str]]:
    """The sounds that each player is made of, by their hashes."""
    players: dict[str, set[str]] = {}
    for cast in json.loads((made / "run.json").read_text())["casting"]:
        sound = (made / cast["effect"]).read_bytes()
        players.setdefault(cast["role"], set()).add(hashlib.sha256(sound).hexdigest())
    return players


def test_a_dropped_picture_becomes_a_song(visit: Visit, made: Path) -> None:
    """Through every stage to the run's page, where the song is heard."""
    assert visit.run_stages == dict.fromkeys(  # type: ignore[attr-defined]
        ("picture", "scene", "effects", "casting", "instruments", "song"), "done"
    )
    page = visit.page
    page.click(".job >> text=See and hear it")
    page.wait_for_selector(".strip:visible")
    page.click(".song:not([hidden]) .round.big")
    page.wait_for_timeout(1500)
    assert np.sqrt(np.mean(visit.heard() ** 2)) > 0.003


def test_a_served_page_leads_to_the_studio(visit: Visit, made: Path) -> None:
    """The player adds the link; the page on disk is without it."""
    page = visit.page
    page.goto(f"{visit.home}/runs/{made.name}/index.html")
    page.click("text=Open in the studio")
    page.wait_for_selector(".source-card")
    assert page.inner_text("h1") == "quiet-lake"
    assert run_of(made) in page.url
    assert "studio" not in (made / "index.html").read_text()


def test_the_gallery_searches_and_sorts(visit: Visit, made: Path) -> None:
    page = visit.open()
    everything = page.locator(".card").count()
    page.fill("input[type=search]", "quiet CANON")
    page.wait_for_timeout(600)
    assert page.locator(".card").count() == 1
    assert page.locator(".card").get_attribute("data-run") == run_of(made)
    assert page.locator(".card .thumb img").evaluate("node => node.naturalWidth") > 0
    page.fill("input[type=search]", "no such thing")
    page.wait_for_selector("text=Nothing here sounds like “no such thing”")
    assert page.locator(".card").count() == 0
    page.fill("input[type=search]", "")
    page.wait_for_selector(".card")
    page.get_by_label("Sort").select_option("name")
    page.wait_for_timeout(600)
    titles = page.locator(".card h2").all_inner_texts()
    assert len(titles) == everything


def test_a_dropped_score_is_played_by_the_same_band(visit: Visit, made: Path, tmp_path: Path) -> None:
    instruments = hashes(made, "instruments/*/*.sf2")
    page = visit.open(f"/#/run/{run_of(made)}")
    page.wait_for_selector(".song-row")
    visit.drop(small_score(tmp_path / "two-bars.mid"), "audio/midi")
    assert page.get_by_label("Your own MIDI").is_checked()
    page.click("text=Play this score")
    assert visit.job_done() == {"song": "done"}
    page.wait_for_selector(".song-row:has-text('two-bars')")
    assert hashes(made, "instruments/*/*.sf2") == instruments


def test_an_edit_makes_only_what_depends_on_it_again(visit: Visit, made: Path) -> None:
    """A source gets another name, with markup in it: its sounds are made again, the others stay, and the markup is text."""
    effects, before = hashes(made, "effects/*.wav"), json.loads((made / "scene.json").read_text())
    instruments, players = hashes(made, "instruments/*/*.sf2"), played_by(made)
    page = visit.open(f"/#/run/{run_of(made)}")
    source, variants = before["sound_sources"][-1]["name"], len(before["sound_sources"][-1]["variants"])
    page.click(".tabs [role=tab] >> nth=-1")
    page.get_by_label("Source", exact=True).locator("visible=true").fill(EVIL)
    words = page.inner_text(".pending")
    assert "1 change" in words
    assert f"sounds of “{source}”" in words.replace("sound of", "sounds of")
    page.click("text=Make the changes")
    stages = visit.job_done()
    assert stages["effects"] == "done"
    page.wait_for_timeout(500)
    assert played_by(made).keys() == players.keys()
    for role, sounds in played_by(made).items():
        if players.get(role) == sounds:  # nothing that this player is made of has changed
            assert hashes(made, f"instruments/{role}/*.sf2").items() <= instruments.items()
    after = hashes(made, "effects/*.wav")
    assert 1 <= len(set(after.values()) - set(effects.values())) <= variants
    assert len(set(after.values()) & set(effects.values())) == len(effects) - len(
        set(after.values()) - set(effects.values())
    )
    assert page.locator(".tabs [role=tab]").last.inner_text().endswith(EVIL)
    assert not page.locator(".pending").is_visible()
    page.reload()
    page.wait_for_selector(".source-card")
    visit.open()
    page.wait_for_timeout(500)
    assert "owned" not in page.title()
    assert page.locator("img[src=x]").count() == 0


def test_an_edit_of_a_scene_that_has_changed_is_told(visit: Visit, made: Path) -> None:
    """The player says that somebody else was faster; the own change can go on top of what is there now."""

    def older(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "scene_sha256": "0" * 64})

    address = f"**/api/v1/runs/{run_of(made)}"
    visit.page.route(address, older)
    visit.expected.add(409)
    page = visit.open(f"/#/run/{run_of(made)}")
    material = page.get_by_label("Material").locator("visible=true")
    material.fill("tin")
    page.click("text=Make the changes")
    page.wait_for_selector(".pending .problem:has-text('changed meanwhile')")
    page.unroute(address)
    page.click("text=Put my changes on top")
    page.wait_for_selector(".pending .problem", state="hidden")
    assert material.input_value() == "tin"
    page.click("text=Discard")
    assert not page.locator(".pending").is_visible()
    assert material.input_value() != "tin"


def test_what_is_typed_while_changes_are_sent_stays_a_change(visit: Visit, made: Path) -> None:
    page = visit.open(f"/#/run/{run_of(made)}")
    stages = [{"name": "scene", "state": "cancelled", "done": None, "of": None}]
    stopped = {"id": "1", "kind": "scene", "name": "a job", "state": "cancelled", "stages": stages, "progress": 0.0}
    sent: list[Any] = []
    page.route("**/scene", lambda route: sent.append(route))
    material = page.get_by_label("Material").locator("visible=true")
    material.fill("tin")
    page.click("text=Make the changes")
    page.wait_for_timeout(200)
    page.get_by_label("Source", exact=True).locator("visible=true").fill("a bucket")
    assert "2 changes" in page.inner_text(".pending")
    sent[0].fulfill(json={**stopped, "message": None, "run": run_of(made), "run_url": None, "song": None})
    page.wait_for_selector(".pending :text('1 change')")
    assert [source["material"] for source in sent[0].request.post_data_json["scene"]["sound_sources"]].count("tin") == 1
    assert "a bucket" not in (sent[0].request.post_data or "")
    page.unroute("**/scene")
    page.click("text=Discard")
    assert not page.locator(".pending").is_visible()


def test_a_new_take_changes_one_sound(visit: Visit, made: Path) -> None:
    effects = hashes(made, "effects/*.wav")
    page = visit.open(f"/#/run/{run_of(made)}")
    row = page.locator(".variant:visible").first
    number = int(row.get_attribute("data-effect") or 0)
    row.locator("text=New take").click()
    assert visit.job_done()["effects"] == "done"
    after = hashes(made, "effects/*.wav")
    changed = [name for name in after if after[name] != effects.get(name)]
    assert [name.startswith(f"effects/{number:02d}_") for name in changed] == [True]


LATE = """() => {
  const ask = window.fetch;
  window.fetch = async (where, how) => {
    const answer = await ask(where, how);
    if (how?.method === "DELETE") await new Promise((done) => setTimeout(done, 2500));
    return answer;
  };
}"""


def test_a_job_is_stopped(visit: Visit, made: Path) -> None:
    """What it says in the end stays, though the answer to the wish to stop comes behind it."""
    before = sorted(path.name for path in (made / "songs").iterdir())
    page = visit.open(f"/#/run/{run_of(made)}")
    page.get_by_label("In the Hall of the Mountain King").check()
    page.click("text=Play this score")
    page.evaluate(LATE)
    page.click(".job .stop")  # at once: the job has no process yet
    assert visit.job_ended() == "cancelled"
    assert page.inner_text(".job .state") == "Stopped"
    page.wait_for_selector(".job .stop:not([aria-disabled])", state="attached")
    assert page.inner_text(".job .state") == "Stopped"
    assert sorted(path.name for path in (made / "songs").iterdir()) == before


def noise(seed: int, level: float, seconds: float) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal((round(seconds * SAMPLE_RATE), 2)).astype(np.float32)


@pytest.fixture
def compared(up: Up, made: Path) -> Iterator[dict[str, np.ndarray]]:
    """A run beside the other whose two songs are noises that a test can tell apart, one 8 dB louder; they are 20 s long."""
    folder = made.with_name("compared")
    shutil.copytree(made, folder)
    sounds = {"A": noise(1, 0.2, 20), "B": noise(2, 0.2 * 10 ** (-8 / 20), 20)}
    paths = sorted((folder / "songs").glob("*/song.json"))[:2]
    for path, sound, loudness in zip(paths, sounds.values(), (-12.0, -20.0), strict=True):
        document = json.loads(path.read_text())
        soundfile.write(path.with_name(document["file"]), sound, SAMPLE_RATE, subtype="PCM_24")
        path.write_text(json.dumps({**document, "duration_s": 20.0, "loudness_lufs": loudness}))
    yield sounds
    shutil.rmtree(folder)


def place(block: np.ndarray, song: np.ndarray) -> tuple[int, float]:
    """The frame of a song that a block begins with, and how alike they are, -1..1."""
    mono = song.mean(axis=1).astype(np.float64)  # as an analyser hears it
    size = 1 << (len(mono) + len(block)).bit_length()
    found = np.fft.irfft(np.fft.rfft(mono, size) * np.conj(np.fft.rfft(block, size)), size)[
        : len(mono) - len(block) + 1
    ]
    at = int(found.argmax())
    return at, float(np.corrcoef(block, mono[at : at + len(block)])[0, 1])


def test_two_songs_are_compared_in_step_and_equally_loud(
    visit: Visit, made: Path, compared: dict[str, np.ndarray]
) -> None:
    """A change by the key X, within one stretch of sound: the position goes on to the sample, the level stays."""
    page = visit.open()
    run = hashlib.sha256(b"compared").hexdigest()[:16]
    rows = page.locator(f".card[data-run='{run}'] .song-row")
    rows.nth(0).locator(".compare").click()
    page.wait_for_selector("text=Now choose the song to compare it with.")
    rows.nth(1).locator(".compare").click()
    page.wait_for_selector("text=Equally loud: A is turned down by 8.0 dB.")
    page.get_by_label("Place in the song").fill("6.5")  # the changes fall behind a seam between two stretches
    page.click(".dock .round")
    page.wait_for_timeout(2000)
    edge = 6615
    for before, after in ("AB", "BA", "AB"):
        page.keyboard.press("x")
        heard = visit.heard(wait_ms=330)
        old, new = heard[:edge], heard[-edge:]
        (from_, alike_old), (to, alike_new) = place(old, compared[before]), place(new, compared[after])
        assert min(alike_old, alike_new) > 0.99, (before, after)  # and nothing of the other one is left
        assert to - from_ == len(heard) - edge
        assert abs(20 * np.log10(new.std() / old.std())) < 0.3
        page.wait_for_timeout(700)
    page.click(".dock .round")
    assert np.abs(visit.heard(wait_ms=1000)).max() < 1e-4
    page.click(".dock >> text=Close")
    assert not page.locator(".dock").is_visible()


def test_a_picture_that_is_none_is_told(visit: Visit, made: Path, tmp_path: Path) -> None:
    visit.expected.add(422)
    page = visit.open()
    (tmp_path / "liar.png").write_text("<script>document.title='owned'</script>")
    page.set_input_files(".drop input", tmp_path / "liar.png")
    page.click("text=Make it sound")
    page.wait_for_selector("dialog .problem:has-text('liar')")
    page.click("text=Not now")
    assert not page.locator(".job", has_text="liar").count()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_everybody_can_use_it(browser: Browser, up: Up, made: Path, width: int, scheme: str) -> None:
    visit = Visit(browser, up.player, width, 844, color_scheme=scheme, reduced_motion="reduce")
    page = visit.open()
    page.locator(".song-row .compare").nth(0).click()
    page.locator(".song-row .compare").nth(1).click()
    assert violations(page) == []
    page.set_input_files(".drop input", made / "picture.jpg")
    page.wait_for_selector("dialog[open]")
    assert violations(page) == []
    visit.open(f"/#/run/{run_of(made)}")
    page.get_by_label("Material").locator("visible=true").fill("tin")
    assert violations(page) == []
    visit.close()


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe-core finds serious, and whether the page is wider than the window."""
    found = Axe().run(page, options={"preload": False}).response["violations"]
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    return [*serious, *([("wider than the window", "")] if wide else [])]


def test_without_a_mouse(visit: Visit, made: Path) -> None:
    """From the top of the gallery to the dialog's choices, and through the sources, by keys alone."""
    page = visit.open()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "file"
    visit.open(f"/#/run/{run_of(made)}")
    page.locator(".tabs [aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "edit-tab-1"
    assert page.locator(".source-card:visible").count() == 1
    assert page.locator(".source-card:visible").get_attribute("data-source") == "1"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[str]:
    """A player without Prefect, over a runs folder with nothing in it."""
    (tmp_path / "runs").mkdir()
    server = uvicorn.Server(uvicorn.Config(player_app(tmp_path / "runs", "127.0.0.1"), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_an_empty_gallery_invites(browser: Browser, read_only: str) -> None:
    visit = Visit(browser, read_only)
    visit.expected.add(503)
    page = visit.open()
    assert page.locator(".drop-words").inner_text() == "Drop a picture here"
    assert not page.locator("input[type=search]").is_visible()
    page.wait_for_selector("text=Runs can be heard, but not made")
    files = [page.request.get(read_only + path).text() for path in ("/", "/app/app.js", "/app/app.css")]
    weight = sum(len(re.sub(r"url\([\"']?data:font[^)]*\)", "", text)) for text in files)
    print(f"the app's weight without fonts: {weight / 1000:.0f} kB")
    assert weight < 150_000
    visit.close()
