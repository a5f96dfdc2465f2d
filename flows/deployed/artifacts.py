"""What a run shows in Prefect's user interface: a report of the song, progress of long stages, a report of a batch.

Reports are markdown. Their pictures are small and inside (`data:`), since payloads are copied into events; sounds and pages are
links to the player, because the interface plays nothing and opens http links only.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote
from uuid import UUID

from PIL import Image
from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact

from flows.runs.ledger import RUN_FILE
from flows.runs.roots import runs_folder
from schemas.document import ROLES
from schemas.effect import Effect, Effects
from schemas.instrument import Instrument
from schemas.run import Run
from schemas.scene import Scene
from schemas.song import Song

PLAYER_VARIABLE = "PHOTONE_PLAYER_URL"
PICTURE_LIMIT_BYTES = 30_000
"""Most bytes that the picture takes as a data: URI."""
_SIZES = ((480, 80), (480, 60), (360, 60), (240, 60), (160, 50), (80, 40))  # long side in pixels, JPEG quality


class BatchOutcome(Protocol):
    """One picture of a batch: its song's path or the reason why there is none, seconds, stages that were passed over."""

    @property
    def picture(self) -> Path: ...
    @property
    def song(self) -> Path | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def cached(self) -> Sequence[str]: ...


class Progress:
    """Progress bars of a flow run's long stages; make it inside the flow.

    `told` takes what stages tell ("effects: 3 of 12", "instrument bass") in the flow's event loop and returns at once. The
    server is told the latest while earlier news are on their way there, so a fast stage costs few requests.
    """

    def __init__(self) -> None:
        self._context = contextvars.copy_context()  # the news come from elsewhere, and belong to this run
        self._latest: dict[str, tuple[int, int]] = {}
        self._made: dict[str, UUID] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}

    def told(self, stage: str, text: str) -> None:
        """Take note of how far a stage is."""
        share = _share(text)
        if share is None:
            return
        self._latest[stage] = share
        sender = self._senders.get(stage)
        if sender is None or sender.done():
            self._senders[stage] = asyncio.get_running_loop().create_task(self._send(stage), context=self._context)

    async def finish(self, stage: str) -> None:
        """Fill the bar of a stage that is done; a stage that told nothing has none."""
        if stage in self._latest:
            of = self._latest[stage][1]
            self.told(stage, f"{of} of {of}")
            await self._senders[stage]

    async def _send(self, stage: str) -> None:
        sent = None
        while sent != self._latest[stage]:
            sent = done, of = self._latest[stage]
            share, text = 100.0 * done / of, f"{stage}: {done} of {of}"
            if stage in self._made:
                await aupdate_progress_artifact(self._made[stage], share, description=text)
            else:
                self._made[stage] = await acreate_progress_artifact(share, key=_key(stage), description=text)


def _share(text: str) -> tuple[int, int] | None:
    """How many of how many are done, out of what a stage tells; an instrument is told as it begins."""
    counted = re.search(r"(\d+) of (\d+)", text)
    if counted and int(counted[2]):
        return int(counted[1]), int(counted[2])
    role = text.removeprefix("instrument ")
    return (ROLES.index(role), len(ROLES)) if role in ROLES else None


def _key(text: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()).strip("-")


async def song_report(folder: Path, song_folder: Path) -> None:
    """Show a finished song: picture, sources, casting, figures, links."""
    markdown = await asyncio.to_thread(song_markdown, folder, song_folder)
    song = await asyncio.to_thread(Song.read, song_folder / "song.json")
    await acreate_markdown_artifact(markdown, key="song", description=f"{folder.name}: {song.score.file}")


async def batch_report(results: Sequence[BatchOutcome], title: str = "Batch") -> None:
    """Show a batch: counts, failures with their reasons first, songs with links."""
    failed = sum(result.error is not None for result in results)
    markdown = await asyncio.to_thread(batch_markdown, results, title)
    await acreate_markdown_artifact(
        markdown, key="batch", description=f"{len(results) - failed} songs, {failed} failed"
    )


