"""`make screenshots`: a run's page, the gallery, Prefect's forms and reports, as a musician sees them, in docs/screenshots/.

Makes the demo run and looks at its page; starts `photone up` in a folder of its own, makes a song through the deployment, and
looks at it in Debian's Chromium. `python docs/screenshots.py page` takes the page's alone, `app` those of the gallery and the
studio, `prefect` the others.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import skimage
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from flows.demo import demo_picture
from flows.runs.cover import COVER_FILE, ROLE_COLOURS
from flows.runs.songs import SongOptions
from flows.runs.stages import MakeOptions, make
from flows.service.api import PrefectApi
from flows.service.server import free_ports
from phase2_music.rendering.render import RenderOptions

OUT = Path(__file__).parent / "screenshots"
WIDTH = 1180


@dataclass(frozen=True)
class Shot:
    """A picture to take: its name, the page below the interface's address, what must be there, its height in pixels."""

    name: str
    path: str
    text: str
    height: int


def chromium() -> str:
    """Debian's browser."""
    found = shutil.which("chromium")
    if not found:
        raise SystemExit("chromium is missing. Run: sudo apt-get install chromium")
    return found


@dataclass(frozen=True)
class Running:
    """A `photone up`: Prefect's interface, the player's address, and the folder that it runs in."""

    api: PrefectApi
    player: str
    workspace: Path


