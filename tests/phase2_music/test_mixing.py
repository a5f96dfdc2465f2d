"""The mix as a listener meets it: loud enough and never clipping, in its place and its room, and the sum of its parts."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import soundfile
from scipy import signal

from core.audio import SAMPLE_RATE, Audio, Samples, read_audio
from core.errors import ScoreError
from core.loudness import from_db, gated_loudness, loudness_lufs, to_db, true_peak_dbtp
from phase2_music.rendering.convolution import Convolver
from phase2_music.rendering.dynamics import BLOCK_FRAMES, MAX_REDUCTION_DB, BusMeasure, master_gain
from phase2_music.rendering.encoding import (
    FILE_FORMATS,
    FULL_SCALE,
    encode_lossy,
    fix_ogg_serial,
    open_writer,
    stem_suffix,
    sum_error_dbfs,
)
from phase2_music.rendering.metering import BAND_HZ, HOP_FRAMES, SongMeter, StemMeasure, StemMeter, loudness_of_hops
from phase2_music.rendering.mixing import Mix, MixOptions, _gains_db, measure_stem, mix_stems, pan_gains
from phase2_music.rendering.reverb import Room, room_impulse
from phase2_music.rendering.tone import MAX_CORRECTION_DB, SLOPE_DB, minimum_phase, octave_levels_db, tone_correction
from schemas.document import Role

RATE = SAMPLE_RATE
SECONDS = 9.0
Array = npt.NDArray[np.float64]


def note(f0_hz: float, seconds: float, decay_s: float, harmonics: int = 6) -> Array:
    t = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * k * f0_hz * t + k) / k**1.5 for k in range(1, harmonics + 1))
    return np.asarray(0.1 * tone * np.exp(-t / decay_s) * np.minimum(1.0, t / 0.002))


def played(sounds: list[Array], every_s: float, seconds: float) -> Array:
    """Sounds in turn, every so many seconds."""
    whole = np.zeros(round(seconds * RATE))
    for number, start in enumerate(np.arange(0.0, seconds, every_s)):
        sound = sounds[number % len(sounds)][: len(whole) - round(start * RATE)]
        whole[round(start * RATE) :][: len(sound)] += sound
    return whole


def hit(seed: int, seconds: float = 0.4) -> Array:
    t = np.arange(round(seconds * RATE)) / RATE
    crack = np.random.default_rng(seed).standard_normal(len(t)) * np.exp(-t / 0.03)
    return np.asarray(0.2 * crack + 0.5 * np.sin(2 * np.pi * 60 * t) * np.exp(-t / 0.1))


def band(seconds: float = SECONDS) -> dict[Role, Array]:
    return {
        "keyboard": played([note(f, 2.0, 0.8) for f in (262, 330, 392, 523)], 0.5, seconds),
        "bass": played([note(f, 1.0, 0.5) for f in (65, 82, 98)], 1.0, seconds),
        "guitar": played([note(f, 1.0, 0.3, 12) for f in (196, 247, 294)], 0.25, seconds),
        "drums": played([hit(1), hit(2)], 0.5, seconds),
    }


def write_raw(folder: Path, parts: dict[Role, Array]) -> dict[Role, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {role: folder / f"{role}.f32" for role in parts}
    for role, mono in parts.items():
        stereo = mono if mono.ndim == 2 else np.stack([mono, mono], axis=1)
        stereo.astype(np.float32).tofile(paths[role])
    return paths


def mixed(
    folder: Path, raw: dict[Role, Path], options: MixOptions | None = None, pans: dict[Role, float] | None = None
) -> Mix:
    options = options or MixOptions()
    folder.mkdir(parents=True)
    suffix = stem_suffix(options.file_format)
    stems = {role: folder / f"{role}{suffix}" for role in raw}
    reverb = folder / f"reverb{suffix}"
    return mix_stems(raw, pans or {}, stems, folder / f"song.{options.file_format}", options, reverb)


def samples_of(path: Path) -> Samples:
    return read_audio(path).samples


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[Role, Path]:
    return write_raw(tmp_path_factory.mktemp("raw"), band())


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory, raw: dict[Role, Path]) -> tuple[Path, Mix]:
    folder = tmp_path_factory.mktemp("mix") / "song"
    return folder, mixed(folder, raw, pans={"keyboard": -0.8, "guitar": 0.8, "bass": 1.0})


def parts_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.stem != "song")


# Loudness and peak


@pytest.mark.parametrize("loudness", [-14.0, -23.0])
@pytest.mark.parametrize("ceiling", [-1.0, -3.0])
def test_loudness_and_peak_are_met(tmp_path: Path, raw: dict[Role, Path], loudness: float, ceiling: float) -> None:
    mix = mixed(tmp_path / "out", raw, MixOptions(loudness_lufs=loudness, ceiling_dbtp=ceiling))
    samples = samples_of(tmp_path / "out" / "song.wav")
    judged = pyloudnorm.Meter(RATE).integrated_loudness(samples.T.astype(np.float64))
    assert judged == pytest.approx(loudness, abs=0.2)
    assert mix.loudness_lufs == pytest.approx(judged, abs=0.05)
    oversampled = np.abs(signal.resample_poly(samples, 8, 1, axis=1)).max()
    assert to_db(float(oversampled)) <= ceiling + 0.05
    assert mix.true_peak_dbtp <= ceiling
    assert mix.true_peak_dbtp == pytest.approx(true_peak_dbtp(Audio(samples, RATE)), abs=0.01)
    assert mix.warnings == ()


def test_a_drone_far_below_the_ceiling_has_its_true_peak(tmp_path: Path) -> None:
    # At a quarter of the sample rate and 45 degrees every sample lies 3 dB below the peak.
    drone = 0.3 * np.sin(np.pi / 2 * np.arange(4 * RATE) + np.pi / 4)
    mix = mixed(tmp_path / "out", write_raw(tmp_path, {"drums": drone}), MixOptions(loudness_lufs=-23.0, dry=True))
    samples = samples_of(tmp_path / "out" / "song.wav")
    assert mix.true_peak_dbtp < -15.0
    assert mix.true_peak_dbtp == pytest.approx(true_peak_dbtp(Audio(samples, RATE)), abs=0.02)
    assert to_db(float(np.abs(samples).max())) < mix.true_peak_dbtp - 2.0


def test_the_crest_factor_is_that_of_music(song: tuple[Path, Mix]) -> None:
    samples = samples_of(song[0] / "song.wav")
    assert 8.0 <= to_db(float(np.abs(samples).max() / np.sqrt(np.mean(samples**2)))) <= 16.0


def test_every_role_is_heard(song: tuple[Path, Mix]) -> None:
    levels = [loudness_lufs(read_audio(path)) for path in parts_of(song[0]) if path.stem != "reverb"]
    assert max(levels) - min(levels) < 10.0


def test_a_role_whose_highs_are_taken_out_is_still_heard() -> None:
    low, high = np.full((20, len(BAND_HZ)), 1e-9), np.full((20, len(BAND_HZ)), 1e-9)
    low[:, BAND_HZ < 300], high[:, BAND_HZ > 3000] = 1e-3, 1e-3
    measures: dict[Role, StemMeasure] = {"bass": StemMeasure(low), "guitar": StemMeasure(high)}
    tone_db = np.where(BAND_HZ < 1000, MAX_CORRECTION_DB, -MAX_CORRECTION_DB)
    gains = _gains_db(measures, tone_db)
    heard = {role: each.loudness_lufs(from_db(1.0) ** tone_db) + gains[role] for role, each in measures.items()}
    assert 0.0 < heard["bass"] - heard["guitar"] < 9.5


def test_a_song_of_far_clicks_is_not_crushed_and_says_so(tmp_path: Path) -> None:
    click = np.zeros(round(6 * RATE))
    click[:: 2 * RATE] = 0.9
    tone = 1e-4 * np.sin(2 * np.pi * 440 * np.arange(len(click)) / RATE)
    mix = mixed(tmp_path / "out", write_raw(tmp_path, {"drums": click + tone}), MixOptions(dry=True))
    assert mix.loudness_lufs < -15.0
    assert mix.reduction_db <= MAX_REDUCTION_DB + 0.1
    assert mix.true_peak_dbtp <= -1.0
    assert len(mix.warnings) == 1
    assert "peaks stand so far out" in mix.warnings[0]


def test_the_gain_keeps_every_block_under_the_ceiling_all_along() -> None:
    rng = np.random.default_rng(0)
    hops = 60
    peaks = (0.3 * rng.random(35 * hops) ** 8 + 0.05).astype(np.float32)
    bus = BusMeasure(peaks, peaks / 2, (peaks / 4) ** 2, np.full(hops, 0.01**2))
    gain = master_gain(bus, -30.0, -1.0)
    loudest = gain.over(0, len(peaks)).max(axis=1) * peaks
    assert gain.reduction_db > 1.0
    assert loudest.max() <= from_db(-1.0) * 1.0001
    assert np.abs(np.diff(20 * np.log10(gain.over(0, len(peaks)).reshape(-1)))).max() < 0.1  # no step that clicks


def test_the_loudness_worked_out_is_that_of_the_curve() -> None:
    rng = np.random.default_rng(1)
    hops = 80
    energy = (rng.random(35 * hops).astype(np.float32) + 0.1) * 1e-4
    bus = BusMeasure(
        np.sqrt(energy) * 3, np.zeros_like(energy), energy, energy.reshape(-1, 35).mean(axis=1).astype(np.float64)
    )
    gain = master_gain(bus, -14.0, -1.0)
    mean_gain = (gain.points[:-1] + gain.points[1:]) / 2
    judged = gated_loudness((energy * mean_gain**2).reshape(-1, 35).mean(axis=1))
    assert gain.loudness_lufs == pytest.approx(judged, abs=0.01)
    assert judged == pytest.approx(-14.0, abs=0.1)


# The sum of its parts


@pytest.mark.parametrize("options", [MixOptions(), MixOptions(dry=True), MixOptions(file_format="flac")])
def test_stems_and_reverb_sum_to_the_song(tmp_path: Path, raw: dict[Role, Path], options: MixOptions) -> None:
    mixed(tmp_path / "out", raw, options)
    parts = parts_of(tmp_path / "out")
    assert len(parts) == (4 if options.dry else 5)
    whole = tmp_path / "out" / f"song.{options.file_format}"
    assert sum_error_dbfs(parts, whole) == -math.inf  # equal, bit for bit
    assert sum_error_dbfs(parts[1:], whole) > -60.0
    assert soundfile.info(whole).subtype == "PCM_24"


def test_parts_that_are_against_each_other_do_not_clip(tmp_path: Path) -> None:
    loud = 0.5 * np.sin(2 * np.pi * 300 * np.arange(3 * RATE) / RATE)
    raw = write_raw(tmp_path, {"keyboard": loud, "guitar": -0.9 * loud})
    mixed(tmp_path / "out", raw, MixOptions(dry=True))
    for path in parts_of(tmp_path / "out"):
        assert np.abs(samples_of(path)).max() < 0.9
    assert sum_error_dbfs(parts_of(tmp_path / "out"), tmp_path / "out" / "song.wav") == -math.inf


def test_only_stems_are_written_where_only_stems_are_wanted(tmp_path: Path, raw: dict[Role, Path]) -> None:
    mix = mixed(tmp_path / "out", raw, MixOptions(stems_only=True))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{role}.wav" for role in raw} | {"reverb.wav"}
    assert mix.loudness_lufs == pytest.approx(-14.0, abs=0.2)


# Place and room


def test_pan_is_constant_power() -> None:
    for pan in (-1.0, -0.3, 0.0, 0.8, 1.0):
        assert float(np.sum(pan_gains(pan) ** 2)) == pytest.approx(2.0, abs=1e-6)
    assert pan_gains(-1.0)[1, 0] == pytest.approx(0.0, abs=1e-6)


def test_a_role_sounds_from_where_its_source_is(song: tuple[Path, Mix]) -> None:
    folder, mix = song
    power = {p.stem: np.mean(np.square(samples_of(p)), axis=1) for p in parts_of(folder)}
    balance = {name: 10 * math.log10(right / left) for name, (left, right) in power.items()}
    assert balance["keyboard"] < -3.0
    assert balance["guitar"] > 3.0
    assert 0.0 < balance["bass"] < 2.5  # low things stay near the middle, wherever they are
    assert balance["drums"] == pytest.approx(0.0, abs=0.01)
    assert abs(balance["reverb"]) < 1.5
    assert mix.levels["keyboard"].pan < 0 < mix.levels["guitar"].pan


def test_in_mono_nothing_is_lost(song: tuple[Path, Mix]) -> None:
    samples = samples_of(song[0] / "song.wav")
    mono = samples.mean(axis=0)
    folded = loudness_lufs(Audio(np.stack([mono, mono]), RATE))
    assert folded > loudness_lufs(Audio(samples, RATE)) - 1.5


def decay_s(impulse: Array, low_hz: float, high_hz: float) -> float:
    """T60 by Schroeder's backward integration, from -5 to -25 dB."""
    band_pass = signal.butter(3, [low_hz, high_hz], "bandpass", fs=RATE, output="sos")
    energy = np.cumsum(np.square(signal.sosfilt(band_pass, impulse))[::-1])[::-1]
    level = 10 * np.log10(energy / energy[0] + 1e-12)
    start, end = np.argmax(level < -5), np.argmax(level < -25)
    return float(3.0 * (end - start) / RATE)


