"""Scores and songs as a listener meets them: the right notes, in time, at the right loudness."""

import platform
import subprocess
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from core.audio import SAMPLE_RATE, Audio
from core.errors import InstrumentError
from core.loudness import loudness_lufs, true_peak_dbtp
from core.manifest import sha256_file
from phase2_music.instruments.pitch import cents_between, comb_pitch, key_to_hz
from phase2_music.rendering.encoding import FileFormat
from phase2_music.rendering.mixing import MixOptions, pan_gains
from phase2_music.rendering.render import RenderOptions, find_band, raw_stems, render_song
from phase2_music.rendering.score import read_score
from phase2_music.scores import find_score
from schemas.song import Song


def write_midi(path: Path, *tracks: list[mido.Message | mido.MetaMessage], ticks: int = 480) -> Path:
    midi = mido.MidiFile(ticks_per_beat=ticks)
    for messages in tracks:
        midi.tracks.append(mido.MidiTrack([*messages, mido.MetaMessage("end_of_track", time=0)]))
    midi.save(path)
    return path


def notes(*keys: int, channel: int = 0, program: int = 0, velocity: int = 90, ticks: int = 480) -> list[mido.Message]:
    messages: list[mido.Message] = [mido.Message("program_change", channel=channel, program=program)]
    for key in keys:
        messages.append(mido.Message("note_on", channel=channel, note=key, velocity=velocity))
        messages.append(mido.Message("note_off", channel=channel, note=key, time=ticks))
    return messages


def stem(score: Path, band: Path, folder: Path, role: str = "keyboard") -> np.ndarray:
    parsed = read_score(score)
    folder.mkdir()
    found = find_band(band)
    shas = {r: sha256_file(path) for r, path in found.sf2.items()}
    paths, _ = raw_stems(parsed, found, shas, RenderOptions(), folder)
    return np.fromfile(paths[role], dtype=np.float32).reshape(-1, 2)  # type: ignore[index]


def onset_s(samples: np.ndarray, after_s: float = 0.0) -> float:
    level = np.abs(samples).max(axis=1)
    start = round(after_s * SAMPLE_RATE)
    return (start + int(np.argmax(level[start:] > 0.02 * level.max()))) / SAMPLE_RATE


def test_notes_sound_at_their_pitch_and_time(tmp_path: Path, noise_band: Path) -> None:
    score = write_midi(tmp_path / "a.mid", [mido.Message("note_on", note=69, velocity=0, time=480), *notes(69, 72)])
    samples = stem(score, noise_band, tmp_path / "out")
    assert onset_s(samples) == pytest.approx(0.5, abs=0.004)
    for start, key in ((0.5, 69), (1.0, 72)):
        part = samples[round((start + 0.05) * SAMPLE_RATE) : round((start + 0.48) * SAMPLE_RATE), 0]
        assert abs(cents_between(comb_pitch(part, SAMPLE_RATE), key_to_hz(key))) < 10


def test_a_tempo_change_moves_the_notes(tmp_path: Path, noise_band: Path) -> None:
    tempo = [mido.MetaMessage("set_tempo", tempo=500000), mido.MetaMessage("set_tempo", tempo=1000000, time=480)]
    hit = [
        mido.Message("note_on", channel=9, note=38, velocity=99, time=960),
        mido.Message("note_off", channel=9, note=38, time=99),
    ]
    samples = stem(write_midi(tmp_path / "a.mid", tempo, hit), noise_band, tmp_path / "out", "drums")
    assert onset_s(samples) == pytest.approx(1.5, abs=0.003)


