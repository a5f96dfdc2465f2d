"""The ready-made bands of soundfonts/: `python -m flows.bands` makes them again out of pictures that libraries bring along."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from core.manifest import atomic_folder, sha256_file
from flows.demo import demo_picture
from flows.runs.ledger import files_under, photone_version
from flows.runs.songs import SongOptions
from flows.runs.stages import MakeOptions, make
from phase2_music.rendering.render import RenderOptions
from schemas.band import Band, BandFile

FOLDER = Path(__file__).parents[1] / "soundfonts"
_LICENCE = "Apache-2.0"


def _scikit_image(name: str) -> Path:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-image is not installed: run `make setup`")
    return Path(spec.origin).parent / "data" / name


@dataclass(frozen=True)
class ReadyBand:
    """A band to be made: its folder's name, what it is, its picture, the seed that was chosen for it."""

    name: str
    title: str
    picture: Callable[[], Path]
    seed: int


READY = (
    ReadyBand("temple", "Wind, leaves and birds around a temple", demo_picture, 0),
    ReadyBand("coffee", "A cup of coffee on a table", lambda: _scikit_image("coffee.png"), 2),
)


def make_band(ready: ReadyBand, out: Path) -> None:
    """Make a compact band and put it into `out`, without its SF2 files: players get them made of the samples."""
    picture = ready.picture()
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        preview = SongOptions(render=RenderOptions(preview_s=1.0))
        made = make(MakeOptions(picture, run, seed=ready.seed, song=preview, compact=True))
        assert made.run.engines is not None
        with atomic_folder(out) as folder:
            shutil.copytree(run / "instruments", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sf2"))
            paths = files_under(folder)
            files = [
                BandFile(path=path.relative_to(folder).as_posix(), sha256=sha256_file(path), bytes=path.stat().st_size)
                for path in paths
            ]
            Band(
                name=ready.name,
                title=ready.title,
                picture=picture.name,
                photone_version=photone_version(),
                seed=ready.seed,
                engines=made.run.engines,
                licence=_LICENCE,
                files=files,
            ).write(folder / "band.json")


if __name__ == "__main__":
    for ready_band in READY:
        make_band(ready_band, FOLDER / ready_band.name)
        print(FOLDER / ready_band.name, file=sys.stderr)
