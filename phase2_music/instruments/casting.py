"""Which effect plays which role: the best assignment over all, with a reason for each choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.audio import Audio
from core.errors import UsageError
from phase2_music.instruments.pitch import hz_to_key, judge_pitch
from phase2_music.timbre.analysis import BANDS_HZ, SoundModel, running_rms
from schemas.document import ROLES, Role


@dataclass(frozen=True)
class Traits:
    """What matters of an effect for a role.

    `pitched` is the voiced probability 0..1; `register_key` the MIDI key of the spectrum's centre of gravity;
    `attack_s` from onset to the first level within 6 dB of the peak; `sustain` the share of the first 2 s within 20 dB of the
    peak; `punch` how far the peak stands above the median level, 0..1 for 0..40 dB; `brightness` the share of the power
    above 2 kHz.
    """

    pitched: float
    register_key: float
    attack_s: float
    sustain: float
    punch: float
    brightness: float


@dataclass(frozen=True)
class Candidate:
    """An effect that may be cast: its number and name, the role that its variant asks for, and its traits."""

    number: int
    name: str
    role_hint: Role | None
    confidence: float
    traits: Traits


@dataclass(frozen=True)
class Choice:
    """One role's effect: `score` is higher for a better fit; `reason` is for people."""

    role: Role
    candidate: Candidate
    score: float
    reason: str


# What each role wants: (trait, wanted value, span of tolerance, weight, words when it fits).
_WISHES: dict[Role, tuple[tuple[str, float, float, float, str], ...]] = {
    "keyboard": (
        ("pitched", 1.0, 1.0, 0.5, "clear pitch"),
        ("register_key", 76.0, 24.0, 0.5, "middle register"),
        ("sustain", 0.8, 0.8, 0.4, "rings on"),
        ("brightness", 0.3, 0.5, 0.2, "even colour"),
    ),
    "bass": (
        ("register_key", 50.0, 24.0, 1.0, "low register"),
        ("sustain", 0.8, 0.8, 0.3, "sustains"),
        ("brightness", 0.0, 0.4, 0.4, "dark"),
    ),
    "guitar": (
        ("pitched", 1.0, 1.0, 0.3, "clear pitch"),
        ("register_key", 84.0, 24.0, 0.4, "upper middle register"),
        ("attack_s", 0.0, 0.08, 0.5, "quick attack"),
        ("sustain", 0.4, 0.5, 0.3, "plucked decay"),
    ),
    "drums": (
        ("punch", 1.0, 0.8, 1.2, "percussive"),
        ("attack_s", 0.0, 0.05, 0.4, "sharp attack"),
        ("pitched", 0.0, 0.8, 0.3, "no pitch of its own"),
    ),
}
_HINT_WEIGHT = 2.0
_OTHER_HINT_PENALTY = 0.6
_MORE_DRUMS = 3


def traits_of(sound: Audio) -> Traits:
    """Measure an effect.

    Raises:
        AudioError: the sound is silent.
    """
    model = SoundModel.of(sound)
    rate = model.sample_rate
    head = model.samples[: 2 * rate]
    level = running_rms(head, round(0.01 * rate))
    peak = level.max()
    power = 10 ** (model.colour_db / 10) * BANDS_HZ
    centre_hz = float(np.exp(np.sum(np.log(BANDS_HZ) * power) / np.sum(power)))
    return Traits(
        pitched=judge_pitch(head, rate).voiced_probability,
        register_key=hz_to_key(centre_hz),
        attack_s=int(np.argmax(level > 0.5 * peak)) / rate,
        sustain=float(np.mean(np.pad(level, (0, max(0, 2 * rate - len(level)))) > 0.1 * peak)),
        punch=float(np.clip(20 * np.log10(peak / (np.median(level) + 1e-9)) / 40, 0.0, 1.0)),
        brightness=float(np.sum(power[BANDS_HZ > 2000]) / np.sum(power)),
    )


