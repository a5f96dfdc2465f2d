"""A band in one file."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.errors import InstrumentError, OutputError, UsageError
from phase2_music.instruments.sets import export_set
from phase2_music.rendering.synth import play_keys
from schemas.document import ROLES


def test_one_sf2_plays_every_role_as_its_own_does(tmp_path: Path, noise_band: Path) -> None:
    export_set(noise_band, tmp_path / "band.sf2")
    for role, key in (("keyboard", 60), ("bass", 40), ("guitar", 55), ("drums", 38)):
        (_, alone), *_ = play_keys(noise_band / role / f"{role}.sf2", role, [key], seconds=0.5)
        (_, together), *_ = play_keys(tmp_path / "band.sf2", role, [key], seconds=0.5)
        assert np.allclose(alone, together, atol=2e-6)


def test_the_zip_holds_every_format_and_the_same_bytes_each_time(tmp_path: Path, noise_band: Path) -> None:
    export_set(noise_band, tmp_path / "a.zip")
    export_set(noise_band, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
    assert {
        "set.sf2",
        *(f"{role}/{role}.sfz" for role in ROLES),
        *(f"{role}/instrument.json" for role in ROLES),
    } <= names
    assert {"bass/samples/bass_029.flac", "drums/samples/drums_038.flac"} <= names


def test_bad_requests_are_refused(tmp_path: Path, noise_band: Path) -> None:
    with pytest.raises(UsageError, match=r"\.sf2 or \.zip"):
        export_set(noise_band, tmp_path / "band.rar")
    with pytest.raises(InstrumentError, match="no instruments here"):
        export_set(tmp_path, tmp_path / "band.zip")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export_set(noise_band, tmp_path / "file" / "band.zip")
