"""Which use of a timbre model is the better one: on the effect, before notes are made of it, or on the finished notes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.audio import SAMPLE_RATE, Audio
from core.errors import EngineError
from flows.evaluation.measures import measure_seam, mel_distance, mel_profile
from flows.evaluation.timbre.family import Family
from phase2_music.instruments.pitch import judge_pitch, key_to_hz
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.instruments.samples import Sample
from phase2_music.instruments.tuning import Tuner
from phase2_music.timbre.analysis import SoundModel
from phase2_music.timbre.engines.rave.engine import Rave
from phase2_music.timbre.engines.resonator import Resonator
from phase2_music.timbre.protocol import TimbreEngine, VoiceRequest
from schemas.document import Role

KEYS = 4
IN_TUNE = 0.98

_SEED = 2024


@dataclass(frozen=True)
class UseRow:
    """Samples of several effects made one way.

    `closeness` is the mean log odds of belonging to the family, `colour_db` the mean distance of the samples' mel spectra to
    their effect's, `blend` the mean share of the model's sound that samples kept (None where none is lent), `seam_db` the
    worst break at a loop's seam against its surroundings. `problem` says why there are no samples.
    """

    use: str
    samples: int = 0
    in_tune: int = 0
    closeness: float | None = None
    colour_db: float | None = None
    blend: float | None = None
    seam_db: float | None = None
    problem: str = ""

    @property
    def usable(self) -> bool:
        return self.samples > 0 and self.in_tune >= IN_TUNE * self.samples


def use_rows(model: str, role: Role, effects: dict[str, Audio], family: Family) -> list[UseRow]:
    """Make samples of effects without the model and with either use of it (`model` is what stands behind `rave:`)."""
    engines: dict[str, TimbreEngine] = {"resonator": Resonator()}
    for use in ("notes", "effect"):
        engines[use] = Rave(f"{model}?force=yes&use={use}")
    rows = []
    for use, engine in engines.items():
        try:
            rows.append(_row(use, engine, role, effects, family))
        except EngineError as error:  # a model that answers with silence cannot be used so: that is a finding
            rows.append(UseRow(use, problem=str(error)))
    return rows


def better_use(rows: Sequence[UseRow]) -> str:
    """The use that keeps instruments in tune and brings them closer to the family; "neither" where none does both."""
    plain, *others = [(row.closeness, row.use) for row in rows if row.usable and row.closeness is not None]
    able = [one for one in others if one[0] > plain[0]]
    return max(able)[1] if able else "neither"


def _row(use: str, engine: TimbreEngine, role: Role, effects: dict[str, Audio], family: Family) -> UseRow:
    made = [(sound, sample) for sound in effects.values() for sample in _samples(engine, role, sound)]
    blends = [sample.blend for _, sample in made if sample.blend is not None]
    played = [Audio(np.tile(sample.mono, 2)[: 2 * SAMPLE_RATE], SAMPLE_RATE) for _, sample in made]
    colours = [
        mel_distance(mel_profile(sample.mono), mel_profile(sound.mono()), key_to_hz(sample.key))
        for sound, sample in made
    ]
    return UseRow(
        use,
        len(made),
        sum(sample.in_tune for _, sample in made),
        round(float(np.mean([family.closeness(sound) for sound in played])), 2),
        round(float(np.mean(colours)), 2),
        round(float(np.mean(blends)), 3) if blends else None,
        round(max(seam_db(sample) for _, sample in made), 2),
    )


def _samples(engine: TimbreEngine, role: Role, sound: Audio) -> list[Sample]:
    spec = ROLE_SPECS[role]
    voice = engine.voice(VoiceRequest(sound, role, _SEED))
    pitch = judge_pitch(SoundModel.of(voice.colour).samples[: 2 * SAMPLE_RATE], SAMPLE_RATE)
    keys = np.linspace(spec.lo_key + 4, spec.hi_key - 4, KEYS).round().astype(int).tolist()
    return Tuner(voice, pitch, spec.character, spec.loudness_lufs).samples(keys, str)


def seam_db(sample: Sample) -> float:
    """The worst break at the seam of a sample's loop, over its channels, in dB against what surrounds it."""
    if sample.loop is None:
        return 0.0
    start, end = sample.loop
    f0_hz = key_to_hz(sample.key)
    loops = (channel[start : end + 1] for channel in sample.samples)
    return max(measure_seam(sample.name, 0, loop, f0_hz, SAMPLE_RATE).click_db for loop in loops)