def fit(candidate: Candidate, role: Role) -> tuple[float, list[str]]:
    """How well an effect suits a role (higher is better) and what speaks for it.

    The variant's own mapping counts most, by its confidence; each wish of the role adds its weight times how near the trait is.
    """
    score, words = 0.0, []
    if candidate.role_hint == role:
        score += _HINT_WEIGHT * candidate.confidence
        words.append(f"the scene asks for {role} (confidence {candidate.confidence:.2f})")
    elif candidate.role_hint is not None:
        score -= _OTHER_HINT_PENALTY * candidate.confidence
    for trait, wanted, span, weight, text in _WISHES[role]:
        nearness = max(0.0, 1.0 - abs(getattr(candidate.traits, trait) - wanted) / span)
        score += weight * nearness
        if nearness >= 0.6:
            words.append(text)
    return score, words


def cast(candidates: Sequence[Candidate], roles: Sequence[Role] = ROLES) -> list[Choice]:
    """Give every role an effect so that the scores add up to the most (Hungarian method).

    No effect plays two roles while there are enough; with fewer effects than roles each is used before one is used again.
    `candidates` must not be empty.
    """
    if not roles:
        return []
    copies = -(-len(roles) // len(candidates))
    pool = [candidate for _ in range(copies) for candidate in candidates]
    # A second use costs more than any fit can gain, so it happens only when effects run out.
    again = np.repeat(np.arange(copies) * 100.0, len(candidates))
    scores = np.array([[fit(candidate, role)[0] for candidate in pool] for role in roles]) - again
    rows, columns = linear_sum_assignment(scores, maximize=True)
    choices = [_choice(roles[row], pool[column]) for row, column in zip(rows, columns, strict=True)]
    used: set[int] = set()
    for index, choice in enumerate(choices):
        if choice.candidate.number in used:
            reason = f"{choice.reason}; used again: the picture has fewer effects than the band has roles"
            choices[index] = Choice(choice.role, choice.candidate, choice.score, reason)
        used.add(choice.candidate.number)
    return choices


def cast_band(candidates: Sequence[Candidate], wanted: Mapping[Role, Sequence[int]]) -> list[Choice]:
    """Cast the whole band: what the user asked for by number first, the best assignment for the other roles.

    Drums may be several effects: those that were asked for, or the chosen one and up to three more whose variants ask for
    drums and that nobody else plays. A role's main effect comes first.

    Raises:
        UsageError: a number that no effect has, or several effects for a role that takes one.
    """
    by_number = {candidate.number: candidate for candidate in candidates}
    choices = [
        Choice(role, by_number[number], fit(by_number[number], role)[0], "asked for")
        for role, numbers in checked_wishes(wanted, by_number).items()
        for number in numbers
    ]
    taken = {choice.candidate.number for choice in choices}
    free = [candidate for candidate in candidates if candidate.number not in taken] or list(candidates)
    choices += cast(free, [role for role in ROLES if role not in wanted])
    if "drums" not in wanted:
        choices += _more_drums(candidates, {choice.candidate.number for choice in choices})
    return sorted(choices, key=lambda choice: ROLES.index(choice.role))


def checked_wishes(
    wanted: Mapping[Role, Sequence[int]], by_number: Mapping[int, Candidate]
) -> Mapping[Role, Sequence[int]]:
    """The same wishes, once it is sure that they can be met."""
    for role, numbers in wanted.items():
        if len(numbers) > 1 and role != "drums":
            raise UsageError(f"--cast {role}={'+'.join(map(str, numbers))}: only drums can be made of several effects")
        for number in numbers:
            if number not in by_number:
                known = ", ".join(f"{known} ({by_number[known].name})" for known in sorted(by_number))
                raise UsageError(f"--cast {role}={number}: there is no such effect: choose from {known}")
    return wanted


def _more_drums(candidates: Sequence[Candidate], taken: set[int]) -> list[Choice]:
    idle = [c for c in candidates if c.number not in taken and c.role_hint == "drums"]
    best = sorted(idle, key=lambda candidate: -fit(candidate, "drums")[0])[:_MORE_DRUMS]
    return [Choice("drums", c, round(fit(c, "drums")[0], 4), "shares the kit") for c in best]


def _choice(role: Role, candidate: Candidate) -> Choice:
    score, words = fit(candidate, role)
    return Choice(role, candidate, round(score, 4), ", ".join(words) or "the best of what is left")