def song_markdown(folder: Path, song_folder: Path) -> str:
    """The report of a song in a finished run folder."""
    run = Run.read(folder / RUN_FILE)
    scene, song = Scene.read(folder / "scene.json"), Song.read(song_folder / "song.json")
    effects = Effects.read(folder / "effects" / "effects.json").effects
    name = run.picture.file if run.picture else folder.name
    parts = [
        f"# {escape(name)}: {escape(song.score.file)}",
        f"![{escape(name)}]({picture_uri(folder / 'picture.jpg')})",
        escape(scene.scene_description),
        _links(folder, song_folder, song),
        _figures(song),
        "## Band",
        _band(run, effects, folder),
        "## Sounds of the picture",
        _sounds(scene, run, effects),
        _notes(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def picture_uri(path: Path) -> str:
    """A picture as a data: URI of at most 30 KB."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    for side, quality in _SIZES:
        small = rgb.copy()
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True)
        uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        if len(uri) <= PICTURE_LIMIT_BYTES:
            break
    return uri


_MEANINGFUL = str.maketrans({letter: f"&#{ord(letter)};" for letter in "&<>\\`*_[]|~$"})


def escape(text: str) -> str:
    """Text that means nothing in markdown or HTML, on one line: names come out of pictures' and scores' files."""
    return " ".join(text.split()).translate(_MEANINGFUL)


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _table(head: Sequence[str], rows: Iterable[str]) -> str:
    return "\n".join((_row(*head), _row(*("---" for _ in head)), *rows))


def player_link(path: Path) -> str | None:
    """Where the player shows a file of a run; None without a player, or for a file that it does not serve."""
    address, root = os.environ.get(PLAYER_VARIABLE, ""), runs_folder().resolve()
    resolved = path.resolve()
    if not address or not resolved.is_relative_to(root):
        return None
    return f"{address.rstrip('/')}/runs/{quote(resolved.relative_to(root).as_posix())}"


def _link(text: str, path: Path) -> str:
    address = player_link(path)
    return f"[{text}]({address})" if address else f"{text}: {escape(str(path))}"


def _links(folder: Path, song_folder: Path, song: Song) -> str:
    files = [("**Open the run page**", folder / "index.html")]
    files += [("song", song_folder / song.file)] if song.file else []
    files += [(f"stem {stem.role}", song_folder / stem.file) for stem in song.stems]
    return " · ".join(_link(text, path) for text, path in [*files, ("scene.json", folder / "scene.json")])


def _figures(song: Song) -> str:
    length = f"{song.duration_s:.0f} s{' (preview)' if song.preview_s else ''}"
    loudness = f"{song.loudness_lufs:.1f} LUFS"
    row = _row(length, loudness, f"{song.true_peak_dbtp:.1f} dBTP", f"{song.rtf:.2f}")
    return _table(("Length", "Loudness", "True peak", "Processing time / length"), [row])


def _band(run: Run, effects: Sequence[Effect], folder: Path) -> str:
    names = {f"effects/{effect.file}": f"{effect.source}, {effect.play_method}" for effect in effects}
    rows = []
    for role in ROLES:
        shown: tuple[str, str] = (role, _tuning(Instrument.read(folder / "instruments" / role / "instrument.json")))
        for casting in (casting for casting in run.casting if casting.role == role):
            played_by = escape(names.get(casting.effect, casting.effect))
            rows.append(_row(shown[0], played_by, escape(casting.reason), shown[1]))
            shown = ("", "")  # effects that share a kit
    return _table(("Role", "Played by", "Why", "Tuning"), rows)


def _tuning(instrument: Instrument) -> str:
    verified = instrument.verified
    if not verified.notes:
        return f"{len({zone.lo_key for zone in instrument.zones})} drums"
    return f"{verified.within_25_cents} of {verified.notes} in tune, median {verified.median_abs_cents} cents off"


def _sounds(scene: Scene, run: Run, effects: Sequence[Effect]) -> str:
    roles: dict[str, list[str]] = {}
    for casting in run.casting:
        roles.setdefault(casting.effect, []).append(casting.role)
    rows = (
        _row(
            effect.number,
            escape(f"{effect.source} ({effect.material})"),
            escape(effect.play_method),
            escape(", ".join(effect.timbre)),
            ", ".join(roles.get(f"effects/{effect.file}", ())),
            f"{effect.measures.loudness_lufs:.1f} LUFS",
            escape("; ".join(effect.verdict)) or "good",
        )
        for effect in effects
    )
    return _table(("#", "Source", "How", "Sounds", "Plays", "Loudness", "Verdict"), rows) + _evidence(scene)


def _evidence(scene: Scene) -> str:
    lines = "".join(
        f"\n- **{escape(source.name)}**: {escape(source.evidence)}" for source in scene.sound_sources if source.evidence
    )
    return f"\n\n<details><summary>Where they are seen</summary>\n{lines}\n\n</details>" if lines else ""


def _notes(run: Run) -> str:
    engines = run.engines.model_dump() if run.engines else {}
    made = [f"{stage} {escape(engine['name'])}" for stage, engine in engines.items()]
    times = ", ".join(f"{stage.name} {'kept' if stage.cached else f'{stage.elapsed_s:.1f} s'}" for stage in run.stages)
    warnings = "".join(f"\n- {escape(warning)}" for warning in run.warnings)
    return f"## Made by\n\n{', '.join([*made, f'seed {run.seed}'])}. {escape(times)}.\n{warnings}"


def batch_markdown(results: Sequence[BatchOutcome], title: str = "Batch") -> str:
    """The report of a batch, failures first."""
    failed = [result for result in results if result.error is not None]
    made = [result for result in results if result.error is None]
    seconds = sum(result.elapsed_s for result in results)
    kept = sum(len(result.cached) for result in results)
    counts = f"**{len(made)} songs, {len(failed)} failed**, {seconds:.0f} s in all, {kept} stages kept from before"
    parts = [f"# {escape(title)}", counts]
    if failed:
        rows = (_row(escape(r.picture.name), escape(r.error or ""), f"{r.elapsed_s:.1f} s") for r in failed)
        parts += ["## Failed", _table(("Picture", "Reason", "Time"), rows)]
    if made:
        parts += ["## Songs", _table(("Picture", "Song", "Time", "Kept"), map(_song_row, made))]
    return "\n\n".join(parts) + "\n"


def _song_row(result: BatchOutcome) -> str:
    song = _link("song", result.song) if result.song else ""
    kept = escape(", ".join(result.cached)) or "nothing"
    return _row(escape(result.picture.name), song, f"{result.elapsed_s:.1f} s", kept)
