"""Audio -> Instrument: one effect becomes a playable instrument of a role, with its SFZ, SF2 and samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import python_stretch

from core.audio import SAMPLE_RATE, Audio, Samples, write_audio
from core.engines import EngineInfo
from core.errors import InstrumentError
from core.loudness import from_db, loudness_lufs, peak_gain
from core.manifest import atomic_folder
from phase2_music.instruments.drums import KIT, render_piece
from phase2_music.instruments.pitch import (
    Pitch,
    cents_between,
    comb_pitch,
    is_steady,
    judge_pitch,
    key_to_hz,
    yin_pitch,
)
from phase2_music.instruments.roles import ROLE_SPECS, RoleSpec
from phase2_music.instruments.sf2 import (
    Generators,
    Sf2Preset,
    Sf2Sample,
    Sf2Zone,
    envelope_generators,
    sf2_bytes,
)
from phase2_music.instruments.sfz import sfz_text
from phase2_music.instruments.zones import key_spans
from phase2_music.timbre.analysis import SoundModel
from phase2_music.timbre.protocol import Note, TimbreEngine, Voice, VoiceRequest
from schemas.document import Role
from schemas.effect import EngineRecord
from schemas.instrument import Instrument, SourceEffect, Verified, Zone

IN_TUNE_CENTS = 25.0
_CHARACTER_STEPS = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0)
_CEILING_DBTP = -1.0


@dataclass(frozen=True)
class InstrumentRequest:
    """What is to be built.

    `sound` is the effect at any rate, mono or stereo; `file` names it in the documents. `character` is the dial from 0 (pure
    tone) to 1 (the effect itself), None for the role's default. `pan` (-1..1) is where its source stands in the picture.
    """

    sound: Audio
    file: str
    sha256: str
    name: str
    role: Role
    seed: int
    character: float | None = None
    pan: float = 0.0


@dataclass(frozen=True)
class _Sample:
    """One finished sample: mono, with its key, loop and what two trackers made of it (None for drums)."""

    key: int
    samples: Samples
    tune_cents: float = 0.0
    loop: tuple[int, int] | None = None
    off_cents: tuple[float, float] | None = None
    steady: bool = False

    @property
    def in_tune(self) -> bool:
        return self.steady and self.off_cents is not None and max(map(abs, self.off_cents)) <= IN_TUNE_CENTS


@dataclass(frozen=True)
class Built:
    """A finished instrument, and its effect with the timbre lent to it, at its own pitch."""

    instrument: Instrument
    colour: Audio


def build_instrument(request: InstrumentRequest, engine: TimbreEngine, out: Path) -> Built:
    """Build an instrument and write `<role>.sfz`, `<role>.sf2`, `samples/` and `instrument.json` into `out`.

    `out` is replaced as a whole when all is done. The same request gives the same bytes.

    Raises:
        AudioError: the sound is silent.
        InstrumentError: not one key could be built in tune.
        OutputError: `out` cannot be written to.
    """
    sound = _mono(request.sound)
    spec = ROLE_SPECS[request.role]
    character = spec.character if request.character is None else request.character
    pitch = judge_pitch(SoundModel.of(sound).samples[: 2 * SAMPLE_RATE], SAMPLE_RATE)
    source = SourceEffect(
        file=request.file,
        sha256=request.sha256,
        name=request.name,
        pitched=pitch.pitched,
        f0_hz=pitch.f0_hz if pitch.pitched else None,
        voiced_probability=round(pitch.voiced_probability, 4),
    )
    request = dataclasses.replace(request, sound=sound, character=character)
    voice = engine.voice(VoiceRequest(sound, request.role, request.seed))
    if request.role == "drums":
        instrument, samples = _drum_kit(request, spec, source, voice, engine.info)
    else:
        instrument, samples = _melodic(request, spec, source, pitch, voice, engine.info)
    _write(instrument, samples, spec, out)
    return Built(instrument, voice.colour)


def _mono(sound: Audio) -> Audio:
    mono = Audio(sound.mono(), sound.sample_rate).resampled(SAMPLE_RATE)
    return Audio(mono.samples - np.mean(mono.samples, dtype=np.float64).astype(np.float32), SAMPLE_RATE)


def _drum_kit(
    request: InstrumentRequest, spec: RoleSpec, source: SourceEffect, voice: Voice, info: EngineInfo
) -> tuple[Instrument, list[_Sample]]:
    model = SoundModel.of(voice.colour)
    samples = [
        _Sample(piece.key, render_piece(model, piece, request.seed, spec.loudness_lufs).samples[0]) for piece in KIT
    ]
    zones = [
        Zone(
            sample=_file_name(request.role, piece.key),
            root_key=piece.key,
            tune_cents=0.0,
            lo_key=piece.key,
            hi_key=piece.key,
            exclusive_class=piece.exclusive_class,
            one_shot=True,
        )
        for piece in KIT
    ]
    verified = Verified(notes=0, within_25_cents=0, median_abs_cents=None)
    return _document(request, source, info, "drum-kit", zones, verified, []), samples


def _melodic(
    request: InstrumentRequest, spec: RoleSpec, source: SourceEffect, pitch: Pitch, voice: Voice, info: EngineInfo
) -> tuple[Instrument, list[_Sample]]:
    tuned = [_tuned(key, request, spec, pitch, voice) for key in spec.root_keys]
    can_tune = pitch.pitched or voice.note(key_to_hz(spec.root_keys[0]), 0.0) is not None
    # A sound that nothing can tune is played as it is; else what stays out of tune is left out and its neighbours reach over.
    kept = [sample for sample in tuned if sample.in_tune] if can_tune else tuned
    left_out = [sample.key for sample in tuned if sample not in kept]
    if not kept:
        raise InstrumentError(
            f"{request.file}: no key of the {request.role} could be built in tune: choose another sound"
        )
    off = [float(np.mean(np.abs(s.off_cents))) for s in kept if s.off_cents is not None]
    verified = Verified(
        notes=len(kept),
        within_25_cents=sum(sample.in_tune for sample in kept),
        median_abs_cents=round(float(np.median(off)), 2) if off else None,
        left_out=left_out,
    )
    warnings = [f"keys {left_out} did not come out in tune: neighbouring samples play them"] if left_out else []
    if not can_tune:
        warnings.append("the effect is unpitched and the timbre engine cannot tune it: this instrument is out of tune")
    method = "untuned" if not can_tune else "pitch-shift" if pitch.pitched else "resynthesis"
    spans = key_spans([sample.key for sample in kept])
    zones = [_zone(request.role, sample, span) for sample, span in zip(kept, spans, strict=True)]
    return _document(request, source, info, method, zones, verified, warnings), kept


def _document(
    request: InstrumentRequest,
    source: SourceEffect,
    info: EngineInfo,
    method: str,
    zones: list[Zone],
    verified: Verified,
    warnings: list[str],
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
            "method": method,
            "sample_rate": SAMPLE_RATE,
            "envelope": ROLE_SPECS[request.role].envelope,
            "pan": request.pan,
            "zones": zones,
            "verified": verified,
            "warnings": warnings,
        }
    )


def _zone(role: Role, sample: _Sample, span: tuple[int, int]) -> Zone:
    first, last = sample.loop or (None, None)
    return Zone(
        sample=_file_name(role, sample.key),
        root_key=sample.key,
        tune_cents=round(sample.tune_cents, 2),
        lo_key=span[0],
        hi_key=span[1],
        loop_start=first,
        loop_end=last,
    )


def _file_name(role: Role, key: int) -> str:
    return f"{role}_{key:03d}.wav"


def _tuned(key: int, request: InstrumentRequest, spec: RoleSpec, pitch: Pitch, voice: Voice) -> _Sample:
    """The sample of one key: with as much of the effect's character as stays in tune for both trackers."""
    sample = None
    for sample in _candidates(key, request, pitch, voice):
        if sample.in_tune:
            break
    assert sample is not None
    return dataclasses.replace(sample, samples=_levelled(sample, spec.loudness_lufs))


