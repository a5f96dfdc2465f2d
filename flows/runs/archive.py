"""instruments.zip: the band for a sampler, SFZ and DecentSampler with their samples, in one file to take along.

SF2 files hold their samples themselves and are taken one by one; `photone set` writes a zip that has the band as SF2, too.
"""

from __future__ import annotations

from pathlib import Path

from core.manifest import atomic_path
from flows.runs.ledger import Ledger

ARCHIVE_FILE = "instruments.zip"
_VERSION = 1  # raised when the zip comes to hold something else
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same instruments give the same bytes


def archive_stage(ledger: Ledger) -> None:
    """Write instruments.zip, unless it is there and holds the same."""
    held = [
        (output.path, output.sha256)
        for output in ledger.run.outputs
        if output.path.startswith("instruments/") and not output.path.endswith(".sf2")
    ]

    def work() -> list[Path]:
        write_archive(ledger.folder, [path for path, _ in held])
        return [ledger.folder / ARCHIVE_FILE]

    ledger.stage("archive", {"version": _VERSION, "held": sorted(held)}, work)


def write_archive(folder: Path, paths: list[str]) -> None:
    """Write files of a run, given by their paths in it, as instruments.zip; those below instruments/ lose that part.

    Raises:
        OutputError: the zip cannot be written.
    """
    import zipfile  # not on the way of a swap, which makes no instrument

    with atomic_path(folder / ARCHIVE_FILE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in sorted(paths):
            info = zipfile.ZipInfo(path.removeprefix("instruments/"), _LONG_AGO)
            # FLAC is packed already.
            info.compress_type = zipfile.ZIP_STORED if path.endswith(".flac") else zipfile.ZIP_DEFLATED
            archive.writestr(info, (folder / path).read_bytes())
