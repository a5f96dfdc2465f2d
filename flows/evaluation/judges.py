"""Independent players: FluidSynth reads our SF2, sfizz our SFZ, from the same notes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Protocol

import mido

from core.audio import SAMPLE_RATE, Samples, read_audio
from core.errors import EngineError
from phase2_music.rendering.synth import library_version, play_keys
from schemas.document import Role

_GAP_S = 0.1
_ALL_SOUND_OFF = 120


class Strike(NamedTuple):
    """A key (MIDI) and how hard it is struck (velocity 1-127)."""

    key: int
    velocity: int


class Player(Protocol):
    """Plays the instrument in a folder, one note at a time."""

    name: str

    def play(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give each note held for `seconds`, alone, left channel, shape (frames,).

        Raises:
            InstrumentError: the instrument cannot be loaded.
            EngineError: the player failed.
        """
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


class SfizzPlayer:
    """sfizz (the `sfizz_render` that pysfizz brings) on `<role>.sfz`.

    Raises:
        EngineError: pysfizz is not installed.
    """

    name = "sfizz"

    def __init__(self) -> None:
        self.program = find_sfizz_render()

    def play(self, folder: Path, role: Role, strikes: Sequence[Strike], seconds: float) -> Iterator[Samples]:
        """Give each note held for `seconds`, alone, left channel, shape (frames,)."""
        slot = round((seconds + _GAP_S) * SAMPLE_RATE)
        held = round(seconds * SAMPLE_RATE)
        with tempfile.TemporaryDirectory(prefix="photone-sfizz-") as scratch:
            midi, wav = Path(scratch) / "notes.mid", Path(scratch) / "notes.wav"
            write_strikes(midi, strikes, held, slot)
            self._render(folder / f"{role}.sfz", midi, wav, len(strikes) * slot)
            sound = read_audio(wav).samples[0]
        for place in range(len(strikes)):
            yield sound[place * slot : place * slot + held]

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


def write_strikes(path: Path, strikes: Sequence[Strike], held: int, slot: int) -> None:
    """A MIDI file with a note each `slot` frames, held for `held` frames and then cut; one tick is one frame at 44.1 kHz."""
    midi = mido.MidiFile(type=0, ticks_per_beat=SAMPLE_RATE // 2)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=500_000, time=0))
    for strike in strikes:
        track.append(mido.Message("note_on", note=strike.key, velocity=strike.velocity, time=0))
        track.append(mido.Message("note_off", note=strike.key, velocity=0, time=held))
        track.append(mido.Message("control_change", control=_ALL_SOUND_OFF, value=0, time=0))
        track.append(mido.Message("control_change", control=_ALL_SOUND_OFF, value=0, time=slot - held))
    track.append(mido.MetaMessage("end_of_track", time=0))
    midi.save(path)