@pytest.mark.parametrize("openness", [0.0, 0.3, 0.7, 1.0])
def test_the_room_rings_as_long_as_the_scene_is_open(openness: float) -> None:
    room = Room.of_openness(openness)
    impulse = room_impulse(room)
    for ear in (impulse.real, impulse.imag):
        assert decay_s(ear, 350, 700) == pytest.approx(room.t60_s, rel=0.15)
        assert decay_s(ear, 5000, 10000) < 0.8 * room.t60_s  # air and walls swallow the highs first
        assert 10 * math.log10(np.sum(ear**2)) == pytest.approx(room.level_db, abs=0.1)
        silent = round(room.pre_delay_s * RATE)
        assert np.abs(ear[:silent]).max() == 0.0
        assert np.abs(ear[silent : silent + 100]).max() > 0.0
    assert abs(np.corrcoef(impulse.real, impulse.imag)[0, 1]) < 0.1


def test_a_more_open_scene_is_a_larger_room() -> None:
    rooms = [Room.of_openness(openness) for openness in np.linspace(0.0, 1.0, 5)]
    for nearer, wider in pairwise(rooms):
        assert wider.t60_s > nearer.t60_s
        assert wider.pre_delay_s > nearer.pre_delay_s
        assert wider.brightness < nearer.brightness
    assert rooms[0].t60_s < 0.5
    assert rooms[-1].t60_s > 2.0


