"""Sounds in memory cannot change, sounds on disk come back as they were, wrong ones are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from core.audio import Audio, read_audio, write_audio
from core.errors import AudioError, DiskFullError, OutputError

RATE = 44100
Array = npt.NDArray[np.float64]


def sine(f0_hz: float, seconds: float, rate: int = RATE, level: float = 0.5) -> Array:
    t = np.arange(round(seconds * rate)) / rate
    return np.asarray(level * np.sin(2 * np.pi * f0_hz * t))


def stereo() -> Audio:
    return Audio(np.stack([sine(440, 0.2), sine(660, 0.2, level=0.25)]), RATE)


def test_a_mono_sound_gets_one_channel() -> None:
    audio = Audio(sine(440, 0.5), RATE)
    assert (audio.channels, audio.frames, audio.duration_s) == (1, 22050, 0.5)
    assert audio.samples.dtype == np.float32


def test_the_samples_cannot_change() -> None:
    given = np.zeros((1, 10), dtype=np.float32)
    audio = Audio(given, RATE)
    given[0, 3] = 1.0
    assert audio.peak == 0.0
    with pytest.raises(ValueError, match="read-only"):
        audio.samples[0, 3] = 1.0


def test_mono_is_the_mean_of_the_channels() -> None:
    np.testing.assert_allclose(Audio(np.array([[1.0, 0.0], [0.0, 0.5]]), RATE).mono(), [0.5, 0.25])


def test_scaled_and_peak() -> None:
    audio = Audio(np.array([0.25, -0.5]), RATE)
    assert audio.peak == 0.5
    np.testing.assert_array_equal(audio.scaled(-2.0).samples, [[-0.5, 1.0]])
    assert Audio(np.zeros((2, 0)), RATE).peak == 0.0


@pytest.mark.parametrize("rate", [22050, 48000, 96000])
def test_resampling_keeps_pitch_level_polarity_and_time(rate: int) -> None:
    audio = Audio(np.stack([sine(1000, 1.0), -sine(1000, 1.0)]), RATE).resampled(rate)
    assert (audio.sample_rate, audio.frames) == (rate, rate)
    middle = slice(rate // 4, 3 * rate // 4)
    np.testing.assert_allclose(audio.samples[0, middle], sine(1000, 1.0, rate)[middle], atol=1e-4)
    np.testing.assert_allclose(audio.samples[1, middle], -sine(1000, 1.0, rate)[middle], atol=1e-4)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    audio = stereo()
    np.testing.assert_array_equal(audio.resampled(RATE).samples, audio.samples)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((1, 2, 3)), RATE, r"shape \(1, 2, 3\): expected \(channels, frames\)"),
        (np.array([0.0, np.nan]), RATE, "not a finite number"),
        (np.array([0.0, np.inf]), RATE, "not a finite number"),
        (np.zeros(3), 0, "sample rate 0: expected a positive number"),
    ],
)
def test_what_is_no_sound_is_refused(samples: Array, rate: int, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        Audio(samples, rate)


@pytest.mark.parametrize(("subtype", "step"), [("PCM_24", 2.0**-23), ("PCM_16", 2.0**-15), ("FLOAT", 0.0)])
def test_a_written_sound_is_read_back(tmp_path: Path, subtype: str, step: float) -> None:
    audio, path = stereo(), tmp_path / "new" / "folder" / "a.wav"
    write_audio(path, audio, subtype)
    again = read_audio(path)
    assert (again.sample_rate, again.samples.shape) == (RATE, audio.samples.shape)
    np.testing.assert_allclose(again.samples, audio.samples, atol=step)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.wav"]


def test_the_same_sound_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_audio(tmp_path / name, stereo())
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_full_scale_is_written_and_more_is_refused(tmp_path: Path) -> None:
    write_audio(tmp_path / "full.wav", Audio(np.array([1.0, -1.0, 0.0]), RATE))
    np.testing.assert_allclose(read_audio(tmp_path / "full.wav").samples, [[1.0, -1.0, 0.0]], atol=2.0**-23)
    with pytest.raises(AudioError, match=r"loud\.wav: peak 1\.001 is beyond full scale: lower the gain"):
        write_audio(tmp_path / "loud.wav", Audio(np.array([1.001, 0.0]), RATE))
    assert not (tmp_path / "loud.wav").exists()


@pytest.mark.parametrize(("format_", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_other_formats_are_read(tmp_path: Path, format_: str, subtype: str) -> None:
    path = tmp_path / f"a.{format_.lower()}"
    soundfile.write(path, np.stack([sine(440, 1.0)] * 2).T, RATE, format=format_, subtype=subtype)
    audio = read_audio(path)
    assert (audio.sample_rate, audio.channels) == (RATE, 2)
    assert audio.duration_s == pytest.approx(1.0, abs=0.05)
    spectrum = np.abs(np.fft.rfft(audio.mono()[: RATE // 2] * np.hanning(RATE // 2)))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=2)


def test_broken_samples_of_a_float_file_are_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.5, np.nan, np.inf, -np.inf, 0.25]), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path).samples, [[0.5, 0.0, 0.0, 0.0, 0.25]])


def test_numbers_that_are_no_sound_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5, 1e25]), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: its samples reach 1e\+25, where 1 is full scale"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.wav: no such sound file: check the path"),
        (b"", r"a\.wav: not a sound that can be read .*: convert it"),
        (b"RIFF\0\0\0\0WAVEjunk", r"a\.wav: not a sound that can be read .*: convert it"),
        (b"no sound at all" * 100, r"a\.wav: not a sound that can be read .*: convert it"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        read_audio(path)


def test_a_folder_and_a_file_without_frames_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is a folder, not a sound file"):
        read_audio(tmp_path)
    write_audio(tmp_path / "none.wav", Audio(np.zeros((1, 0)), RATE))
    with pytest.raises(AudioError, match=r"none\.wav: holds no sound"):
        read_audio(tmp_path / "none.wav")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, stereo())
    old = path.read_bytes()

    def half_write(file: Path, *_: object, **__: object) -> None:
        file.write_bytes(b"RIFF")
        raise soundfile.LibsndfileError(2)  # SF_ERR_SYSTEM: what libsndfile reports when the disk is full

    monkeypatch.setattr("core.audio.soundfile.write", half_write)
    with pytest.raises(DiskFullError, match=r"a\.wav: the disk is full: free some space"):
        write_audio(path, stereo().scaled(0.5))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file/a\.wav: cannot be written .*--out"):
        write_audio(tmp_path / "file" / "a.wav", stereo())
