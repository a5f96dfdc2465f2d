"""The four roles of the band: range, envelope, place in General MIDI. One table that builder, writers and docs share."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.document import Role
from schemas.instrument import Envelope

KEY_STEP = 3
"""Semitones between samples: players then shift a sample by one semitone at most, which no ear objects to."""

COMPACT_KEY_STEP = 6
"""The same for compact instruments: three semitones at most."""

DRUM_BANK = 128

CHOKES: dict[int, tuple[int, ...]] = {46: (42, 44), 72: (71,), 74: (73,), 79: (78,), 81: (80,)}
"""General MIDI's pieces that ring until they are cut, by key, and the short pieces of the same thing that cut them: hi-hats,
whistles, guiros, cuicas, triangles."""

RAMP_FRAMES = 64
"""Silence before each drum sample, which FluidSynth's ramp over a fresh voice may take; rendering strikes so much earlier."""


@dataclass(frozen=True)
class RoleSpec:
    """What an instrument of a role is like.

    `lo_key` to `hi_key` is the range that is sampled and measured; the outermost zones reach on to keys 0 and 127.
    `character` is the default of the dial from 0 (pure tone) to 1 (the effect itself). `program` and `bank` are General
    MIDI's; `loudness_lufs` is that of each sample; `mix_lufs` that of the role's stem in a mix before the tone correction,
    which lifts what is low: in the end the bass lies some 4 LU below the keyboard, and the drums up to 3 LU above it.
    """

    lo_key: int
    hi_key: int
    envelope: Envelope
    character: float
    bank: int
    program: int
    loudness_lufs: float
    mix_lufs: float

    def preset(self, turn: int) -> tuple[int, int]:
        """SF2 bank and program of a round robin's turn: the first is General MIDI's own, a kit's others are further kits."""
        return (self.bank, self.program + turn - 1) if self.bank == DRUM_BANK else (self.bank + turn - 1, self.program)

    def root_keys(self, step: int = KEY_STEP) -> tuple[int, ...]:
        """Keys that get a sample of their own, `step` semitones apart."""
        return tuple(range(self.lo_key + step // 2, self.hi_key + 1, step))


ROLE_SPECS: dict[Role, RoleSpec] = {
    "keyboard": RoleSpec(
        36, 96, Envelope(attack_s=0.002, decay_s=4.0, sustain=0.25, release_s=0.5), 0.6, 0, 0, -20.0, -20.5
    ),
    "bass": RoleSpec(
        28, 60, Envelope(attack_s=0.002, decay_s=3.0, sustain=0.35, release_s=0.25), 0.6, 0, 33, -20.0, -30.5
    ),
    "guitar": RoleSpec(
        40, 88, Envelope(attack_s=0.001, decay_s=4.0, sustain=0.1, release_s=0.35), 0.6, 0, 25, -20.0, -21.5
    ),
    "drums": RoleSpec(
        35, 81, Envelope(attack_s=0.0, decay_s=0.0, sustain=1.0, release_s=60.0), 0.7, DRUM_BANK, 0, -20.0, -24.0
    ),
}