def test_bend_pedal_volume_and_pan_are_heard(tmp_path: Path, noise_band: Path) -> None:
    bend = [mido.Message("pitchwheel", pitch=8191), *notes(69, ticks=960)]
    samples = stem(write_midi(tmp_path / "bend.mid", bend), noise_band, tmp_path / "bend")
    assert abs(cents_between(comb_pitch(samples[3000:40000, 0], SAMPLE_RATE), key_to_hz(69)) - 200) < 5
    pedal = [mido.Message("control_change", control=64, value=127), *notes(69, ticks=240)]
    held = stem(write_midi(tmp_path / "pedal.mid", pedal), noise_band, tmp_path / "pedal")
    dry = stem(write_midi(tmp_path / "dry.mid", notes(69, ticks=240)), noise_band, tmp_path / "dry")
    later = slice(round(1.0 * SAMPLE_RATE), round(1.2 * SAMPLE_RATE))
    assert np.abs(held[later]).max() > 10 * np.abs(np.pad(dry, ((0, 99999), (0, 0)))[later]).max()
    quiet = [mido.Message("control_change", control=7, value=30), *notes(69)]
    soft = stem(write_midi(tmp_path / "soft.mid", quiet), noise_band, tmp_path / "soft")
    assert np.abs(soft).max() < 0.3 * np.abs(dry).max()
    left = mido.Message("control_change", control=10, value=0)
    mono = stem(
        write_midi(tmp_path / "mono.mid", [left, *notes(40, program=33)]), noise_band, tmp_path / "mono", "bass"
    )
    assert np.abs(mono[:, 0]).max() > 20 * np.abs(mono[:, 1]).max()
    # A stereo pair keeps half of its width: its right half comes from the middle.
    wide = stem(write_midi(tmp_path / "wide.mid", [left, *notes(69)]), noise_band, tmp_path / "wide")
    assert np.abs(wide[:, 0]).max() > 2 * np.abs(wide[:, 1]).max()


def test_velocity_is_loudness(tmp_path: Path, noise_band: Path) -> None:
    peaks = []
    for velocity in (30, 60, 90, 127):
        score = write_midi(tmp_path / f"{velocity}.mid", notes(60, velocity=velocity))
        peaks.append(float(np.abs(stem(score, noise_band, tmp_path / str(velocity))).max()))
    assert peaks == sorted(peaks)
    assert peaks[-1] > 4 * peaks[0]


def test_out_of_range_notes_are_played(tmp_path: Path, noise_band: Path) -> None:
    for key in (5, 120):
        samples = stem(write_midi(tmp_path / f"{key}.mid", notes(key)), noise_band, tmp_path / str(key))
        assert np.abs(samples).max() > 0.001


def test_twenty_instruments_on_sixteen_channels_all_sound(tmp_path: Path, noise_band: Path) -> None:
    tracks = [notes(40 + n, channel=n % 9, program=n * 4) for n in range(20)]
    parsed = read_score(write_midi(tmp_path / "many.mid", *tracks))
    assert sum(track.notes for track in parsed.tracks) == 20
    song = render_song(parsed, find_band(noise_band), tmp_path / "song", RenderOptions())
    assert sum(track.notes for track in song.score.tracks) == 20


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory, noise_band: Path) -> tuple[Path, Song]:
    out = tmp_path_factory.mktemp("song") / "song"
    return out, render_song(read_score(find_score("entertainer")), find_band(noise_band), out, RenderOptions())


def test_the_mix_has_the_loudness_and_the_peak_of_the_contract(song: tuple[Path, Song]) -> None:
    folder, document = song
    samples, rate = soundfile.read(folder / "song.wav", dtype="float32")
    mix = Audio(samples.T, rate)
    assert mix.channels == 2
    assert loudness_lufs(mix) == pytest.approx(-14.0, abs=0.5)
    assert true_peak_dbtp(mix) <= -1.0
    assert document.loudness_lufs == pytest.approx(loudness_lufs(mix), abs=0.1)
    assert document.true_peak_dbtp == pytest.approx(true_peak_dbtp(mix), abs=0.1)
    assert document.duration_s == pytest.approx(mix.duration_s)


def test_there_is_a_stem_per_role_and_none_is_lost_in_the_mix(song: tuple[Path, Song]) -> None:
    folder, document = song
    assert [stem.role for stem in document.stems] == ["keyboard", "bass", "guitar", "drums"]
    levels = []
    for each in document.stems:
        samples, rate = soundfile.read(folder / each.file, dtype="float32")
        levels.append(loudness_lufs(Audio(samples.T, rate)))
    assert max(levels) - min(levels) < 10


def test_nothing_else_is_left_in_the_songs_folder(song: tuple[Path, Song]) -> None:
    names = {path.relative_to(song[0]).as_posix() for path in song[0].rglob("*")}
    assert names == {"song.wav", "song.json", "stems"} | {
        f"stems/{r}.wav" for r in ("keyboard", "bass", "guitar", "drums", "reverb")
    }


