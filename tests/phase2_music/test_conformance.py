"""Every controller and event of the contract, measured on the sound that a score gives: with us, and through the SF2 alone.

The instruments are built by the pipeline's own code around samples that measure well: sines and clicks.
"""

from __future__ import annotations

import ctypes
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from midi_files import event, meta, note, tempo, write
from scipy import signal

from core.audio import SAMPLE_RATE
from core.errors import InstrumentError
from core.manifest import sha256_file
from phase2_music.instruments.drums import KIT
from phase2_music.instruments.layers import drum_zones, melodic_zones
from phase2_music.instruments.pitch import cents_between, key_to_hz
from phase2_music.instruments.roles import CHOKES, ROLE_SPECS
from phase2_music.instruments.samples import Sample
from phase2_music.instruments.soundfont import soundfont
from phase2_music.rendering import synth
from phase2_music.rendering.render import Band, RenderOptions, raw_stems
from phase2_music.rendering.score import read_score
from schemas.document import ROLES, Role
from schemas.instrument import Instrument

Sound = npt.NDArray[np.float32]
"""Shape (frames, 2)."""

A4 = 69
CC, BEND, PRESSURE, KEY_PRESSURE = 0xB0, 0xE0, 0xD0, 0xA0


# Instruments that measure well


def sine(key: int, index: int) -> Sample:
    """Half a second of a sine that loops over whole periods; every other key has a third harmonic as well."""
    period = SAMPLE_RATE / key_to_hz(key)
    periods = min(range(20, 80), key=lambda count: abs(count * period - round(count * period)))
    length = round(periods * period)
    phase = 2 * np.pi * periods * np.arange(4 * length) / length
    wave = 0.2 * np.sin(phase) + (0.0 if index % 2 else 0.1 * np.sin(3 * phase))
    return Sample(f"{key}.flac", key, wave[None].astype(np.float32), loop=(length, 3 * length - 1))


def click(key: int, alternative: int) -> Sample:
    """A burst that begins at full level with its first frame; its alternative is higher. What can be choked rings longer."""
    t = np.arange(SAMPLE_RATE if key in CHOKES else SAMPLE_RATE // 4) / SAMPLE_RATE
    wave = 0.5 * np.cos(2 * np.pi * 1000 * alternative * t) * np.exp(-(3 if key in CHOKES else 60) * t)
    return Sample(f"{key}-{alternative}.flac", key, wave[None].astype(np.float32), alternative=alternative)


def instrument(role: Role) -> tuple[Instrument, dict[str, Sound]]:
    spec = ROLE_SPECS[role]
    if role == "drums":
        keys = range(spec.lo_key, spec.hi_key + 1)
        samples = [click(key, turn) for key in keys for turn in (1, 2)]
        zones = drum_zones(samples, {piece.key: piece.exclusive_class for piece in KIT})
    else:
        samples = [sine(key, index) for index, key in enumerate(range(spec.lo_key + 1, spec.hi_key + 1, 3))]
        zones = melodic_zones(samples)
    document = Instrument.model_construct(
        role=role, name=role, zones=zones, envelope=spec.envelope, sample_rate=SAMPLE_RATE
    )
    return document, {sample.name: sample.samples for sample in samples}


@pytest.fixture(scope="module")
def band(tmp_path_factory: pytest.TempPathFactory) -> Band:
    folder = tmp_path_factory.mktemp("clean")
    for role in ROLES:
        (folder / f"{role}.sf2").write_bytes(soundfont(role, [instrument(role)]))
    sf2 = {role: folder / f"{role}.sf2" for role in ROLES}
    return Band(
        sf2=sf2,
        turns=dict.fromkeys(ROLES, 2),
        lead_frames=dict.fromkeys(ROLES, 0),
        release_s={role: ROLE_SPECS[role].envelope.release_s for role in ROLES},
        pan=dict.fromkeys(ROLES, 0.0),
        openness=0.5,
    )


@dataclass(frozen=True)
class Player:
    """Plays tracks that are written byte by byte: `play` with the band, `alone` with the SF2 in FluidSynth's own player."""

    band: Band
    folder: Path

    def play(self, *tracks: bytes, role: Role = "keyboard", **options: float | bool) -> Sound:
        score = read_score(write(self.folder / "a.mid", *tracks))
        shas = {each: sha256_file(path) for each, path in self.band.sf2.items()}
        paths, _ = raw_stems(score, self.band, shas, RenderOptions(**options), self.folder)  # type: ignore[arg-type]
        return np.fromfile(paths[role], dtype=np.float32).reshape(-1, 2)

    def alone(self, *tracks: bytes, role: Role = "keyboard") -> Sound:
        return fluid_player(self.band.sf2[role], write(self.folder / "b.mid", *tracks))


@pytest.fixture
def player(band: Band, tmp_path: Path) -> Player:
    return Player(band, tmp_path)


def fluid_player(sf2: Path, score: Path) -> Sound:
    """A MIDI file as FluidSynth's own player plays it with an SF2: its reader, its sequencer, no line of ours."""
    import fluidsynth  # not above: it speaks where CI is set

    library = ctypes.CDLL(fluidsynth.lib)
    for name in ("new_fluid_settings", "new_fluid_synth", "new_fluid_player"):
        getattr(library, name).restype = ctypes.c_void_p
    settings = ctypes.c_void_p(library.new_fluid_settings())
    library.fluid_settings_setnum(settings, b"synth.gain", ctypes.c_double(0.5))
    for name in (b"synth.reverb.active", b"synth.chorus.active"):
        library.fluid_settings_setint(settings, name, 0)
    synth = ctypes.c_void_p(library.new_fluid_synth(settings))
    assert library.fluid_synth_sfload(synth, str(sf2).encode(), 1) >= 0
    playing = ctypes.c_void_p(library.new_fluid_player(synth))
    assert library.fluid_player_add(playing, str(score).encode()) == 0
    library.fluid_player_play(playing)
    blocks = []
    while library.fluid_player_get_status(playing) == 1 and len(blocks) < 60 * SAMPLE_RATE // 64:
        block = np.zeros((64, 2), dtype=np.float32)
        where = ctypes.c_void_p(block.ctypes.data)
        library.fluid_synth_write_float(synth, 64, where, 0, 2, where, 1, 2)
        blocks.append(block)
    library.delete_fluid_player(playing)
    library.delete_fluid_synth(synth)
    library.delete_fluid_settings(settings)
    return np.concatenate(blocks)


# What is measured


def part(sound: Sound, start_s: float, end_s: float) -> Sound:
    """A stretch of a sound, with silence behind its end."""
    first, last = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
    return np.pad(sound, ((0, max(0, last - len(sound))), (0, 0)))[first:last]


def level_db(sound: Sound, start_s: float, end_s: float) -> float:
    return float(10 * np.log10(np.mean(part(sound, start_s, end_s) ** 2) + 1e-14))


def f0_hz(sound: Sound, start_s: float, end_s: float) -> float:
    """The strongest partial: the peak of a parabola through the spectrum's."""
    samples = part(sound, start_s, end_s).mean(axis=1)
    size = 1 << 20
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size)) + 1e-12)
    peak = int(np.argmax(spectrum))
    left, middle, right = spectrum[peak - 1 : peak + 2]
    return float((peak + 0.5 * (left - right) / (left - 2 * middle + right)) * SAMPLE_RATE / size)