def _candidates(key: int, request: InstrumentRequest, pitch: Pitch, voice: Voice) -> Iterator[_Sample]:
    """Samples of one key, from the most characteristic to the purest."""
    assert request.character is not None
    target_hz = key_to_hz(key)
    shifted = _shifted(voice.colour, target_hz, pitch)
    note = voice.note(target_hz, 0.0)
    if note is None:
        yield _measured(key, shifted, 0.0, None, target_hz)
        return
    for step in _CHARACTER_STEPS:
        made = voice.note(target_hz, request.character * step)
        assert made is not None
        yield _from_note(key, _with_attack(made, shifted) if pitch.pitched else made, target_hz)
    if pitch.pitched:
        yield _from_note(key, note, target_hz)


def _from_note(key: int, note: Note, target_hz: float) -> _Sample:
    tune_cents = cents_between(target_hz, note.f0_hz)
    return _measured(key, note.samples, tune_cents, (note.loop_start, note.loop_end), target_hz)


def _measured(key: int, samples: Samples, tune_cents: float, loop: tuple[int, int] | None, target_hz: float) -> _Sample:
    """Ask both trackers how far from the key the sample will sound: in its first second (less 30 ms) and in its loop.

    The medians alone would let a note pass that wavers between octaves: it must also be steady, in every part.
    """
    parts = [samples[round(0.03 * SAMPLE_RATE) : round(1.03 * SAMPLE_RATE)]]
    if loop:
        parts.append(samples[loop[0] : loop[1] + 1])
    yin, comb = (
        max((_off(track(part, SAMPLE_RATE), target_hz) + tune_cents for part in parts), key=abs)
        for track in (yin_pitch, comb_pitch)
    )
    steady = all(is_steady(part, SAMPLE_RATE, target_hz) for part in parts)
    return _Sample(key, samples, tune_cents, loop, (yin, comb), steady)


