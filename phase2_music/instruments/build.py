"""Audio -> Instrument: one effect becomes a playable instrument of a role, with its SFZ, SF2 and samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.audio import SAMPLE_RATE, Audio, write_audio
from core.engines import EngineInfo
from core.errors import AudioError, InstrumentError
from core.manifest import atomic_folder
from phase2_music.instruments.cleaning import clean
from phase2_music.instruments.decentsampler import dspreset_text
from phase2_music.instruments.drums import KIT, best_model, render_turns
from phase2_music.instruments.layers import VELOCITY_CROSSFADE, drum_zones, melodic_zones
from phase2_music.instruments.pitch import Pitch, judge_pitch
from phase2_music.instruments.roles import COMPACT_KEY_STEP, KEY_STEP, RAMP_FRAMES, ROLE_SPECS, RoleSpec
from phase2_music.instruments.samples import UNHEARD_CENTS, Sample
from phase2_music.instruments.sfz import sfz_text
from phase2_music.instruments.soundfont import soundfont
from phase2_music.instruments.tuning import Tuner
from phase2_music.timbre.analysis import SoundModel
from phase2_music.timbre.protocol import LendingVoice, TimbreEngine, Voice, VoiceRequest
from schemas.document import Role
from schemas.effect import EngineRecord
from schemas.instrument import Instrument, SourceEffect, Verified, Zone


@dataclass(frozen=True)
class InstrumentRequest:
    """What is to be built.

    `sound` is the effect at any rate, mono or stereo; `file` names it in the documents. `character` is the dial from 0 (pure
    tone) to 1 (the effect itself), None for the role's default. `pan` (-1..1) is where its source stands in the picture,
    `openness` (0..1) how open the scene is.
    `others` are further effects that share a drum kit; each piece is made of the one that suits it best. `compact` makes a
    small instrument: a sample for every sixth key, no round robins, samples of 16 bits.
    """

    sound: Audio
    file: str
    sha256: str
    name: str
    role: Role
    seed: int
    character: float | None = None
    pan: float = 0.0
    openness: float = 0.5
    others: tuple[Audio, ...] = ()
    compact: bool = False


@dataclass(frozen=True)
class Built:
    """A finished instrument, and its effect with the timbre lent to it, at its own pitch."""

    instrument: Instrument
    colour: Audio


@dataclass(frozen=True)
class _Parts:
    """What a role's builder gives: samples, zones, how they were made and what was measured."""

    samples: list[Sample]
    zones: list[Zone]
    method: str
    verified: Verified
    warnings: list[str]


def build_instrument(request: InstrumentRequest, engine: TimbreEngine, out: Path) -> Built:
    """Build an instrument and write `<role>.sfz`, `<role>.sf2`, `<role>.dspreset`, `samples/` and `instrument.json` into `out`.

    `out` is replaced as a whole when all is done. The same request gives the same bytes.

    Raises:
        AudioError: the sound is silent.
        InstrumentError: not one key could be built in tune.
        OutputError: `out` cannot be written to.
    """
    spec = ROLE_SPECS[request.role]
    character = spec.character if request.character is None else request.character
    try:
        cleaned = clean(request.sound)
    except AudioError as error:
        raise AudioError(f"{request.file}: {error}") from error
    request = dataclasses.replace(request, sound=_mono(cleaned.audio), character=character)
    voice = engine.voice(VoiceRequest(request.sound, request.role, request.seed))
    pitch = _pitch_of(request.sound)
    source = SourceEffect(
        file=request.file,
        sha256=request.sha256,
        name=request.name,
        pitched=pitch.pitched,
        f0_hz=pitch.f0_hz if pitch.pitched else None,
        voiced_probability=round(pitch.voiced_probability, 4),
    )
    if request.role == "drums":
        others = [
            engine.voice(VoiceRequest(_mono(clean(sound).audio), "drums", request.seed)) for sound in request.others
        ]
        parts = _drum_kit(request, spec, [voice, *others])
    else:
        # An engine may give the effect another pitch, or take it away: keys are made of what sounds now.
        now = pitch if voice.colour is request.sound else _pitch_of(voice.colour)
        parts = _melodic(request, spec, Tuner(voice, now, character, spec.loudness_lufs))
    parts = dataclasses.replace(parts, warnings=[*parts.warnings, *_remarks(voice, parts.samples)])
    instrument = _document(request, source, engine.info, parts, cleaned.removed)
    _write(instrument, parts.samples, out, compact=request.compact)
    return Built(instrument, voice.colour)


def _pitch_of(sound: Audio) -> Pitch:
    return judge_pitch(SoundModel.of(sound).samples[: 2 * SAMPLE_RATE], SAMPLE_RATE)


def _remarks(voice: Voice, samples: Sequence[Sample]) -> list[str]:
    """What a voice says of itself, and which keys took nothing of the timbre that it lends."""
    if not isinstance(voice, LendingVoice):
        return []
    dry = [sample.key for sample in samples if sample.blend == 0.0]
    told = [f"keys {dry} would be out of tune or silent with the lent timbre: they go without it"] if dry else []
    return [*voice.remarks, *told]