def test_dry_is_dry_and_a_room_rings_on(tmp_path: Path) -> None:
    raw = write_raw(tmp_path, {"keyboard": np.concatenate([note(440, 0.6, 5.0), np.zeros(RATE)])})
    dry = mixed(tmp_path / "dry", raw, MixOptions(dry=True))
    wet = mixed(tmp_path / "wet", raw, MixOptions(openness=1.0))
    assert not (tmp_path / "dry" / "reverb.wav").exists()
    assert dry.room_s is None
    assert dry.frames == round(1.6 * RATE)
    assert wet.frames > dry.frames + 2 * RATE
    after = slice(round(0.75 * RATE), round(1.2 * RATE))
    assert np.abs(samples_of(tmp_path / "dry" / "song.wav")[:, after]).max() < 1e-5
    assert np.abs(samples_of(tmp_path / "wet" / "song.wav")[:, after]).max() > 1e-3
    assert np.abs(samples_of(tmp_path / "wet" / "song.wav")[:, -20:]).max() < 1e-4  # it ends without a click


# Tone


def levels_at(slope_db: float, *, without: int | None = None) -> Array:
    """Powers of the third octaves whose octaves fall by so many dB each."""
    powers = np.asarray(10.0 ** (slope_db * np.log2(BAND_HZ / 1000.0) / 10.0))
    if without is not None:
        powers[np.abs(np.log2(BAND_HZ / without)) < 0.6] *= 1e-6
    return powers


