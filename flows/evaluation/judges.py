"""Independent players: FluidSynth reads our SF2, sfizz our SFZ, from the same notes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Protocol

import mido
import numpy as np

from core.audio import SAMPLE_RATE, Samples, read_audio
from core.errors import EngineError
from phase2_music.rendering.synth import library_version, play_keys
from schemas.document import Role
from schemas.instrument import Instrument, Zone

_GAP_S = 0.1
_VOLUME = 7
_ALL_SOUND_OFF = 120


class Strike(NamedTuple):
    """A key (MIDI) and how hard it is struck (velocity 1-127)."""

    key: int
    velocity: int


class Player(Protocol):
    """Plays the instrument in a folder, one note at a time."""

    name: str

    def play(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give each note held for `seconds`, alone and as if it were the first, left channel, shape (frames,).

        Raises:
            InstrumentError: the instrument cannot be loaded.
            EngineError: the player failed.
        """
        ...

    def play_on(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give each note as it sounds after those before it, as round robins turn; nothing where the format has none."""
        ...


class FluidSynthPlayer:
    """FluidSynth on `<role>.sf2`.

    Raises:
        EngineError: libfluidsynth is not installed.
    """

    name = "fluidsynth"

    def __init__(self) -> None:
        self.version = library_version()

    def play(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give each note held for `seconds`, alone, left channel, shape (frames,)."""
        for strike in strikes:
            notes = play_keys(folder / f"{role}.sf2", role, [strike.key], seconds=seconds, velocity=strike.velocity)
            yield next(notes)[1]

    def play_on(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give nothing: SF2 has no round robins."""
        yield from ()


class SfizzPlayer:
    """sfizz (the `sfizz_render` that pysfizz brings) on `<role>.sfz`.

    Raises:
        EngineError: pysfizz is not installed.
    """

    name = "sfizz"

    def __init__(self) -> None:
        self.program = find_sfizz_render()

    def play(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give each note held for `seconds`, alone and as if it were the first, left channel, shape (frames,)."""
        sounds: dict[int, Samples] = {}
        for places in rounds(Instrument.read(folder / "instrument.json").zones, strikes):
            played = self.play_on(folder, role, [strikes[place] for place in places], seconds)
            sounds.update(zip(places, played, strict=True))
        yield from (sounds[place] for place in range(len(strikes)))

    def play_on(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give each note of one go, in which round robins turn."""
        gap, held = round(_GAP_S * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
        with tempfile.TemporaryDirectory(prefix="photone-sfizz-") as scratch:
            midi, wav = Path(scratch) / "notes.mid", Path(scratch) / "notes.wav"
            write_strikes(midi, strikes, held, gap)
            self._render(folder / f"{role}.sfz", midi, wav, gap + len(strikes) * (gap + held))
            sound = read_audio(wav).samples[0]
        # sfizz_render rounds down to 16 bits: its silence lies at -1.
        sound = sound - np.median(sound[: gap // 2])
        for place in range(len(strikes)):
            start = gap + place * (gap + held)
            yield sound[start : start + held]

    def _render(self, sfz: Path, midi: Path, wav: Path, frames: int) -> None:
        """Run sfizz under guard: a pedal held on a loop has been seen to fill 25 GB in ten minutes."""
        command = [str(self.program), "--sfz", str(sfz), "--midi", str(midi), "--wav", str(wav)]
        command += ["--use-eot", "--samplerate", str(SAMPLE_RATE)]
        largest = 16 * frames + (1 << 24)
        timeout_s = 60.0 + 2.0 * frames / SAMPLE_RATE
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False,
                preexec_fn=lambda: _limit_file_size(largest),
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"{sfz.name}: sfizz did not end within {timeout_s:.0f} s") from error
        except OSError as error:
            raise EngineError(f"{self.program}: cannot be run ({error.strerror}): install pysfizz again") from error
        if done.returncode or not wav.is_file():
            said = (done.stderr or done.stdout).strip()[-200:]
            raise EngineError(f"{sfz.name}: sfizz ended with status {done.returncode} ({said})")


def _limit_file_size(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def find_sfizz_render() -> Path:
    """The `sfizz_render` program among pysfizz's files.

    Raises:
        EngineError: pysfizz is not installed, or brings no such program.
    """
    advice = "install the extra `dev` (pip install photone[dev])"
    try:
        files = metadata.distribution("pysfizz").files or []
    except metadata.PackageNotFoundError as error:
        raise EngineError(f"pysfizz is not installed, so no sfizz judges the SFZ: {advice}") from error
    for file in files:
        if file.parent.name == "bin" and file.stem == "sfizz_render":
            return Path(str(file.locate())).resolve()
    raise EngineError(f"pysfizz brings no bin/sfizz_render here: {advice}")


def rounds(zones: Sequence[Zone], strikes: Sequence[Strike]) -> list[list[int]]:
    """Places of the strikes in groups that play no zone twice: round robins then begin anew for each strike."""
    spans = {(zone.lo_key, zone.hi_key) for zone in zones}
    groups: list[tuple[set[tuple[int, int]], list[int]]] = []
    for place, strike in enumerate(strikes):
        played = {span for span in spans if span[0] <= strike.key <= span[1]}
        free = next((group for group in groups if not group[0] & played), None)
        if free is None:
            free = (set(), [])
            groups.append(free)
        free[0].update(played)
        free[1].append(place)
    return [places for _, places in groups]


def write_strikes(path: Path, strikes: Sequence[Strike], held: int, gap: int) -> None:
    """A MIDI file of notes held for `held` frames and then cut, `gap` frames before each; a tick is a frame at 44.1 kHz.

    The volume is turned up at the start: a player that writes 16 bits then loses less of soft notes.
    """
    midi = mido.MidiFile(type=0, ticks_per_beat=SAMPLE_RATE // 2)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=500_000, time=0))
    track.append(mido.Message("control_change", control=_VOLUME, value=127, time=0))
    for strike in strikes:
        track.append(mido.Message("note_on", note=strike.key, velocity=strike.velocity, time=gap))
        track.append(mido.Message("note_off", note=strike.key, velocity=0, time=held))
        track.append(mido.Message("control_change", control=_ALL_SOUND_OFF, value=0, time=0))
    track.append(mido.MetaMessage("end_of_track", time=0))
    midi.save(path)