def _mono(sound: Audio) -> Audio:
    mono = Audio(sound.mono(), sound.sample_rate).resampled(SAMPLE_RATE)
    return Audio(mono.samples - np.mean(mono.samples, dtype=np.float64).astype(np.float32), SAMPLE_RATE)


def _drum_kit(request: InstrumentRequest, spec: RoleSpec, voices: list[Voice]) -> _Parts:
    models = [SoundModel.of(voice.colour) for voice in voices]
    samples = []
    for piece in KIT:
        turns = 1 if request.compact else piece.alternatives
        hits = render_turns(best_model(models, piece), piece, request.seed, turns, spec.loudness_lufs)
        samples += [
            Sample(file_name(request.role, piece.key, turn), piece.key, hit.samples, alternative=turn)
            for turn, hit in enumerate(hits, 1)
        ]
    zones = drum_zones(samples, {piece.key: piece.exclusive_class for piece in KIT})
    verified = Verified(notes=0, within_25_cents=0, median_abs_cents=None)
    return _Parts(samples, zones, "drum-kit", verified, [])


def _melodic(request: InstrumentRequest, spec: RoleSpec, tuner: Tuner) -> _Parts:
    step = COMPACT_KEY_STEP if request.compact else KEY_STEP
    made = tuner.samples(spec.root_keys(step), lambda key: file_name(request.role, key))
    can_tune = tuner.can_tune
    # A sound that nothing can tune is played as it is; else what stays out of tune is left out and its neighbours reach over.
    kept = [sample for sample in made if sample.in_tune] if can_tune else made
    left_out = [sample.key for sample in made if sample not in kept]
    if not kept:
        raise InstrumentError(
            f"{request.file}: no key of the {request.role} could be built in tune: choose another sound"
        )
    off = [
        float(np.mean(np.abs(s.off_cents)))
        for s in kept
        if s.off_cents is not None and UNHEARD_CENTS not in s.off_cents
    ]
    verified = Verified(
        notes=len(kept),
        within_25_cents=sum(sample.in_tune for sample in kept),
        median_abs_cents=round(float(np.median(off)), 2) if off else None,
        left_out=left_out,
    )
    warnings = [f"keys {left_out} did not come out in tune: neighbouring samples play them"] if left_out else []
    if not can_tune:
        warnings.append("the effect is unpitched and the timbre engine cannot tune it: this instrument is out of tune")
    method = "untuned" if not can_tune else "pitch-shift" if tuner.pitch.pitched else "resynthesis"
    zones = melodic_zones(kept, round_robins=not request.compact)
    return _Parts(kept, zones, method, verified, warnings)


def _document(
    request: InstrumentRequest, source: SourceEffect, info: EngineInfo, parts: _Parts, cleaned: Sequence[str]
) -> Instrument:
    return Instrument.model_validate(
        {
            "role": request.role,
            "name": f"{request.name} {request.role}",
            "source_effect": source,
            "pitched": source.pitched,
            "timbre": EngineRecord.of(info),
            "seed": request.seed,
            "character": request.character,
            "method": parts.method,
            "sample_rate": SAMPLE_RATE,
            "channels": max(len(sample.samples) for sample in parts.samples),
            "envelope": ROLE_SPECS[request.role].envelope,
            "lead_frames": RAMP_FRAMES if request.role == "drums" else 0,
            "velocity_crossfade": VELOCITY_CROSSFADE,
            "pan": request.pan,
            "openness": request.openness,
            "zones": parts.zones,
            "verified": parts.verified,
            "blends": {sample.name: sample.blend for sample in parts.samples if sample.blend is not None},
            "cleaned": list(cleaned),
            "warnings": parts.warnings,
        }
    )


def file_name(role: Role, key: int, turn: int = 1) -> str:
    """Name of a sample's file: letters, digits and an underscore, which any system can hold."""
    return f"{role}_{key:03d}.flac" if turn == 1 else f"{role}_{key:03d}_{turn}.flac"


def own_files(role: Role) -> tuple[str, ...]:
    """Patterns of what an instrument's folder holds."""
    return (
        "instrument.json",
        *(f"{role}.{kind}" for kind in ("sfz", "sf2", "dspreset")),
        "samples",
        f"samples/{role}_*.flac",
    )


def _write(instrument: Instrument, samples: list[Sample], out: Path, *, compact: bool) -> None:
    role = instrument.role
    with atomic_folder(out) as folder:
        for sample in samples:
            subtype = "PCM_16" if compact else "PCM_24"
            write_audio(folder / "samples" / sample.name, Audio(sample.samples, SAMPLE_RATE), subtype)
        (folder / f"{role}.sfz").write_text(sfz_text(instrument), encoding="utf-8")
        (folder / f"{role}.dspreset").write_text(dspreset_text(instrument), encoding="utf-8")
        sounds = {sample.name: sample.samples for sample in samples}
        (folder / f"{role}.sf2").write_bytes(soundfont(instrument.name, [(instrument, sounds)]))
        instrument.write(folder / "instrument.json")
