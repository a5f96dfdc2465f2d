"""What the page's own player and instruments sound with: scripts that hold sound as text.

A page that is opened from disk may neither fetch a file nor hear, in WebAudio, what an <audio> element plays; it may load a
script. So sound lies in `page/*.js`, each a call of `photoneMedia(name, value)` with FLAC in base64: every browser decodes FLAC
to the sample, so loops and stems stay where they are. Names hold a hash of all that the file was made of, so one that is there
is never made again.

Instruments hold the run's own samples in 16 bits: of their 24, the last 8 are noise that no coder makes smaller. Stems are in
stretches of some ten seconds, in which each block keeps its ten highest bits (near-instantaneous companding after
ETSI EN 300 163, NICAM): the noise lies some 50 dB under what sounds at that moment, and writing takes a seventh of the time
that Ogg Vorbis would take. The exact stems lie beside them as WAV.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from core.audio import SAMPLE_RATE, read_audio, sound_file_errors
from core.errors import ScoreError
from core.manifest import sha256_json, write_text
from flows.page.levels import as_text, peaks, spectrogram, to_levels
from phase2_music.rendering.score import Score, Track, read_score
from schemas.document import Role
from schemas.effect import Effect
from schemas.instrument import Instrument, Zone
from schemas.run import Output
from schemas.song import Song

FOLDER = "page"
SCORE_FILE = "score.mid"
_VERSION = 1  # raised when a file's content changes without what it is made of changing

BLOCK_FRAMES = 4096  # FLAC's own at this speed: an encoder leaves out low bits that are 0 through a whole block
CHUNK_FRAMES = 108 * BLOCK_FRAMES
KEPT_BITS = 10
SONG_COLUMNS, EFFECT_COLUMNS = 480, 240
_SPEED = 0.5  # libsndfile's name for FLAC's level 4
_WAV_HEADER_BYTES = 44

Frames16 = npt.NDArray[np.int16]
"""Samples of 16 bits, shape (frames, channels)."""


@dataclass(frozen=True)
class Media:
    """One file of the page: its path within the run and what writes it there."""

    path: str
    write: Callable[[Path], None]


def media_name(label: str, made_of: object) -> str:
    """A file's name without its ending: a label for people and a hash of what it is made of."""
    return f"{label}-{sha256_json([_VERSION, made_of])[:12]}"


def script(name: str, value: object) -> str:
    """The script that gives `value` to the page. Pure ASCII, and nothing in it can end a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'photoneMedia("{name}",{text});\n'


def _media(name: str, value: Callable[[], object]) -> Media:
    return Media(f"{FOLDER}/{name}.js", lambda path: write_text(path, script(name, value())))


def text_media(label: str, suffix: str, text: str) -> Media:
    """A file of a given text."""
    return Media(f"{FOLDER}/{media_name(label, text)}{suffix}", lambda path: write_text(path, text))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Effects -------------------------------------------------------------------------------------------------------------------


def effects_media(folder: Path, effects: Sequence[Effect]) -> Media:
    """Waveforms and spectrograms of all effects, by their number."""
    name = media_name("effects", [[effect.number, effect.sha256] for effect in effects])
    return _media(
        name, lambda: {effect.number: _effect_picture(folder / "effects" / effect.file) for effect in effects}
    )


def _effect_picture(path: Path) -> dict[str, str]:
    sound = read_audio(path)
    mono = sound.mono()
    shape = peaks(mono, EFFECT_COLUMNS) / max(sound.peak, 1e-6)
    return {"wave": as_text(to_levels(shape)), "spectrum": as_text(spectrogram(mono, sound.sample_rate))}


# Instruments ---------------------------------------------------------------------------------------------------------------


def instrument_media(folder: Path, instrument: Instrument, outputs: Sequence[Output]) -> Media:
    """An instrument's zones and samples."""
    role = instrument.role
    names = sorted({zone.sample for zone in instrument.zones})
    made_of = [[output.path, output.sha256] for output in outputs if output.stage == f"instrument-{role}"]
    samples = folder / "instruments" / role / "samples"

    def value() -> dict[str, Any]:
        return {
            **instrument.model_dump(include={"role", "sample_rate", "lead_frames", "velocity_crossfade", "pan"}),
            "envelope": instrument.envelope.model_dump(),
            "zones": [_zone(zone, names) for zone in instrument.zones],
            "samples": [_flac(*_read_sample(samples / name)) for name in names],
            **({"names": _drum_names()} if role == "drums" else {}),
        }

    return _media(media_name(role, [made_of, instrument.model_dump(mode="json")]), value)


def _read_sample(path: Path) -> tuple[Frames16, int]:
    with sound_file_errors():
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return _to16(samples), rate


def _to16(samples: npt.NDArray[np.float32]) -> Frames16:
    return np.asarray(np.clip(np.round(samples * 32768.0), -32768, 32767), dtype=np.int16)


def _flac(frames: Frames16, sample_rate: int) -> str:
    """FLAC of 16 bits in base64."""
    file = io.BytesIO()
    with sound_file_errors():
        soundfile.write(file, frames, sample_rate, "PCM_16", format="FLAC", compression_level=_SPEED)
    return _base64(file.getvalue())


def _drum_names() -> dict[int, str]:
    from phase2_music.instruments.drums import KIT  # not on the way of a swap, which makes no instrument

    return {piece.key: piece.name for piece in KIT}


def _zone(zone: Zone, names: Sequence[str]) -> dict[str, Any]:
    return {**zone.model_dump(exclude={"sample"}, exclude_none=True), "sample": names.index(zone.sample)}


