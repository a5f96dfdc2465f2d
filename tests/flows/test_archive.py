"""instruments.zip: what a sampler needs of a run, in one file."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from flows.runs.archive import ARCHIVE_FILE, write_archive
from flows.runs.songs import Made, SongOptions, swap
from phase2_music.rendering.render import RenderOptions
from schemas.document import ROLES


def test_the_zip_has_every_sample_that_its_instruments_name(demo_run: tuple[Path, Made]) -> None:
    folder, made = demo_run
    with zipfile.ZipFile(folder / ARCHIVE_FILE) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        for role in ROLES:
            sfz, preset = (archive.read(f"{role}/{role}.{kind}").decode() for kind in ("sfz", "dspreset"))
            path = re.search(r"default_path=(\S+)", sfz)
            assert path
            named = {path[1] + sample for sample in re.findall(r"\bsample=(\S+)", sfz)}
            named |= set(re.findall(r'path="([^"]+)"', preset))
            assert len(named) > 5
            assert {str(PurePosixPath(role, sample)) for sample in named} <= names
        for name in names:
            assert archive.read(name) == (folder / "instruments" / name).read_bytes()
    assert [output.stage for output in made.run.outputs if output.path == ARCHIVE_FILE] == ["archive"]


def test_the_same_instruments_give_the_same_zip(demo_run: tuple[Path, Made], tmp_path: Path) -> None:
    (tmp_path / "instruments").symlink_to(demo_run[0] / "instruments")
    paths = [
        output.path
        for output in demo_run[1].run.outputs
        if output.path.startswith("instruments/") and not output.path.endswith(".sf2")
    ]
    write_archive(tmp_path, paths[::-1])
    assert (tmp_path / ARCHIVE_FILE).read_bytes() == (demo_run[0] / ARCHIVE_FILE).read_bytes()


def test_another_score_leaves_the_zip_and_a_lost_one_comes_back(demo_run: tuple[Path, Made], tmp_path: Path) -> None:
    run = Path(shutil.copytree(demo_run[0], tmp_path / "run"))
    before = (run / ARCHIVE_FILE).stat().st_mtime_ns
    preview = SongOptions("ode-to-joy", render=RenderOptions(preview_s=1.0))
    swap(run, preview)
    assert (run / ARCHIVE_FILE).stat().st_mtime_ns == before
    data = (run / ARCHIVE_FILE).read_bytes()
    (run / ARCHIVE_FILE).unlink()
    swap(run, preview)
    assert (run / ARCHIVE_FILE).read_bytes() == data