def off_the_line(powers: Array) -> float:
    distance = octave_levels_db(powers) - SLOPE_DB * np.arange(8)
    return float(distance.max() - distance.min()) / 2


def test_what_lies_on_the_line_is_left_alone() -> None:
    np.testing.assert_allclose(tone_correction(levels_at(SLOPE_DB)), 0.0, atol=0.01)
    np.testing.assert_array_equal(tone_correction(np.zeros(len(BAND_HZ))), 0.0)


@pytest.mark.parametrize("slope_db", [-9.0, -2.0, 0.0])
def test_what_lies_off_the_line_is_brought_nearer_and_never_by_more_than_the_bound(slope_db: float) -> None:
    powers = levels_at(slope_db)
    gains = tone_correction(powers)
    assert np.abs(gains).max() <= MAX_CORRECTION_DB
    assert off_the_line(powers * 10 ** (gains / 10)) < 0.75 * off_the_line(powers)
    assert off_the_line(powers * 10 ** (gains / 10)) < 8.0


def test_what_is_not_played_is_not_raised() -> None:
    assert tone_correction(levels_at(SLOPE_DB, without=63))[BAND_HZ < 60].max() < 0.5
    tone = np.zeros(len(BAND_HZ))
    tone[17] = 1.0
    assert np.abs(tone_correction(tone + 1e-9)).max() < 0.5