def _off(found_hz: float | None, target_hz: float) -> float:
    return 9999.0 if found_hz is None else cents_between(found_hz, target_hz)


def _shifted(colour: Audio, target_hz: float, pitch: Pitch) -> Samples:
    """The effect moved so that its own pitch (or, without one, 261.6 Hz) becomes `target_hz`.

    python-stretch keeps the length; from 6 semitones on it keeps the formants too (a tonality limit of 8 kHz).
    """
    semitones = cents_between(target_hz, pitch.f0_hz if pitch.pitched and pitch.f0_hz else key_to_hz(60)) / 100.0
    model = SoundModel.of(colour)
    stretch = python_stretch.Signalsmith.Stretch()
    stretch.preset(1, SAMPLE_RATE)
    stretch.setTransposeSemitones(semitones, 8000.0 / SAMPLE_RATE if abs(semitones) > 6 else 0.0)
    moved = np.array(stretch.process(model.samples.astype(np.float32)[None, :]), dtype=np.float32)[0]
    fade = min(len(moved), round(0.03 * SAMPLE_RATE))
    moved[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return np.asarray(moved)


def _with_attack(note: Note, shifted: Samples) -> Note:
    """A note that begins as the shifted effect and has become the seamless ring when its loop begins."""
    lead = note.loop_start
    attack = np.pad(shifted[:lead], (0, max(0, lead - len(shifted))))
    loop_rms = np.sqrt(np.mean(note.samples[lead : note.loop_end + 1] ** 2))
    tail = attack[lead // 4 : lead]
    attack = attack * (loop_rms / (np.sqrt(np.mean(tail**2)) + 1e-9))
    # The attack may stand out by 12 dB, as a struck string does, not more.
    attack = np.clip(attack, -12.0 * loop_rms, 12.0 * loop_rms)
    turn = np.clip((np.arange(lead) / lead - 0.3) / 0.7, 0.0, 1.0) * np.pi / 2
    begin = attack * np.cos(turn) + note.samples[:lead] * np.sin(turn)
    samples = np.concatenate([begin, note.samples[lead:]]).astype(np.float32)
    return dataclasses.replace(note, samples=samples)


def _levelled(sample: _Sample, target_lufs: float) -> Samples:
    """Bring a sample to a loudness; peaks before the loop are rounded off, the loop itself is only scaled."""
    head = Audio(sample.samples[:SAMPLE_RATE], SAMPLE_RATE)
    samples = sample.samples * np.float32(from_db(target_lufs - loudness_lufs(head)))
    ceiling = from_db(_CEILING_DBTP)
    loop_start = sample.loop[0] if sample.loop else len(samples)
    loop_peak = float(np.max(np.abs(samples[loop_start:]), initial=0.0))
    if loop_peak > 0.9 * ceiling:
        samples = samples * np.float32(0.9 * ceiling / loop_peak)
    half = round(0.004 * SAMPLE_RATE)
    gain = peak_gain(samples[None, :], ceiling, half)
    if gain is None:
        return np.asarray(samples)
    # Past this frame every gain is exactly one: the loop keeps its whole periods.
    gain[max(0, loop_start - 1) :] = 1.0
    return np.asarray(samples * gain)


def _write(instrument: Instrument, samples: list[_Sample], spec: RoleSpec, out: Path) -> None:
    role = instrument.role
    with atomic_folder(out) as folder:
        for sample in samples:
            audio = Audio(sample.samples, SAMPLE_RATE)
            write_audio(folder / "samples" / _file_name(role, sample.key), audio)
        (folder / f"{role}.sfz").write_text(sfz_text(instrument), encoding="utf-8")
        (folder / f"{role}.sf2").write_bytes(_sf2(instrument, samples, spec))
        instrument.write(folder / "instrument.json")


def _sf2(instrument: Instrument, samples: list[_Sample], spec: RoleSpec) -> bytes:
    sf2_samples = [
        Sf2Sample(
            _file_name(instrument.role, s.key).removesuffix(".wav"),
            s.samples,
            SAMPLE_RATE,
            s.key,
            round(s.tune_cents),
            s.loop,
        )
        for s in samples
    ]
    zones = [Sf2Zone(index, _zone_generators(zone)) for index, zone in enumerate(instrument.zones)]
    envelope = instrument.envelope
    common = envelope_generators(envelope.attack_s, envelope.decay_s, envelope.sustain, envelope.release_s)
    preset = Sf2Preset(instrument.name, spec.bank, spec.program, zones, common)
    return sf2_bytes(instrument.name, sf2_samples, [preset])


def _zone_generators(zone: Zone) -> Generators:
    generators: Generators = {
        "keyRange": (zone.lo_key, zone.hi_key),
        "velRange": (zone.lo_velocity, zone.hi_velocity),
        "overridingRootKey": zone.root_key,
        "sampleModes": 1 if zone.loop_start is not None else 0,
    }
    if zone.exclusive_class:
        generators["exclusiveClass"] = zone.exclusive_class
    return generators
