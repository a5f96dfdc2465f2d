"""A whole band in one file: `set.sf2` with the roles as General MIDI presets, or a zip with every format."""

from __future__ import annotations

import zipfile
from pathlib import Path

from core.audio import Samples, read_audio
from core.errors import InstrumentError, UsageError
from core.manifest import atomic_path, sha256_file, sha256_json, write_bytes
from phase2_music.instruments.soundfont import soundfont
from schemas.document import ROLES, Role
from schemas.instrument import Instrument

SET_NAME = "set.sf2"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same set gives the same bytes


def read_band(folder: Path) -> dict[Role, Instrument]:
    """The instrument documents in a folder laid out as a run's instruments/, by role.

    Raises:
        InstrumentError: the folder is missing or holds no instrument.
        DocumentError: an instrument.json is damaged.
    """
    documents = {role: folder / role / "instrument.json" for role in ROLES}
    found = {role: Instrument.read(path) for role, path in documents.items() if path.is_file()}
    if not found:
        raise InstrumentError(
            f"{folder}: no instruments here (expected keyboard/, bass/, guitar/ or drums/ with instrument.json): "
            "give a run's instruments folder"
        )
    return found


def export_set(folder: Path, out: Path) -> None:
    """Write a band as one SF2 or as a zip of everything, by the ending of `out`.

    Raises:
        UsageError: `out` ends in neither .sf2 nor .zip.
        InstrumentError: no instruments in `folder`.
        OutputError: `out` cannot be written to.
    """
    if out.suffix not in (".sf2", ".zip"):
        raise UsageError(f"{out}: a set is written as .sf2 or .zip: choose another name with --out")
    band = read_band(folder)
    data = set_soundfont(folder, band)
    if out.suffix == ".sf2":
        write_bytes(out, data)
        return
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, SET_NAME, data, packed=True)
        for role in band:
            for path in sorted(p for p in (folder / role).rglob("*") if p.is_file() and p.suffix != ".sf2"):
                _add(archive, path.relative_to(folder).as_posix(), path.read_bytes(), packed=path.suffix != ".flac")


def _add(archive: zipfile.ZipFile, name: str, data: bytes, *, packed: bool) -> None:
    info = zipfile.ZipInfo(name, _LONG_AGO)
    info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    archive.writestr(info, data)


def set_soundfont(folder: Path, band: dict[Role, Instrument]) -> bytes:
    """One SF2 with every role of the band as a preset."""
    parts = [(instrument, _samples(folder / role / "samples", instrument)) for role, instrument in band.items()]
    return soundfont("photone set", parts)


def role_soundfont(folder: Path, instrument: Instrument, kept: Path | None) -> Path:
    """The SF2 of the instrument in `folder`: its own, or, where it came without, one made of its samples in `kept`.

    Ready-made bands come without: their samples take a third of the space.

    Raises:
        InstrumentError: it came without, and `kept` is None.
        AudioError: a sample is missing or damaged.
        OutputError: `kept` cannot be written to.
    """
    own = folder / f"{instrument.role}.sf2"
    if own.is_file():
        return own
    if kept is None:
        raise InstrumentError(f"{own}: is missing: build the instrument again")
    hashes = {path.name: sha256_file(path) for path in sorted((folder / "samples").iterdir())}
    made = kept / f"{sha256_json([instrument.to_value(), hashes])}.sf2"
    if not made.is_file():
        write_bytes(made, soundfont(instrument.name, [(instrument, _samples(folder / "samples", instrument))]))
    return made


def _samples(folder: Path, instrument: Instrument) -> dict[str, Samples]:
    names = dict.fromkeys(zone.sample for zone in instrument.zones)
    return {name: read_audio(folder / name).samples for name in names}