@contextmanager
def running() -> Iterator[Running]:
    """`photone up` in a folder of its own."""
    with tempfile.TemporaryDirectory() as workspace:
        port, player = free_ports(2)
        command = [sys.executable, "-u", "-m", "flows.cli", "up", "--port", str(port), "--player-port", str(player)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        with subprocess.Popen(command, cwd=workspace, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if "Ctrl-C" in line:
                        break
                api = PrefectApi(f"http://127.0.0.1:{port}/api")
                yield Running(api, f"http://127.0.0.1:{player}", Path(workspace))
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def make_song(api: PrefectApi) -> tuple[str, str]:
    """A song of the bundled photograph; gives the ids of its run and of its report."""
    run = api.start("picture-to-song", {"score": "greensleeves", "options": {"preview_s": 20}})["id"]
    while (state := api.ask(f"flow_runs/{run}")["state_type"]) not in ("COMPLETED", "FAILED", "CRASHED"):
        time.sleep(0.5)
    if state != "COMPLETED":
        raise SystemExit(f"the run for the pictures ended {state.lower()}")
    asked = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": ["song"]}}}
    return run, api.ask("artifacts/filter", asked)[0]["id"]


def shots(api: PrefectApi) -> list[Shot]:
    """What is photographed."""
    run, report = make_song(api)
    form = api.deployment("picture-to-song")["id"]
    return [
        Shot("deployments", "deployments", "picture-to-song", 640),
        Shot("form", f"deployments/deployment/{form}/run", "Who looks at the picture", 2500),
        Shot("run", f"runs/flow-run/{run}", "Finished in state", 900),
        Shot("progress", f"runs/flow-run/{run}?tab=Artifacts", "effects", 900),
        Shot("report", f"artifacts/artifact/{report}", "Sounds of the picture", 1600),
    ]


def take(page: Page, address: str, shot: Shot) -> None:
    page.set_viewport_size({"width": WIDTH, "height": shot.height})
    page.goto(f"{address}/v2/{shot.path}")
    page.get_by_text(shot.text).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # charts move into place
    keep_small(Image.open(io.BytesIO(page.screenshot())), shot.name)


@dataclass(frozen=True)
class PageShot:
    """A picture of a run's page: what is done before it is taken, in a window of what size and which scheme."""

    name: str
    act: Callable[[Page], None]
    width: int = WIDTH
    height: int = 860
    scheme: Literal["light", "dark"] = "light"


def listen(page: Page) -> None:
    """In the midst of the song, with the picture in sight."""
    page.click(".listen")
    page.locator(".wave:visible").press("PageUp")
    page.locator(".wave:visible").press("PageUp")
    page.evaluate("document.querySelector('#picture').scrollIntoView({ behavior: 'instant' })")
    page.wait_for_timeout(4000)


def mix(page: Page) -> None:
    """At the mixer, without the guitar."""
    listen(page)
    page.click(".strip.guitar .mute:visible")
    page.evaluate("document.querySelector('.song').scrollIntoView({ behavior: 'instant' })")
    page.wait_for_timeout(1500)


def play(page: Page) -> None:
    """A chord on the keyboard, by the computer's keys."""
    page.click(".instruments .keyboard")
    page.get_by_text("Ready;").wait_for()
    page.evaluate("document.querySelector('#play').scrollIntoView({ behavior: 'instant' })")
    for key in "adg":
        page.keyboard.down(key)
    page.wait_for_timeout(500)


PAGE_SHOTS = (
    PageShot("page-desktop", listen, height=800),
    PageShot("page-phone", listen, 390, 844),
    PageShot("page-dark", mix, height=790, scheme="dark"),
    PageShot("page-play", play, height=560),
)


def take_page(browser: Browser, run: Path, shot: PageShot) -> None:
    size: ViewportSize = {"width": shot.width, "height": shot.height}
    context = browser.new_context(locale="en-GB", viewport=size, color_scheme=shot.scheme)
    page = context.new_page()
    page.goto((run / "index.html").as_uri())
    page.locator(".strip:visible").first.wait_for()
    shot.act(page)
    keep_small(Image.open(io.BytesIO(page.screenshot())), shot.name)
    context.close()


def keep_small(picture: Image.Image, name: str) -> None:
    """Write a picture with a photograph in it in 256 colours, a third of the bytes; the page's own stay as they are."""
    picture = picture.convert("RGB")
    style = (Path(__file__).parents[1] / "web" / "src" / "page.css").read_text()
    own = [channel for colour in set(re.findall(r"--\w+: #(\w{6});", style)) for channel in bytes.fromhex(colour)]
    own += [channel for colour in ROLE_COLOURS.values() for channel in colour]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*own, *(picture.quantize(256 - len(own) // 3).getpalette() or [])][:768])
    picture.quantize(palette=palette).save(OUT / f"{name}.png", optimize=True)
    print(OUT / f"{name}.png", file=sys.stderr)


def take_pages() -> None:
    """The demo run's page and its poster."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = Path(folder) / "china"
        make(MakeOptions(picture=demo_picture(), out=run, song=SongOptions("greensleeves")))
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--mute-audio"])
        for shot in PAGE_SHOTS:
            take_page(browser, run, shot)
        browser.close()
        keep_small(Image.open(run / COVER_FILE).resize((600, 800), Image.Resampling.LANCZOS), "cover")


def compare(page: Page) -> None:
    """In the gallery, while two songs are compared."""
    cards = page.locator(".card")
    for card in (0, 1):
        cards.nth(card).locator(".compare").first.click()
    page.click(".dock .round")
    page.get_by_label("Place in the song").fill("11")
    page.wait_for_timeout(1500)
    page.click(".slot-b")
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' }), document.activeElement.blur()")
    page.wait_for_timeout(800)


def choose(page: Page) -> None:
    """A picture was chosen, and now its score is."""
    page.set_input_files(".drop input", demo_picture())
    page.locator("dialog[open] h2").wait_for()
    page.locator("dialog").get_by_label("Gymnop").check()
    page.wait_for_timeout(500)


def edit(page: Page) -> None:
    """In the studio, with a source about to be another one."""
    page.locator(".card", has_text="china").first.locator(".studio-link").click()
    page.locator(".tabs [role=tab]").nth(3).click()
    page.get_by_label("Source", exact=True).locator("visible=true").fill("hazelnuts")
    page.evaluate("document.querySelector('.editor').scrollIntoView({ behavior: 'instant' })")
    page.wait_for_timeout(1000)


APP_SHOTS = (
    PageShot("app-desktop", compare, height=1010),
    PageShot("app-phone", compare, 390, 844),
    PageShot("app-new", choose, height=780),
    PageShot("app-studio", edit, height=860, scheme="dark"),
)


def gallery_runs(runs: Path) -> None:
    """What hangs in the gallery: photographs that come with scikit-learn and scikit-image."""
    china, flower = demo_picture(), demo_picture().with_name("flower.jpg")
    coffee = Path(skimage.__file__).parent / "data" / "coffee.png"
    for picture, score in ((flower, "gymnopedie"), (coffee, "entertainer"), (china, "canon")):
        song = SongOptions(score, render=RenderOptions(preview_s=30.0))
        make(MakeOptions(picture=picture, out=runs / f"{picture.stem}-{score}", song=song, compact=True))


def take_app() -> None:
    """The served app: its gallery, a new run, a run's studio."""
    with running() as up, sync_playwright() as playwright:
        gallery_runs(up.workspace / "runs")
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--mute-audio"])
        for shot in APP_SHOTS:
            size: ViewportSize = {"width": shot.width, "height": shot.height}
            context = browser.new_context(locale="en-GB", viewport=size, color_scheme=shot.scheme)
            page = context.new_page()
            page.goto(up.player)
            page.locator(".card").first.wait_for()
            shot.act(page)
            keep_small(Image.open(io.BytesIO(page.screenshot())), shot.name)
            context.close()
        browser.close()


def take_prefect() -> None:
    """Prefect's pages."""
    with running() as up, sync_playwright() as playwright:
        wanted = shots(up.api)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        for shot in wanted:
            take(page, up.api.url.removesuffix("/api"), shot)
        browser.close()


def main() -> None:
    """Take them all, or one kind."""
    OUT.mkdir(exist_ok=True)
    kinds = {"page": take_pages, "app": take_app, "prefect": take_prefect}
    for kind in sys.argv[1:] or kinds:
        kinds[kind]()


if __name__ == "__main__":
    main()