def test_the_filter_follows_the_gains_without_delay() -> None:
    gains = tone_correction(levels_at(0.0))
    impulse = minimum_phase(gains)
    response = 20 * np.log10(np.abs(np.fft.rfft(impulse, 1 << 15)))
    heard = np.interp(BAND_HZ, np.fft.rfftfreq(1 << 15, 1 / RATE), response)
    audible = (BAND_HZ > 50) & (BAND_HZ < 16000)
    np.testing.assert_allclose(heard[audible], gains[audible], atol=1.0)
    assert np.argmax(np.abs(impulse)) < 5
    assert np.sum(impulse[:100] ** 2) > 0.9 * np.sum(impulse**2)


def test_the_song_lies_near_the_line(song: tuple[Path, Mix]) -> None:
    samples = samples_of(song[0] / "song.wav")
    frequency, power = signal.welch(samples, RATE, nperseg=1 << 14)
    third = [power.sum(axis=0)[np.abs(np.log2(np.maximum(frequency, 1) / f)) < 1 / 6].sum() for f in BAND_HZ]
    assert off_the_line(np.array(third)) < 8.0


def test_a_kit_that_plays_alone_keeps_its_own_tone(tmp_path: Path, raw: dict[Role, Path]) -> None:
    alone = mixed(tmp_path / "alone", {"drums": raw["drums"]})
    assert set(alone.tone_db) == {0.0}
    assert np.ptp(mixed(tmp_path / "two", {role: raw[role] for role in ("bass", "drums")}).tone_db) > 1.0


# Blocks


@pytest.mark.parametrize("taps", [1, 300, 5000])
def test_blockwise_convolution_is_that_of_the_whole(taps: int) -> None:
    rng = np.random.default_rng(taps)
    impulse = rng.standard_normal(taps).astype(np.float32)
    stereo = rng.standard_normal((6 * 882, 2)).astype(np.float32)
    convolver, pieces, start = Convolver(impulse, 882), [], 0
    for hops in (1, 3, 2):
        convolver.begin(hops * 882)[:] = stereo[start : start + hops * 882]
        pieces.append(convolver.end().reshape(-1, 2).copy())
        start += hops * 882
    expected = signal.fftconvolve(stereo, impulse[:, None])[: len(stereo)]
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("openness", [0.0, 0.5, 1.0])
def test_a_room_loses_nothing_with_the_highs_that_its_later_parts_do_not_have(openness: float) -> None:
    impulse = room_impulse(Room.of_openness(openness))
    send = np.random.default_rng(0).standard_normal(4 * 17640)
    convolver = Convolver(impulse, 17640)
    convolver.begin(len(send))[:] = np.stack([send, np.zeros(len(send))], axis=1)
    heard = np.ascontiguousarray(convolver.end()).view(np.complex64).reshape(-1)
    expected = signal.fftconvolve(send, impulse)[: len(send)]
    assert 10 * np.log10(np.mean(np.abs(heard - expected) ** 2) / np.mean(np.abs(expected) ** 2)) < -90.0