# Songs ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SongMedia:
    """A song's files: its score with the stems' levels, and the stems in stretches."""

    score: str
    chunks: tuple[str, ...]
    write: Callable[[Path], None]

    @property
    def paths(self) -> list[str]:
        """Paths of all files within the run."""
        return [f"{FOLDER}/{name}.js" for name in (self.score, *self.chunks)]


def song_media(folder: Path, path: str, song: Song) -> SongMedia:
    """What the page plays of the song in `folder / path`; `write` takes the run's folder."""
    files: dict[str, tuple[str, str]] = {stem.role: (stem.file, stem.sha256) for stem in song.stems}
    if song.reverb:
        files["room"] = (song.reverb.file, song.reverb.sha256)
    name = media_name(path.rpartition("/")[2], [files, song.key])
    count = -(-round(song.duration_s * song.sample_rate) // CHUNK_FRAMES)
    chunks = tuple(f"{name}-{index:03d}" for index in range(count))

    def write(run: Path) -> None:
        sounds = {part: read_frames16(run / path / file) for part, (file, _) in files.items()}
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda index: _write_chunk(run, chunks[index], sounds, index), range(count)))
        score = {"parts": list(files), "shapes": _shapes(sounds), **_notes(run / path / SCORE_FILE, song)}
        write_text(run / FOLDER / f"{name}.js", script(name, score))

    return SongMedia(name, chunks, write)


def read_frames16(path: Path) -> Frames16:
    """The upper 16 bits of a stem: our 24-bit WAV as it lies on the disk, anything else through libsndfile."""
    if path.suffix != ".wav" or not _is_ours(path):
        return _read_sample(path)[0]
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=_WAV_HEADER_BYTES)
    upper: Frames16 = np.ndarray((len(data) // 6, 2), "<i2", data, offset=1, strides=(6, 3))
    return np.ascontiguousarray(upper)


def _is_ours(path: Path) -> bool:
    """Whether a WAV is of 24 bits and two channels, and its samples begin where we let them begin."""
    with path.open("rb") as file:
        header = file.read(_WAV_HEADER_BYTES)
    return (header[:4], header[22:24], header[34:40]) == (b"RIFF", b"\2\0", b"\x18\0data")


def _write_chunk(run: Path, name: str, sounds: dict[str, Frames16], index: int) -> None:
    span = slice(index * CHUNK_FRAMES, (index + 1) * CHUNK_FRAMES)
    write_text(
        run / FOLDER / f"{name}.js", script(name, {part: encoded(sound[span]) for part, sound in sounds.items()})
    )


def encoded(frames: Frames16) -> str:
    """A stretch of a stem as FLAC in base64, in one channel where both are the same; "" where it is silent."""
    if not frames.any():
        return ""
    same = np.array_equal(frames[:, 0], frames[:, -1])
    return _flac(companded(frames[:, :1] if same else frames), SAMPLE_RATE)


def companded(frames: Frames16, kept: int = KEPT_BITS) -> Frames16:
    """Each block rounded to the `kept` highest bits (sign among them) of its loudest sample."""
    out = frames.copy()
    for start in range(0, len(frames), BLOCK_FRAMES):
        block = out[start : start + BLOCK_FRAMES]
        loudest = max(int(block.max()), -int(block.min()))
        dropped = max(0, loudest.bit_length() + 1 - kept)
        if dropped:
            half = np.int16(1 << (dropped - 1))
            np.minimum(block, np.int16(32767) - half, out=block)
            block += half
            block &= np.int16(-1 << dropped)
    return out


def _shapes(sounds: dict[str, Frames16]) -> dict[str, str]:
    """Each part's peaks over the song, to one scale: the square root, so that soft parts are seen."""
    shapes = {part: peaks(sound[:, 0], SONG_COLUMNS) for part, sound in sounds.items()}
    loudest = max(float(shape.max()) for shape in shapes.values()) or 1.0
    return {part: as_text(to_levels(np.sqrt(shape / loudest))) for part, shape in shapes.items()}


def _notes(path: Path, song: Song) -> dict[str, Any]:
    """Tempo, metre and the notes of each role as [begin ms, duration ms, key, velocity, ...]; empty without the score."""
    if not path.is_file():
        return {"notes": {}}
    try:
        score = read_score(path)
    except ScoreError:  # edited since: the song is whole without it
        return {"notes": {}}
    roles = {track.number: track.role for track in song.score.tracks}
    notes: dict[Role, list[int]] = {role: [] for role in dict.fromkeys(roles.values())}
    begin_s = score.first_note_s if song.preview_s else 0.0
    for track in score.tracks:
        if track.number in roles:
            notes[roles[track.number]] += _track_notes(track, begin_s, begin_s + (song.preview_s or score.duration_s))
    return {"tempo_bpm": round(score.tempo_bpm, 1), "metre": score.metre, "notes": notes, "bars_ms": _bars(score)}


def _bars(score: Score) -> int:
    """How long a bar lasts at the main tempo and metre, in ms."""
    beats, _, unit = score.metre.partition("/")
    return round(60000.0 / score.tempo_bpm * int(beats) * 4 / int(unit))


def _track_notes(track: Track, begin_s: float, end_s: float) -> list[int]:
    sounding: dict[int, tuple[float, int]] = {}
    notes: list[int] = []
    for event in track.events:
        if event.kind == "on" and begin_s <= event.time_s < end_s:
            sounding[event.number] = (event.time_s, event.value)
        elif event.kind == "off" and event.number in sounding:
            on_s, velocity = sounding.pop(event.number)
            notes += [
                round(1000 * (on_s - begin_s)),
                round(1000 * (min(event.time_s, end_s) - on_s)),
                event.number,
                velocity,
            ]
    return notes
