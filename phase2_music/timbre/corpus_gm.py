"""Notes out of a General MIDI soundfont, played by FluidSynth: a corpus without a download."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from core.audio import SAMPLE_RATE, Audio
from core.errors import EngineError, InstrumentError, UsageError
from core.manifest import sha256_file
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.rendering.synth import Struck, play_program
from phase2_music.timbre.corpus_source import CorpusOptions, Origin, Take
from schemas.document import Role
from schemas.timbre import CorpusProgram, Split

FLUIDR3 = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
"""Where Debian's and Ubuntu's package fluid-soundfont-gm puts FluidR3 (MIT licence)."""

_FLUIDR3_LICENCE = "MIT (FluidR3_GM by Frank Wen)"
_HELD_SHARE = 0.75  # of a note's length: the rest is its release

# General MIDI's names, and which program of each family no training note comes from: one that lies among the others.
FAMILIES: dict[Role, dict[int, str]] = {
    "keyboard": {
        0: "Acoustic Grand Piano",
        1: "Bright Acoustic Piano",
        2: "Electric Grand Piano",
        3: "Honky-tonk Piano",
        4: "Electric Piano 1",
        5: "Electric Piano 2",
        6: "Harpsichord",
        7: "Clavi",
    },
    "bass": {
        32: "Acoustic Bass",
        33: "Electric Bass (finger)",
        34: "Electric Bass (pick)",
        35: "Fretless Bass",
        36: "Slap Bass 1",
        37: "Slap Bass 2",
        38: "Synth Bass 1",
        39: "Synth Bass 2",
    },
    "guitar": {
        24: "Acoustic Guitar (nylon)",
        25: "Acoustic Guitar (steel)",
        26: "Electric Guitar (jazz)",
        27: "Electric Guitar (clean)",
        28: "Electric Guitar (muted)",
        29: "Overdriven Guitar",
        30: "Distortion Guitar",
        31: "Guitar harmonics",
    },
}
HELD_OUT_PROGRAM: dict[Role, int] = {"keyboard": 1, "bass": 34, "guitar": 27}
EXTRA_KEYS = 7
"""Semitones on either side of the role's range that are played too: instruments are heard beyond it."""

LOWEST_KEY, HIGHEST_KEY = 24, 96


class GeneralMidi:
    """The programs of one family of General MIDI."""

    def __init__(self, options: CorpusOptions) -> None:
        self._options = options
        self._soundfont = find_soundfont(options.soundfont)
        self.origin = self._origin()
        self.takes = self._takes()

    def sounds(self, takes: Sequence[Take]) -> Iterator[Audio]:
        """Play one program's takes.

        Raises:
            EngineError: FluidSynth is missing, or the soundfont does not load or lacks the program.
        """
        frames = round(self._options.duration_s * SAMPLE_RATE)
        struck = [Struck(take.key, take.velocity, round(_HELD_SHARE * frames), frames) for take in takes]
        try:
            yield from play_program(self._soundfont, takes[0].program, struck)
        except InstrumentError as error:
            raise EngineError(
                f"{self._soundfont}: no General MIDI soundfont with program {takes[0].program}: name another with --soundfont"
            ) from error

    def _origin(self) -> Origin:
        held_out, names = HELD_OUT_PROGRAM[self._options.role], FAMILIES[self._options.role]
        keys = self._keys()
        return Origin(
            name=self._soundfont.name,
            sha256=sha256_file(self._soundfont),
            licence=_FLUIDR3_LICENCE if self._soundfont.name == FLUIDR3.name else "that of the soundfont",
            programs=tuple(
                CorpusProgram(program=number, name=names[number], held_out=number == held_out)
                for number in self._programs()
            ),
            # Every seventh key, so that all twelve pitch classes come among them, and half as many between for validation.
            held_out_keys=tuple(keys[3::7]),
            valid_keys=tuple(keys[6::14]),
        )

    def _programs(self) -> list[int]:
        family = FAMILIES[self._options.role]
        for program in self._options.programs:
            if program not in family:
                raise UsageError(f"program {program} is none of {self._options.role}: choose from {list(family)}")
        return sorted(self._options.programs or family)

    def _keys(self) -> list[int]:
        spec = ROLE_SPECS[self._options.role]
        lowest, highest = max(LOWEST_KEY, spec.lo_key - EXTRA_KEYS), min(HIGHEST_KEY, spec.hi_key + EXTRA_KEYS)
        return list(range(lowest, highest + 1, self._options.key_step))

    def _takes(self) -> list[Take]:
        return [
            Take(f"{program:03d}_{key:03d}_{velocity:03d}", key, velocity, program, self._split(key, program))
            for program in self._programs()
            for key in self._keys()
            for velocity in sorted(set(self._options.velocities))
        ]

    def _split(self, key: int, program: int) -> Split:
        if key in self.origin.held_out_keys or program == HELD_OUT_PROGRAM[self._options.role]:
            return "test"
        return "valid" if key in self.origin.valid_keys else "train"


def find_soundfont(wish: Path | None) -> Path:
    """The soundfont that was asked for, or FluidR3.

    Raises:
        UsageError: the one that was asked for does not exist.
        EngineError: FluidR3 is not installed.
    """
    if wish is not None:
        if not wish.is_file():
            raise UsageError(f"{wish}: no such soundfont: check the path")
        return wish
    if not FLUIDR3.is_file():
        raise EngineError(
            f"{FLUIDR3}: no such soundfont: run `apt-get install fluid-soundfont-gm` (Debian, Ubuntu), or name another "
            "General MIDI soundfont with --soundfont"
        )
    return FLUIDR3