def feed(meter: StemMeter | SongMeter, stereo: Samples, sizes: tuple[int, ...]) -> None:
    """Give a meter a sound in blocks of these sizes, in turn."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(stereo):
            return
        meter.add(stereo[start : start + size])
        start += size


@pytest.mark.parametrize("sizes", [(1024,), (64, 40000, 7), (300000,)])
def test_a_stem_measured_in_blocks_is_measured_right(raw: dict[Role, Path], sizes: tuple[int, ...]) -> None:
    for path in raw.values():
        stereo = np.fromfile(path, dtype=np.float32).reshape(-1, 2)
        meter = StemMeter()
        feed(meter, stereo, sizes)
        measure = meter.measure()
        assert len(measure.powers) == math.ceil(len(stereo) / HOP_FRAMES)
        assert measure.loudness_lufs() == pytest.approx(loudness_lufs(Audio(stereo.T, RATE)), abs=0.2)
        np.testing.assert_allclose(measure.powers, measure_stem(path).powers, rtol=1e-3, atol=1e-12)
        assert measure.powers.sum() / len(measure.powers) == pytest.approx(
            float(np.sum(stereo**2)) / (len(measure.powers) * HOP_FRAMES), rel=0.01
        )


@pytest.mark.parametrize("sizes", [(1024,), (64, 40000, 7), (300000,)])
def test_a_song_is_as_loud_in_bins_as_behind_the_filter_of_the_standard(
    raw: dict[Role, Path], sizes: tuple[int, ...]
) -> None:
    for path in raw.values():
        stereo = np.fromfile(path, dtype=np.float32).reshape(-1, 2)
        meter = SongMeter()
        feed(meter, stereo, sizes)
        assert loudness_of_hops(meter.k_powers()) == pytest.approx(loudness_lufs(Audio(stereo.T, RATE)), abs=0.02)


@pytest.mark.parametrize(("seconds", "near_lu"), [(0.05, 0.15), (0.3, 0.05)])  # the filter rings on for a while
def test_a_song_shorter_than_a_gating_block_has_a_loudness(seconds: float, near_lu: float) -> None:
    t = np.arange(round(seconds * RATE)) / RATE
    stereo = np.repeat(0.3 * np.sin(2 * np.pi * 500 * t)[:, None], 2, axis=1).astype(np.float32)
    meter = SongMeter()
    meter.add(stereo)
    assert loudness_of_hops(meter.k_powers()) == pytest.approx(loudness_lufs(Audio(stereo.T, RATE)), abs=near_lu)


def test_measures_that_are_handed_over_change_nothing(tmp_path: Path, raw: dict[Role, Path]) -> None:
    mixed(tmp_path / "a", raw)
    (tmp_path / "b").mkdir()
    measures = {role: measure_stem(path) for role, path in raw.items() if role != "bass"}
    stems = {role: tmp_path / "b" / f"{role}.wav" for role in raw}
    mix_stems(raw, {}, stems, tmp_path / "b" / "song.wav", MixOptions(), measures=measures)
    assert (tmp_path / "a" / "song.wav").read_bytes() == (tmp_path / "b" / "song.wav").read_bytes()
    assert not (tmp_path / "b" / "reverb.wav").exists()


def test_wave_files_are_mixed_as_raw_ones_are(tmp_path: Path, raw: dict[Role, Path]) -> None:
    waves = {role: tmp_path / f"{role}.wav" for role in raw}
    for role, path in raw.items():
        samples = np.fromfile(path, dtype=np.float32).reshape(-1, 2)
        soundfile.write(waves[role], samples, RATE, subtype="FLOAT", format="RF64")
    mixed(tmp_path / "a", raw)
    mixed(tmp_path / "b", waves)
    assert (tmp_path / "a" / "song.wav").read_bytes() == (tmp_path / "b" / "song.wav").read_bytes()


def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    peaks = []
    for seconds in (20.0, 80.0):
        raw = write_raw(tmp_path / f"{seconds}", {"bass": played([note(65, 1.0, 0.5)], 1.0, seconds)})
        tracemalloc.start()
        mixed(tmp_path / f"{seconds}-out", raw)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 8e6  # one stem of another minute would be 21 MB
    assert peaks[1] < 80e6


# Songs of all kinds


@pytest.mark.parametrize("level", [0.0, 1e-9])
def test_silence_is_refused(tmp_path: Path, level: float) -> None:
    raw = write_raw(tmp_path, {"keyboard": np.full(RATE, level), "drums": np.zeros(RATE)})
    with pytest.raises(ScoreError, match="the song is silent"):
        mixed(tmp_path / "out", raw)
    assert not list((tmp_path / "out").iterdir())


def test_a_silent_stem_among_others_is_silent(tmp_path: Path) -> None:
    raw = write_raw(tmp_path, {"keyboard": note(440, 2.0, 1.0), "drums": np.zeros(RATE // 2)})
    mix = mixed(tmp_path / "out", raw, MixOptions(dry=True))
    assert not samples_of(tmp_path / "out" / "drums.wav").any()
    assert soundfile.info(tmp_path / "out" / "drums.wav").frames == mix.frames == 2 * RATE
    assert mix.levels["drums"].gain_db == 0.0


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.6, 6.4, 6.5])
@pytest.mark.parametrize("dry", [True, False])
def test_songs_of_any_length(tmp_path: Path, seconds: float, dry: bool) -> None:
    raw = write_raw(tmp_path, {"keyboard": note(440, seconds, 2.0)})
    mix = mixed(tmp_path / "out", raw, MixOptions(dry=dry))
    samples = samples_of(tmp_path / "out" / "song.wav")
    assert samples.shape == (2, mix.frames)
    assert mix.frames >= round(seconds * RATE)
    assert math.isfinite(mix.loudness_lufs)
    assert mix.true_peak_dbtp <= -1.0
    assert np.abs(samples).max() > 0.2
    assert sum_error_dbfs(parts_of(tmp_path / "out"), tmp_path / "out" / "song.wav") == -math.inf


# Files


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_the_same_stems_give_the_same_bytes(tmp_path: Path, raw: dict[Role, Path], file_format: str) -> None:
    for name in ("a", "b"):
        mixed(tmp_path / name, raw, MixOptions(file_format=file_format))  # type: ignore[arg-type]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_flac_holds_the_same_samples(tmp_path: Path, raw: dict[Role, Path], song: tuple[Path, Mix]) -> None:
    mixed(tmp_path / "out", raw, MixOptions(file_format="flac"), {"keyboard": -0.8, "guitar": 0.8, "bass": 1.0})
    for path in (tmp_path / "out").iterdir():
        np.testing.assert_array_equal(samples_of(path), samples_of(song[0] / f"{path.stem}.wav"))


@pytest.mark.parametrize("file_format", ["mp3", "ogg"])
def test_lossy_files_sound_the_same_in_time_and_under_the_ceiling(
    tmp_path: Path, raw: dict[Role, Path], file_format: str
) -> None:
    mix = mixed(tmp_path / "out", raw, MixOptions(file_format=file_format))  # type: ignore[arg-type]
    coded = read_audio(tmp_path / "out" / f"song.{file_format}")
    exact = sum(samples_of(path) for path in parts_of(tmp_path / "out"))
    assert {path.suffix for path in parts_of(tmp_path / "out")} == {".wav"}
    assert coded.samples.shape == exact.shape == (2, mix.frames)
    middle = slice(RATE, 5 * RATE)
    match = signal.correlate(coded.samples[0, middle], exact[0, middle], mode="same", method="fft")
    assert np.argmax(match) == len(match) // 2
    error = coded.samples - exact
    assert 10 * math.log10(np.mean(error[:, middle] ** 2) / np.mean(exact[:, middle] ** 2)) < -15.0
    assert true_peak_dbtp(coded) <= -1.0
    assert loudness_lufs(coded) == pytest.approx(-14.0, abs=0.5)
    assert mix.true_peak_dbtp == pytest.approx(true_peak_dbtp(coded), abs=0.01)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
def test_peaks_that_coding_raises_are_lowered(tmp_path: Path, suffix: str) -> None:
    noise = np.clip(np.random.default_rng(3).standard_normal((3 * RATE, 2)), -1, 1) * 0.7
    noise.astype(np.float32).tofile(tmp_path / "a.f32")
    loudness, peak = encode_lossy(tmp_path / "a.f32", tmp_path / f"a{suffix}", -1.0)
    decoded = read_audio(tmp_path / f"a{suffix}")
    assert true_peak_dbtp(decoded) == pytest.approx(peak, abs=0.01)
    assert -3.0 < peak <= -1.0
    assert loudness_lufs(decoded) == pytest.approx(loudness, abs=0.01)


def test_an_ogg_with_another_serial_is_still_a_good_ogg(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.stack([note(440, 2.0, 1.0)] * 2, axis=1), RATE, format="OGG", subtype="VORBIS")
    before = soundfile.read(path)[0]
    fix_ogg_serial(path, 7)
    data = path.read_bytes()
    assert data[14:18] == b"\x07\0\0\0"
    np.testing.assert_array_equal(soundfile.read(path)[0], before)  # libogg drops pages whose checksum is wrong
    broken = bytearray(data)
    broken[len(data) // 2] ^= 255
    path.write_bytes(broken)
    with_error = soundfile.read(path)[0]
    assert len(with_error) != len(before) or not np.array_equal(with_error, before)


def test_every_24_bit_value_is_written_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-FULL_SCALE, FULL_SCALE, (4999, 2), dtype=np.int32)
    values[:3] = [[0, -1], [FULL_SCALE - 1, -FULL_SCALE], [1, 255]]
    for path in (tmp_path / "a.wav", tmp_path / "a.flac"):
        with open_writer(path, len(values)) as write:
            write(values[:1001])
            write(values[1001:])
        read, rate = soundfile.read(path, dtype="int32")
        assert rate == RATE
        np.testing.assert_array_equal(read >> 8, values)


def test_a_file_beyond_four_gibibytes_is_still_a_wave_file(tmp_path: Path) -> None:
    frames = 5 * 3600 * RATE
    path = tmp_path / "long.wav"
    with open_writer(path, frames) as write:
        write(np.ones((10, 2), dtype=np.int32))
    header = path.stat().st_size - 60
    with path.open("r+b") as file:
        file.truncate(header + 6 * frames)  # a hole: it takes no room on disk
    info = soundfile.info(path)
    assert (info.frames, info.channels, info.samplerate) == (frames, 2, RATE)
    assert soundfile.read(path, frames=10, dtype="int32")[0].min() == 1 << 8


def test_mixing_does_not_load_what_takes_long_to_load() -> None:
    code = "import sys, phase2_music.rendering.mixing as m; print([n for n in sys.modules if n.startswith('scipy.signal')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_wave_file_that_takes_a_raw_files_place_holds_the_same(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-FULL_SCALE, FULL_SCALE, (5000, 2)).astype(np.int32)
    raw, sizes = tmp_path / "raw.f32", (22, 1, 3000, 1977)
    raw.write_bytes(values.astype(np.float32).tobytes() + bytes(800))  # it may be longer
    before = raw.stat().st_ino
    for name, over in (("new.wav", None), ("over.wav", raw)):
        with raw.open("rb") as file, open_writer(tmp_path / name, len(values), over) as write:
            for size in sizes:
                block = np.fromfile(file, dtype=np.float32, count=2 * size)
                write(block.astype(np.int32).reshape(-1, 2))
    assert (tmp_path / "over.wav").read_bytes() == (tmp_path / "new.wav").read_bytes()
    assert (tmp_path / "over.wav").stat().st_ino == before
    assert not raw.exists()


def test_blocks_are_whole_parts_of_a_hop() -> None:
    assert HOP_FRAMES % BLOCK_FRAMES == 0


@pytest.mark.parametrize("frequency_hz", [63.0, 203.0])
def test_a_low_tone_is_not_found_in_the_high_bands(frequency_hz: float) -> None:
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(2 * RATE + 1000) / RATE)
    powers = []
    for signal_start in (0, 1000):  # wherever a hop cuts it
        meter = StemMeter()
        meter.add(np.repeat(tone[signal_start : signal_start + 2 * RATE, None], 2, axis=1).astype(np.float32))
        powers.append(meter.measure().powers[1:-1].mean(axis=0))
    for mean in powers:
        assert 10 * np.log10(mean[7.9 * frequency_hz < BAND_HZ].max() / mean.max()) < -55.0


def test_a_stem_measures_the_same_in_whatever_blocks_it_comes() -> None:
    sound = np.random.default_rng(0).standard_normal((5 * SAMPLE_RATE, 2)).astype(np.float32)
    measures = []
    for size in (1000, 16384, 70560, len(sound)):
        meter = StemMeter()
        for start in range(0, len(sound), size):
            meter.add(sound[start : start + size])
        measures.append(meter.measure().powers)
    for other in measures[1:]:
        np.testing.assert_array_equal(measures[0], other)