def test_the_same_score_and_band_give_the_same_bytes(tmp_path: Path, song: tuple[Path, Song], noise_band: Path) -> None:
    again = render_song(
        read_score(find_score("entertainer")), find_band(noise_band), tmp_path / "again", RenderOptions()
    )
    assert (tmp_path / "again" / "song.wav").read_bytes() == (song[0] / "song.wav").read_bytes()
    assert [s.sha256 for s in again.stems] == [s.sha256 for s in song[1].stems]


@pytest.mark.parametrize("file_format", ["wav", "flac", "mp3"])
def test_every_file_has_the_hash_that_the_document_says(
    tmp_path: Path, noise_band: Path, file_format: FileFormat
) -> None:
    options = RenderOptions(preview_s=1.0, mix=MixOptions(file_format=file_format))
    made = render_song(read_score(find_score("entertainer")), find_band(noise_band), tmp_path / "song", options)
    assert made.reverb is not None
    files = [
        (made.file, made.sha256),
        (made.reverb.file, made.reverb.sha256),
        *((s.file, s.sha256) for s in made.stems),
    ]
    assert len(files) == 6
    for file, sha256 in files:
        assert sha256 == sha256_file(tmp_path / "song" / str(file))


def test_a_preview_begins_with_the_first_note(tmp_path: Path, noise_band: Path) -> None:
    late = [mido.Message("note_on", note=60, velocity=0, time=4800), *notes(60, 64, 67)]
    parsed = read_score(write_midi(tmp_path / "late.mid", late))
    preview = render_song(parsed, find_band(noise_band), tmp_path / "song", RenderOptions(preview_s=0.7))
    samples, _ = soundfile.read(tmp_path / "song" / "song.wav")
    assert onset_s(samples) < 0.01
    assert preview.preview_s == 0.7
    assert preview.duration_s < 3.0


def test_a_score_for_a_missing_role_is_refused(tmp_path: Path, noise_band: Path) -> None:
    (tmp_path / "band").mkdir()
    (tmp_path / "band" / "bass").symlink_to(noise_band / "bass")
    with pytest.raises(InstrumentError, match="needs keyboard"):
        render_song(read_score(find_score("canon")), find_band(tmp_path / "band"), tmp_path / "song", RenderOptions())
    assert not (tmp_path / "song").exists()
    assert not list(tmp_path.glob(".photone-tmp*"))


def test_a_folder_without_instruments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstrumentError, match="no instruments here"):
        find_band(tmp_path)


def test_a_damaged_sf2_is_refused(tmp_path: Path, noise_band: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keyboard").mkdir()
    (tmp_path / "keyboard" / "instrument.json").write_bytes((noise_band / "keyboard" / "instrument.json").read_bytes())
    (tmp_path / "keyboard" / "keyboard.sf2").write_bytes(b"RIFF nonsense")
    score = read_score(write_midi(tmp_path / "a.mid", notes(60)))
    with pytest.raises(InstrumentError, match=r"keyboard\.sf2: not an SF2"):
        render_song(score, find_band(tmp_path), tmp_path / "song", RenderOptions())
    assert capfd.readouterr().err == ""


def test_pan_is_constant_power() -> None:
    for pan in (-1.0, -0.3, 0.0, 0.8, 1.0):
        assert float(np.sum(pan_gains(pan) ** 2)) == pytest.approx(2.0, abs=1e-6)
    assert pan_gains(-1.0)[1, 0] == pytest.approx(0.0, abs=1e-6)


_FAULTS = """
import resource, threading
import numpy as np
from phase2_music.rendering.render import _keep_freed_pages

_keep_freed_pages()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
ones = lambda: [np.ones(500_000, dtype=np.float32) for _ in range(3)]

def many() -> None:
    ones()
    before = faults()
    for _ in range(50):
        ones()
    print(faults() - before)

thread = threading.Thread(target=many)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_that_a_render_frees_is_not_cleared_again_and_again() -> None:
    said = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True).stdout
    assert int(said) < 100  # of 73,000 pages