def cents(sound: Sound, start_s: float, end_s: float, key: int = A4) -> float:
    return cents_between(f0_hz(sound, start_s, end_s), key_to_hz(key))


def vibrato_cents(sound: Sound, start_s: float, end_s: float) -> float:
    """How far the pitch of a sine swings to either side."""
    phase = np.unwrap(np.angle(signal.hilbert(part(sound, start_s, end_s)[:, 0])))
    inner = slice(SAMPLE_RATE // 20, -SAMPLE_RATE // 20)
    rate = signal.savgol_filter(phase, 501, 2, deriv=1)[inner]
    return float(600 * np.log2(rate.max() / rate.min()))


def onsets_s(sound: Sound) -> list[float]:
    """Where clicks begin: loud frames behind ten milliseconds without any."""
    level = np.abs(sound).max(axis=1)
    loud = np.flatnonzero(level > 0.2 * level.max())
    starts = loud[np.diff(loud, prepend=-SAMPLE_RATE) > SAMPLE_RATE // 100]
    return [_first(level, int(frame)) / SAMPLE_RATE for frame in starts]


def _first(level: npt.NDArray[np.float32], frame: int) -> int:
    """The envelope rises for a millisecond: the first frame of the rise."""
    while frame and level[frame - 1] > 0.004 * level.max():
        frame -= 1
    return frame


def harmonics_db(sound: Sound, start_s: float, end_s: float, key: int = A4) -> float:
    """The third harmonic against the first."""
    samples = part(sound, start_s, end_s).mean(axis=1) * np.hanning(
        round(end_s * SAMPLE_RATE) - round(start_s * SAMPLE_RATE)
    )
    t = np.arange(len(samples)) / SAMPLE_RATE
    first, third = (abs(np.sum(samples * np.exp(-2j * np.pi * k * key_to_hz(key) * t))) for k in (1, 3))
    return float(20 * np.log10(third / first + 1e-9))


def control(number: int, value: int, delta: int = 0) -> bytes:
    return event(delta, CC, number, value)


def bend(value: int, delta: int = 0) -> bytes:
    return event(delta, BEND, value + 8192 & 0x7F, value + 8192 >> 7)


def rpn(number: int, value: int, fine: int = 0) -> bytes:
    return (
        control(101, 0)
        + control(100, number)
        + control(6, value)
        + control(38, fine)
        + control(101, 127)
        + control(100, 127)
    )


def held(key: int = A4, ticks: int = 960, velocity: int = 100) -> bytes:
    return note(key, ticks, velocity=velocity)


# Pitch


@pytest.mark.parametrize("key", [36, 48, 60, 68, 69, 70, 84, 96])
def test_keys_sound_at_their_pitch(player: Player, key: int) -> None:
    assert cents(player.play(held(key)), 0.1, 0.9, key) == pytest.approx(0, abs=3)


@pytest.mark.parametrize("value", [8191, 4096, 0, -8192])
def test_the_pitch_wheel_reaches_two_semitones_either_way(player: Player, value: int) -> None:
    assert cents(player.play(bend(value) + held()), 0.1, 0.9) == pytest.approx(200 * value / 8192, abs=3)


@pytest.mark.parametrize("value", [8191, 4096, -8192])
@pytest.mark.parametrize("semitones", [0, 1, 12, 24])
def test_registered_parameter_0_sets_the_range_of_the_wheel(player: Player, semitones: int, value: int) -> None:
    expected = 100 * semitones * value / 8192
    assert cents(player.play(rpn(0, semitones) + bend(value) + held()), 0.1, 0.9) == pytest.approx(expected, abs=3)


def test_a_range_has_cents_and_holds_for_a_wheel_that_is_turned_already(player: Player) -> None:
    assert cents(player.play(bend(8191) + rpn(0, 3, 50) + held()), 0.1, 0.9) == pytest.approx(350, abs=3)
    reset = bend(8191) + control(121, 0) + rpn(0, 7) + held()
    assert cents(player.play(reset), 0.1, 0.9) == pytest.approx(0, abs=3)
    other = rpn(0, 12) + control(99, 1) + control(98, 8) + control(6, 64) + bend(8191) + held()
    assert cents(player.play(other), 0.1, 0.9) == pytest.approx(1200, abs=3)
    again = rpn(0, 2)[: 4 * 4] + control(99, 1) + control(98, 8) + control(6, 64)
    chosen_by_half = again + control(101, 0) + control(6, 3) + bend(8191) + held()
    assert cents(player.play(chosen_by_half), 0.1, 0.9) == pytest.approx(300, abs=3)


def test_the_wheel_bends_a_note_while_it_sounds_and_lets_it_go(player: Player) -> None:
    track = event(0, 0x90, A4, 100) + bend(8191, 960) + bend(0, 960) + event(960, 0x80, A4, 0)
    sound = player.play(track)
    assert [round(cents(sound, start, start + 0.8), -1) for start in (0.1, 1.1, 2.1)] == [0, 200, 0]


def test_registered_parameters_1_and_2_tune_the_channel(player: Player) -> None:
    assert cents(player.play(rpn(1, 96) + held()), 0.1, 0.9) == pytest.approx(50, abs=3)
    assert cents(player.play(rpn(2, 67) + held()), 0.1, 0.9) == pytest.approx(300, abs=3)


def test_a_reset_of_all_controllers_leaves_the_tuning(player: Player) -> None:
    """As RP-015 has it; the parameter that was chosen is chosen no more."""
    tuned = rpn(2, 67) + rpn(1, 96) + control(121, 0)
    assert cents(player.play(tuned + held()), 0.1, 0.9) == pytest.approx(350, abs=3)
    assert cents(player.play(tuned + control(6, 64) + held()), 0.1, 0.9) == pytest.approx(350, abs=3)


def test_a_reset_of_the_port_ends_the_tuning(player: Player) -> None:
    """A medley goes on: one second tuned up, one as in the beginning."""
    medley = bytes([0, 0xF0, 5, 0x7E, 0x7F, 9, 1, 0xF7])
    sound = player.play(rpn(2, 67) + rpn(1, 96) + held() + medley + held())
    assert cents(sound, 0.1, 0.9) == pytest.approx(350, abs=3)
    assert cents(sound, 1.1, 1.9) == pytest.approx(0, abs=3)


def test_null_ends_the_registered_parameter(player: Player) -> None:
    assert cents(player.play(rpn(0, 12) + control(6, 24) + bend(8191) + held()), 0.1, 0.9) == pytest.approx(1200, abs=3)


def test_data_increments_are_not_answered(player: Player) -> None:
    """FluidSynth has none; the range stays what it is and nothing else happens."""
    step = control(101, 0) + control(100, 0) + control(96, 0) * 3
    assert cents(player.play(step + bend(8191) + held()), 0.1, 0.9) == pytest.approx(200, abs=3)


@pytest.mark.parametrize("told", [control(1, 127), event(0, PRESSURE, 127)], ids=["modulation", "channel pressure"])
def test_modulation_and_channel_pressure_are_vibrato(player: Player, told: bytes) -> None:
    assert vibrato_cents(player.play(held(A4)), 0.1, 0.9) < 2
    assert vibrato_cents(player.play(told + held(A4)), 0.1, 0.9) == pytest.approx(50, abs=5)


def test_half_of_the_modulation_is_half_of_the_vibrato(player: Player) -> None:
    assert vibrato_cents(player.play(control(1, 64) + held(A4)), 0.1, 0.9) == pytest.approx(25, abs=4)


def test_key_pressure_is_taken_and_changes_nothing(player: Player) -> None:
    """SoundFont 2 gives it no effect by default, and our instruments add none."""
    plain, pressed = player.play(held()), player.play(event(0, KEY_PRESSURE, A4, 127) + held())
    assert np.array_equal(plain, pressed)


# Level and place


def test_velocity_is_loudness(player: Player) -> None:
    levels = [level_db(player.play(held(velocity=v)), 0.05, 0.5) for v in (10, 32, 64, 94, 95, 127)]
    assert levels == sorted(levels)
    # SF2's default: 40 dB a decade of velocity, here within the open layer.
    assert levels[-1] - levels[-2] == pytest.approx(40 * np.log10(127 / 95), abs=0.3)
    assert levels[-1] - levels[0] > 25


@pytest.mark.parametrize("number", [7, 11])
@pytest.mark.parametrize("value", [100, 64, 20])
def test_volume_and_expression_follow_the_square_law(player: Player, number: int, value: int) -> None:
    full = level_db(player.play(control(number, 127) + held()), 0.1, 0.9)
    less = level_db(player.play(control(number, value) + held()), 0.1, 0.9)
    assert less - full == pytest.approx(40 * np.log10(value / 127), abs=0.3)


def test_volume_and_expression_add_up_and_reach_silence(player: Player) -> None:
    full = level_db(player.play(control(7, 127) + held()), 0.1, 0.9)
    both = level_db(player.play(control(7, 64) + control(11, 64) + held()), 0.1, 0.9)
    assert both - full == pytest.approx(80 * np.log10(64 / 127), abs=0.5)
    assert level_db(player.play(control(7, 0) + held()), 0.1, 0.9) - full < -80


def test_a_swell_is_heard_while_a_note_sounds(player: Player) -> None:
    rise = b"".join(control(11, value, 30) for value in range(0, 128, 4))
    sound = player.play(event(0, 0x90, A4, 100) + rise + event(480, 0x80, A4, 0))
    levels = [level_db(sound, start, start + 0.2) for start in (0.05, 0.35, 0.65, 0.95)]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 15


def test_pan_places_the_sound(player: Player) -> None:
    def balance_db(value: int) -> float:
        left, right = (part(player.play(control(10, value) + held()), 0.1, 0.9)[:, side] for side in (0, 1))
        return float(10 * np.log10((np.mean(right**2) + 1e-12) / (np.mean(left**2) + 1e-12)))

    found = [balance_db(value) for value in (0, 32, 64, 96, 127)]
    assert found == sorted(found)
    assert found[2] == pytest.approx(0, abs=0.3)
    assert found[0] < -35 < 35 < found[-1]
    assert found[3] == pytest.approx(7.7, abs=1.5)  # sin against cos, half-way


def test_pan_keeps_the_power(player: Player) -> None:
    levels = [level_db(player.play(control(10, value) + held()), 0.1, 0.9) for value in (0, 64, 127)]
    assert max(levels) - min(levels) < 0.5


# Pedals


def test_the_sustain_pedal_holds_notes_until_it_comes_up(player: Player) -> None:
    track = control(64, 127) + held(ticks=240) + control(64, 0, delta=1440) + meta(960, 1)
    sound = player.play(track)
    assert level_db(sound, 1.2, 1.7) > level_db(sound, 0.05, 0.2) - 12
    assert level_db(sound, 2.6, 2.8) < level_db(sound, 1.2, 1.7) - 50
    dry = player.play(held(ticks=240) + meta(2400, 1))
    assert level_db(dry, 1.2, 1.7) < level_db(sound, 1.2, 1.7) - 40


def test_a_pedal_does_not_catch_a_note_that_ended_before_it_went_down(player: Player) -> None:
    grace = event(0, 0x90, A4, 100) + event(2, 0x80, A4, 0) + control(64, 127, delta=1)
    after = event(0, 0x90, 45, 1) + event(960, 0x80, 45, 0)
    assert level_db(player.play(grace + after), 0.0, 0.1) > -60
    assert level_db(player.play(grace + after), 0.6, 0.9) < -60
    none = event(0, 0x90, A4, 100) + event(0, 0x80, A4, 0) + control(64, 127)
    assert level_db(player.play(none + after), 0.0, 0.1) > -60
    assert level_db(player.play(none + after), 0.6, 0.9) < -60


def test_a_pedal_that_trembles_behind_the_last_note_holds_it_on(player: Player) -> None:
    chord = control(64, 127) + held(ticks=240)
    for behind in (control(64, 110, delta=100) + control(64, 100, delta=100), control(1, 0, delta=100)):
        assert level_db(player.play(chord + behind), 1.0, 1.5) == pytest.approx(
            level_db(player.play(chord), 1.0, 1.5), abs=0.5
        )


def test_what_rings_on_behind_the_last_note_is_faded_and_silenced(player: Player) -> None:
    chord = control(64, 127) + held(ticks=240)
    faded = player.play(chord + control(11, 64, delta=240) + control(11, 0, delta=480))
    plain = player.play(chord)
    assert level_db(faded, 0.6, 0.9) - level_db(plain, 0.6, 0.9) == pytest.approx(40 * np.log10(64 / 127), abs=0.5)
    assert level_db(faded, 1.2, 1.5) < level_db(plain, 1.2, 1.5) - 60
    assert (
        level_db(faded, 1.01, 1.03) < level_db(plain, 1.01, 1.03) - 60 < level_db(faded, 0.97, 0.99)
    )  # when it is told
    cymbal = note(46, 60, channel=9)
    stopped = player.play(cymbal + event(420, CC | 9, 120, 0), role="drums")
    assert level_db(stopped, 0.55, 0.7) < level_db(player.play(cymbal, role="drums"), 0.55, 0.7) - 60


def test_controllers_long_behind_the_last_note_make_a_song_no_longer(player: Player) -> None:
    assert len(player.play(held() + control(121, 0, delta=9600))) < 3 * SAMPLE_RATE


def test_half_pedal_is_up(player: Player) -> None:
    """FluidSynth's pedal, as General MIDI's, is a switch at 64."""
    up = player.play(control(64, 63) + held(ticks=240) + meta(1440, 1))
    down = player.play(control(64, 64) + held(ticks=240) + meta(1440, 1))
    assert level_db(up, 1.0, 1.4) < level_db(down, 1.0, 1.4) - 40


def test_a_note_that_is_struck_again_under_the_pedal_does_not_pile_up(player: Player) -> None:
    track = control(64, 127) + held(ticks=60) * 16 + control(64, 0, delta=480)
    sound = player.play(track)
    once = player.play(control(64, 127) + held(ticks=60) + control(64, 0, delta=480))
    assert level_db(sound, 1.02, 1.1) < level_db(once, 0.02, 0.1) + 3


def test_a_chord_under_a_pedal_that_nobody_lifts_rings_on_but_not_for_ever(player: Player) -> None:
    sound = player.play(control(64, 127) + held(ticks=240))
    assert level_db(sound, 0.3, 2.0) > level_db(sound, 0.05, 0.2) - 12
    assert len(sound) / SAMPLE_RATE == pytest.approx(12.25, abs=0.1)


def test_a_preview_cuts_the_pedal_too(player: Player) -> None:
    track = control(64, 127) + held(ticks=240) + control(64, 0, delta=9600)
    assert len(player.play(track, preview_s=1.0)) / SAMPLE_RATE < 2.5
    assert len(player.play(track)) / SAMPLE_RATE > 10


def test_sostenuto_holds_only_the_notes_that_were_down(player: Player) -> None:
    track = (
        event(0, 0x90, 60, 100) + control(66, 127, 240) + event(240, 0x80, 60, 0) + note(81, 240) + control(66, 0, 1440)
        + meta(480, 1)
    )  # fmt: skip
    sound = player.play(track)
    assert level_db(sound, 1.5, 1.9) > level_db(sound, 0.1, 0.4) - 15  # the first still rings
    assert cents(sound, 1.5, 1.9, 60) == pytest.approx(0, abs=5)
    spectrum = part(sound, 1.5, 1.9)[:, 0] * np.hanning(round(0.4 * SAMPLE_RATE))
    t = np.arange(len(spectrum)) / SAMPLE_RATE
    first, second = (abs(np.sum(spectrum * np.exp(-2j * np.pi * key_to_hz(key) * t))) for key in (60, 81))
    assert second < 0.01 * first  # the second does not
    assert level_db(sound, 2.9, 3.1) < level_db(sound, 1.5, 1.9) - 50


def test_sostenuto_told_again_catches_nothing_new(player: Player) -> None:
    caught = event(0, 0x90, A4, 100) + control(66, 70) + event(480, 0x80, A4, 0)
    later = event(0, 0x90, 45, 100) + control(66, 127, delta=10) + event(470, 0x80, 45, 0)
    sound = player.play(caught + later + control(66, 0, delta=1440))
    alone = player.play(caught + event(960, 0x90, 45, 1) + event(480, 0x80, 45, 0) + control(66, 0))
    assert level_db(sound, 1.6, 2.2) == pytest.approx(level_db(alone, 1.6, 1.9), abs=1.0)
    assert f0_hz(sound, 1.6, 2.2) == pytest.approx(440, rel=0.01)


def test_a_note_that_is_to_glide_is_the_next_one_alone(player: Player) -> None:
    glide = control(5, 3) + held(ticks=480) + control(84, A4 - 12) + held(ticks=480) + held(ticks=480) + held(ticks=480)
    sound = player.play(glide)
    assert cents(sound, 0.55, 0.65) < -100
    for start in (0.05, 1.05, 1.55):
        assert cents(sound, start, start + 0.1) == pytest.approx(0, abs=10)


def test_the_legato_pedal_loses_no_note_of_a_chord(player: Player) -> None:
    chord = b"".join(event(0, 0x90, key, 100) for key in (60, 64, 67)) + event(960, 0x80, 60, 0)
    told, plain = player.play(control(68, 127) + chord), player.play(chord)
    assert level_db(told, 0.2, 0.9) == pytest.approx(level_db(plain, 0.2, 0.9), abs=0.1)


def test_the_first_beat_of_a_kit_is_as_late_as_the_others(player: Player) -> None:
    """Its samples begin with silence, and are struck earlier by as much."""
    early = replace(player.band, lead_frames=dict.fromkeys(ROLES, 64), turns=dict.fromkeys(ROLES, 1))
    sound = replace(player, band=early).play(note(38, 480, channel=9) + note(38, 480, channel=9), role="drums")
    second = round(SAMPLE_RATE / 2 / 64) * 64
    np.testing.assert_allclose(sound[:4000], sound[second : second + 4000], atol=1e-4)


def test_the_soft_pedal_softens(player: Player) -> None:
    loud, soft = (level_db(player.play(control(67, value) + held(velocity=127)), 0.1, 0.9) for value in (0, 127))
    assert loud - soft == pytest.approx(-40 * np.log10(0.7), abs=2)
    lifted = player.play(control(67, 127) + control(67, 0) + held(velocity=127))
    assert level_db(lifted, 0.1, 0.9) == pytest.approx(loud, abs=0.01)


# Resets


def test_reset_all_controllers_brings_back_what_it_should(player: Player) -> None:
    """RP-015: wheel, modulation, expression, pressure and pedals; not volume and pan."""
    told = bend(8191) + control(1, 127) + control(11, 20) + event(0, PRESSURE, 127) + control(67, 127)
    reset = player.play(control(7, 90) + control(10, 30) + told + control(121, 0) + held())
    plain = player.play(control(7, 90) + control(10, 30) + held())
    assert np.array_equal(reset, plain)
    pedal = player.play(control(64, 127) + held(ticks=240) + control(121, 0, 240) + meta(1440, 1))
    assert level_db(pedal, 1.2, 1.4) < level_db(pedal, 0.3, 0.45) - 50


def test_all_notes_off_ends_notes_but_leaves_the_pedal_its_own(player: Player) -> None:
    off = player.play(event(0, 0x90, A4, 100) + control(123, 0, 480) + event(1440, 0x80, A4, 0))
    assert level_db(off, 0.1, 0.5) - level_db(off, 1.2, 1.4) > 50
    pedal = player.play(control(64, 127) + event(0, 0x90, A4, 100) + control(123, 0, 480) + event(1440, 0x80, A4, 0))
    assert level_db(pedal, 1.2, 1.4) > level_db(pedal, 0.1, 0.5) - 12


def test_all_sound_off_is_silence_at_once(player: Player) -> None:
    track = control(64, 127) + event(0, 0x90, A4, 100) + control(120, 0, 480) + event(1440, 0x80, A4, 0)
    sound = player.play(track)
    assert level_db(sound, 0.3, 0.5) - level_db(sound, 0.52, 0.8) > 80


@pytest.mark.parametrize("mode", [124, 125, 126, 127])
@pytest.mark.parametrize("value", [0, 1, 16])
def test_mode_messages_end_notes_and_silence_no_channel(player: Player, mode: int, value: int) -> None:
    """Mono would shut FluidSynth's channels behind, where the round robins are."""
    ended = player.play(event(0, 0x90, A4, 100) + control(mode, value, 480) + event(960, 0x80, A4, 0))
    assert level_db(ended, 0.1, 0.5) - level_db(ended, 1.2, 1.4) > 50
    sound = player.play(control(mode, value) + held(A4, 240) * 4)
    levels = [level_db(sound, start, start + 0.2) for start in (0.03, 0.28, 0.53, 0.78)]
    assert max(levels) - min(levels) < 6


# Programs, timing, notes


def test_programs_change_the_instrument_in_the_middle_of_a_track(player: Player) -> None:
    track = event(0, 0xC0, 0) + held() + event(0, 0xC0, 33) + note(40, 960) + event(0, 0xC0, 0) + held()
    keys, bass = player.play(track), player.play(track, role="bass")
    keyboard_levels = [level_db(keys, start, start + 0.3) for start in (0.3, 1.6, 2.3)]
    assert keyboard_levels[1] < min(keyboard_levels[0], keyboard_levels[2]) - 50
    assert [level_db(bass, start, start + 0.3) > -60 for start in (0.3, 1.3, 2.6)] == [False, True, False]


def test_sixteen_tracks_of_one_role_all_sound_at_their_pitch(player: Player) -> None:
    """Tracks fall on FluidSynth's channel 10 as well, which it takes for drums unless told otherwise."""
    tracks = [event(0, 0xC0 | n % 9, n % 8) + note(60 + n, 240, delta=480 * n, channel=n % 9) for n in range(16)]
    sound = player.play(*tracks)
    for n in range(16):
        assert cents(sound, 0.5 * n + 0.05, 0.5 * n + 0.24, 60 + n) == pytest.approx(0, abs=5)


def test_every_note_begins_within_a_millisecond_of_the_score(player: Player) -> None:
    rng = np.random.default_rng(5)
    gaps = [int(gap) for gap in rng.integers(100, 400, 24)]
    track = b"".join(note(38, 30, delta=gap, channel=9, velocity=127) for gap in gaps)
    score_s = np.cumsum([gap + 30 for gap in gaps]) - 30
    found = onsets_s(player.play(track, role="drums"))
    assert found == pytest.approx(list(score_s / 960), abs=0.001)


def test_tempo_changes_move_the_notes(player: Player) -> None:
    marks = tempo(0, 500_000) + tempo(480, 1_000_000) + tempo(480, 250_000) + tempo(480, 750_000)
    hits = b"".join(note(38, 60, delta=420, channel=9, velocity=127) for _ in range(5))
    expected = [0.4375, 0.5 + 0.875, 1.5 + 0.21875, 1.75 + 0.65625, 2.5 + 0.65625]
    assert onsets_s(player.play(marks, hits, role="drums")) == pytest.approx(expected, abs=0.001)


def test_a_smpte_clock_times_the_notes(band: Band, tmp_path: Path) -> None:
    path = write(tmp_path / "smpte.mid", note(38, 10, delta=1000, channel=9, velocity=127), division=0xE728)
    paths, _ = raw_stems(read_score(path), band, {}, RenderOptions(), tmp_path)
    assert onsets_s(np.fromfile(paths["drums"], dtype=np.float32).reshape(-1, 2)) == pytest.approx([1.0], abs=0.001)


def test_overlapping_notes_sound_together_and_end_one_by_one(player: Player) -> None:
    track = event(0, 0x90, 60, 100) + event(480, 0x90, 67, 100) + event(480, 0x80, 60, 0) + event(960, 0x80, 67, 0)
    sound = player.play(track)
    t = np.arange(round(0.3 * SAMPLE_RATE)) / SAMPLE_RATE

    def partial_db(key: int, start_s: float) -> float:
        piece = part(sound, start_s, start_s + 0.3)[:, 0] * np.hanning(len(t))
        return float(20 * np.log10(abs(np.mean(piece * np.exp(-2j * np.pi * key_to_hz(key) * t))) + 1e-9))

    assert [partial_db(60, start) > -60 for start in (0.1, 0.6, 1.65)] == [True, True, False]
    assert [partial_db(67, start) > -60 for start in (0.1, 0.6, 1.65)] == [False, True, True]


def test_a_key_that_is_struck_again_before_its_end_sounds_to_its_second_end(player: Player) -> None:
    on, off = event(480, 0x90, A4, 100), event(480, 0x80, A4, 0)
    sound = player.play(event(0, 0x90, A4, 100) + on + off + off)
    assert level_db(sound, 1.1, 1.4) > level_db(sound, 0.1, 0.4) - 10
    assert level_db(sound, 0.52, 0.6) < level_db(sound, 0.02, 0.1) + 3  # it does not pile up


RELEASE_S = ROLE_SPECS["keyboard"].envelope.release_s


def in_full(player: Player, *tracks: bytes, **options: float | bool) -> Sound:
    """The same by a band whose notes are never ended before FluidSynth ends them."""
    endless = replace(player.band, release_s=dict.fromkeys(ROLES, math.inf))
    return replace(player, band=endless).play(*tracks, **options)


def test_a_note_that_has_faded_is_ended_at_the_next_message(player: Player) -> None:
    swell = b"".join(control(11, 100 + step % 2, 48) for step in range(80))  # every 50 ms
    track = control(11, 100) + held() + swell + held(60)
    sound, full = player.play(track), in_full(player, track)
    faded_s = 1.0 + RELEASE_S * 72 / 60
    assert not np.any(part(sound, faded_s + 0.06, 4.9))
    assert np.any(part(full, faded_s + 0.06, faded_s + 0.11))
    np.testing.assert_array_equal(part(sound, 0, faded_s - 0.01), part(full, 0, faded_s - 0.01))
    # What is missing lies below 12 bits of what was heard when the key went up, and so does the step at its end.
    missing = np.abs(part(full, 0, 4.9) - part(sound, 0, 4.9)).max()
    assert 20 * np.log10(missing / np.abs(part(full, 0.9, 1.0)).max()) < -70


def test_soft_notes_have_faded_sooner_beside_loud_ones(player: Player) -> None:
    swell = b"".join(control(11, 100 + step % 2, 12) for step in range(160))  # every 12.5 ms
    soft_s = 1.0 + RELEASE_S * (72 - 40 * math.log10(100 / 50)) / 60
    for velocity, ends_s in ((100, soft_s), (50, 1.0 + RELEASE_S * 72 / 60)):  # alone it is the loudest
        sound = player.play(control(11, 100) + held(velocity=50) + swell + held(60, velocity=velocity))
        assert np.any(part(sound, ends_s - 0.02, ends_s))
        assert not np.any(part(sound, ends_s + 0.02, 2.9))


def test_nothing_is_ended_that_a_pedal_or_a_finger_holds(player: Player) -> None:
    ticking = [control(11, 100 + step % 2, 48) for step in range(60)]
    pedal = control(64, 127) + held(ticks=480) + b"".join(ticking) + control(64, 0) + b"".join(ticking) + held(60)
    np.testing.assert_allclose(part(player.play(pedal), 0, 4.0), part(in_full(player, pedal), 0, 4.0), atol=1e-5)
    caught = event(0, 0x90, A4, 100) + control(66, 127, 96) + event(384, 0x80, A4, 0) + b"".join(ticking) + held(60)
    np.testing.assert_array_equal(part(player.play(caught), 0, 3.0), part(in_full(player, caught), 0, 3.0))
    # The same key, struck again while its first note fades: the second one is still down when the first one ends.
    again = held(ticks=96) + event(96, 0x90, A4, 100) + b"".join(ticking) + event(0, 0x80, A4, 0) + held(60)
    np.testing.assert_allclose(part(player.play(again), 0, 3.0), part(in_full(player, again), 0, 3.0), atol=2e-4)


def test_a_note_that_is_down_is_not_ended_by_a_wrong_number(band: Band) -> None:
    with synth._synth(band.sf2["keyboard"], "keyboard", 1, 1) as playing:
        faded = synth._FadedNotes(playing, RELEASE_S, 100)

        def ended() -> bool:
            faded._released.append((0.0, 0))
            faded.end(64)
            synth._voices(playing)  # FluidSynth takes in what voices are told with its next call
            return not np.any(synth._samples(playing, 2048)[64:])

        playing.noteon(0, A4, 100)
        synth._samples(playing, 4096)
        assert not ended()
        playing.noteoff(0, A4)
        assert np.any(synth._samples(playing, 2048)[1024:])  # its release is its own as well
        assert ended()


def test_nothing_is_ended_in_a_part_that_may_set_its_own_release(player: Player) -> None:
    # SoundFont 2.04, 9.6.3: NRPN 120 reaches the generators; 38 is the volume envelope's release.
    longer = control(99, 120) + control(98, 38) + control(38, 0) + control(6, 80)
    ticking = b"".join(control(11, 100 + step % 2, 48) for step in range(60))
    track = longer + held() + ticking + held(60)
    np.testing.assert_array_equal(player.play(track), in_full(player, track))


def test_round_robins_take_turns_in_time_and_tune(player: Player) -> None:
    sound = player.play(b"".join(held(A4, 480) for _ in range(4)))
    starts = (0.0, 0.5, 1.0, 1.5)
    colours = [harmonics_db(sound, start + 0.25, start + 0.45) for start in starts]
    assert [colour > -30 for colour in colours] == [False, True, False, True]
    assert all(abs(cents(sound, start + 0.2, start + 0.48)) < 5 for start in starts)
    hits = player.play(b"".join(note(38, 240, channel=9, velocity=127) for _ in range(4)), role="drums")
    pitches = [f0_hz(hits, start, start + 0.1) for start in (0, 0.25, 0.5, 0.75)]
    assert pitches == pytest.approx([1000, 2000, 1000, 2000], rel=0.02)


@pytest.mark.parametrize("key", [0, 12, 24, 35, 97, 108, 120])
def test_notes_out_of_range_sound_at_their_pitch(player: Player, key: int) -> None:
    sound = player.play(held(key, 1920))
    assert cents(sound, 0.1, 1.9, key) == pytest.approx(0, abs=5)
    assert level_db(sound, 0.1, 0.9) > level_db(player.play(held(60)), 0.1, 0.9) - 12


@pytest.mark.parametrize(("key", "folded"), [(0, 36), (35, 47), (97, 85), (127, 91), (36, 36), (96, 96)])
def test_octaves_are_folded_into_the_range_on_request(player: Player, key: int, folded: int) -> None:
    assert (key - folded) % 12 == 0
    assert cents(player.play(held(key), fold_octaves=True), 0.1, 0.9, folded) == pytest.approx(0, abs=5)


@pytest.mark.parametrize("key", [0, 27, 34, 35, 81, 82, 88, 127])
def test_drum_keys_beyond_the_kit_are_played_by_their_nearest_kin(player: Player, key: int) -> None:
    sound = player.play(note(key, 240, channel=9, velocity=127), role="drums")
    assert onsets_s(sound) == pytest.approx([0.0], abs=0.001)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("ringing", "cut"), [(ringing, cut) for ringing, cuts in CHOKES.items() for cut in cuts])
def test_what_rings_is_cut_whatever_turn_or_track_the_pieces_are_at(
    player: Player, ringing: int, cut: int, together: bool
) -> None:
    """Closed, open, closed: the second closed one would be the other round robin's, which SF2's classes do not reach."""
    cuts = [note(cut, 48, channel=9), note(cut, 48, channel=9, delta=624)]
    rings = note(ringing, 48, channel=9, delta=432)
    one = [cuts[0] + rings + note(cut, 48, channel=9, delta=144)]
    choked = player.play(
        *(one if together else [b"".join(cuts), note(ringing, 48, channel=9, delta=480)]), role="drums"
    )
    alone = player.play(note(cut, 48, channel=9) + rings, role="drums")
    assert level_db(choked, 0.55, 0.69) == pytest.approx(level_db(alone, 0.55, 0.69), abs=0.1)
    assert level_db(choked, 0.95, 1.05) < level_db(alone, 0.95, 1.05) - 30


def test_one_shots_ring_out_whatever_the_key_does(player: Player) -> None:
    short, long = (player.play(note(38, ticks, channel=9, velocity=127), role="drums") for ticks in (1, 480))
    assert level_db(short, 0.05, 0.15) == pytest.approx(level_db(long, 0.05, 0.15), abs=0.1)


# Through the SF2 alone

TUNE = b"".join(note(key, 420, delta=0 if key == 60 else 60, velocity=110) for key in (60, 64, 67, 72, 79, 57))


TOLD = {
    "nothing": b"",
    "bend": bend(8191),
    "range": rpn(0, 5) + bend(-8192),
    "volume": control(7, 60),
    "expression": control(11, 60),
    "pan": control(10, 20),
    "volume and pan": control(7, 90) + control(10, 100),
}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_the_sf2_alone_gives_the_same_pitch_and_level(player: Player, told: bytes) -> None:
    ours, theirs = player.play(told + TUNE), player.alone(told + TUNE + meta(480, 1))
    for index in range(6):
        span = (0.5 * index + 0.06, 0.5 * index + 0.42)
        assert cents_between(f0_hz(ours, *span), f0_hz(theirs, *span)) == pytest.approx(0, abs=5)
        for side in (0, 1):
            pair = [level_db(sound[:, side : side + 1], *span) for sound in (ours, theirs)]
            assert pair[0] == pytest.approx(pair[1], abs=1)


@pytest.mark.parametrize("number", [64, 66])
def test_the_sf2_alone_holds_notes_by_the_same_pedals(player: Player, number: int) -> None:
    track = (
        event(0, 0x90, 60, 100)
        + control(number, 127, 240)
        + event(240, 0x80, 60, 0)
        + control(number, 0, 960)
        + meta(960, 1)
    )
    ours, theirs = player.play(track), player.alone(track)
    for start in (0.1, 0.6, 1.1, 1.6, 1.8):
        assert level_db(ours, start, start + 0.15) == pytest.approx(level_db(theirs, start, start + 0.15), abs=1)


def test_the_sf2_alone_begins_notes_at_the_same_time(player: Player) -> None:
    marks = tempo(0, 500_000) + tempo(960, 300_000) + tempo(960, 700_000)
    kit = event(0, 0xC9, 0)
    clicks = [key for key in range(36, 53) if key not in CHOKES]
    hits = b"".join(note(key, 100, delta=180, channel=9, velocity=127) for key in clicks)
    ours, theirs = (
        player.play(marks, kit + hits, role="drums"),
        player.alone(marks, kit + hits + meta(960, 1), role="drums"),
    )
    late_s = np.array(onsets_s(theirs)) - onsets_s(ours)
    assert len(late_s) == 16
    # FluidSynth's player takes events once in 64 frames and counts whole milliseconds: two blocks off at times.
    assert abs(np.median(late_s)) < 0.002
    assert np.abs(late_s).max() < 0.003


def test_the_sf2_alone_swings_as_far(player: Player) -> None:
    for told in (control(1, 100), event(0, PRESSURE, 100)):
        ours, theirs = player.play(told + held()), player.alone(told + held() + meta(480, 1))
        assert vibrato_cents(ours, 0.1, 0.9) == pytest.approx(vibrato_cents(theirs, 0.1, 0.9), abs=2)


# The engine

FOUR = [
    control(64, 127) + bend(500) + TUNE,
    event(0, 0xC1, 33) + b"".join(note(key, 240, channel=1) for key in (28, 40, 28, 35, 60)),
    event(0, 0xC2, 25) + control(1, 90) + b"".join(note(key, 240, channel=2) for key in (64, 64, 67, 64)),
    b"".join(note(key, 120, channel=9) for key in (36, 42, 38, 42, 46) * 4),
]


def test_stems_are_the_same_bytes_again_and_alone(band: Band, tmp_path: Path) -> None:
    score = read_score(write(tmp_path / "a.mid", *FOUR))
    stems: list[dict[Role, bytes]] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        paths, _ = raw_stems(score, band, {}, RenderOptions(preview_s=8.0), tmp_path / name)
        stems.append({role: path.read_bytes() for role, path in paths.items()})
    assert list(stems[0]) == list(ROLES)
    assert stems[0] == stems[1]
    for role in ROLES:
        window = RenderOptions(preview_s=8.0)
        tracks = tuple(track for track in score.tracks if track.role == role)
        # The same window: another track's first note must not move it.
        assert replace(score, tracks=tracks).first_note_s == score.first_note_s
        (tmp_path / role).mkdir()
        paths, _ = raw_stems(replace(score, tracks=tracks), band, {}, window, tmp_path / role)
        assert paths[role].read_bytes() == stems[0][role]


def test_synthesisers_are_made_one_at_a_time(band: Band, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that are made at once in a fresh process race for FluidSynth's tables: three runs of sixteen had a wrong stem."""
    making: list[str] = []
    overlaps: list[list[str]] = []
    library = synth._library()
    original = library.Synth

    def made(**settings: object) -> object:
        making.append("one")
        time.sleep(0.02)
        overlaps.append(list(making))
        making.pop()
        return original(**settings)

    monkeypatch.setattr(library, "Synth", made)
    raw_stems(read_score(write(tmp_path / "a.mid", *FOUR)), band, {}, RenderOptions(preview_s=0.1), tmp_path)
    assert overlaps == [["one"]] * 4


def test_an_sf2_without_the_roles_preset_is_refused(player: Player, tmp_path: Path) -> None:
    band = player.band
    wrong = replace(band, sf2={**band.sf2, "keyboard": band.sf2["bass"]})
    score = read_score(write(tmp_path / "a.mid", held()))
    with pytest.raises(InstrumentError, match=r"bass\.sf2: has no preset 0 in bank 0: build"):
        raw_stems(score, wrong, {}, RenderOptions(), tmp_path)
