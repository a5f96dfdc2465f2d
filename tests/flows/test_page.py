"""The page's text and files: what they hold, what a swap makes of them, what markup in names does."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from core.audio import SAMPLE_RATE
from flows import page as page_module
from flows.page import media_of, shown_of, write_page
from flows.page.levels import ALPHABET, BANDS, COLUMNS, as_text, peaks, spectrogram, to_levels
from flows.page.media import CHUNK_FRAMES, companded, encoded, read_frames16, script
from flows.runs.songs import Made, SongOptions, swap
from phase2_music.rendering.render import RenderOptions
from phase2_music.rendering.score import read_score
from schemas.document import ROLES
from schemas.effect import Effects
from schemas.instrument import Instrument
from schemas.run import Run

WEB = Path(__file__).parents[2] / "web"
EVIL = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>\u2028"


def media_value(path: Path) -> Any:
    """What a media script hands to the page."""
    text = path.read_text()
    found = re.fullmatch(r'photoneMedia\("([^"]+)",(.*)\);\n', text, re.DOTALL)
    assert found, text[:80]
    assert found[1] == path.stem
    return json.loads(found[2])


def files_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "page").iterdir()}


def song_files(folder: Path, name: str) -> list[Path]:
    found = (path for path in (folder / "page").iterdir() if re.fullmatch(rf"{name}-[0-9a-f]{{12}}(-\d+)?", path.stem))
    return sorted(found, key=lambda path: path.stem)  # the score first


@pytest.fixture
def own_run(demo_run: tuple[Path, Made], tmp_path: Path) -> Path:
    """A copy of the demo run that a test may change."""
    return Path(shutil.copytree(demo_run[0], tmp_path / "run"))


def test_the_page_is_light_and_its_media_are_measured(demo_run: tuple[Path, Made]) -> None:
    folder, _ = demo_run
    shell = [*(folder / "page").glob("page-*"), *(folder / "page").glob("effects-*")]
    light = sum(path.stat().st_size for path in [folder / "index.html", *shell])
    song = sum(path.stat().st_size for path in song_files(folder, "greensleeves"))
    band = sum(p.stat().st_size for role in ROLES for p in (folder / "page").glob(f"{role}-*"))
    print(f"page {light / 1e3:.0f} kB, song {song / 1e6:.1f} MB, instruments {band / 1e6:.1f} MB")
    assert len(shell) == 3
    assert light < 400_000
    assert song < 0.2 * sum(p.stat().st_size for p in (folder / "songs" / "greensleeves").rglob("*.wav"))


def test_a_swap_writes_only_the_new_songs_files(own_run: Path) -> None:
    before = files_of(own_run)
    made = swap(own_run, SongOptions("ode-to-joy", render=RenderOptions(preview_s=12.0)))
    after = files_of(own_run)
    assert {name: after[name] for name in before} == before
    new = set(after) - set(before)
    assert len(new) == 3  # the score and two stretches
    assert all(name.startswith("ode-to-joy-preview-") for name in new)
    recorded = {output.path for output in made.run.outputs if output.stage == "page"}
    assert recorded == {f"page/{name}" for name in after}


def test_the_page_opens_with_the_song_that_was_asked_for(own_run: Path) -> None:
    def titles() -> list[str]:
        data = re.search(r'id="run">(.*)</script>', (own_run / "index.html").read_text())
        assert data
        return [song["title"].partition(",")[0] for song in json.loads(data[1])["songs"]]

    swap(own_run, SongOptions("ode-to-joy", render=RenderOptions(preview_s=1.0)))
    assert titles()[0] == "Ode to Joy"
    before = files_of(own_run)
    swap(own_run, SongOptions("greensleeves"))
    assert titles()[0] == "Greensleeves"
    assert files_of(own_run) == before


def test_lost_and_edited_files_are_made_again(own_run: Path) -> None:
    (bass,) = (own_run / "page").glob("bass-*.js")
    stretch = song_files(own_run, "greensleeves")[1]
    whole, heard = bass.read_bytes(), stretch.read_bytes()
    others = {name: time_ns for name, time_ns in files_of(own_run).items() if name.startswith(("drums", "effects"))}
    bass.unlink()
    stretch.write_bytes(heard[:-1000])
    swap(own_run, SongOptions("greensleeves"))
    assert bass.read_bytes() == whole
    assert stretch.read_bytes() == heard
    assert others.items() <= files_of(own_run).items()


def test_files_of_a_song_that_is_gone_go_too(own_run: Path) -> None:
    shutil.rmtree(own_run / "songs" / "greensleeves")
    swap(own_run, SongOptions("ode-to-joy", render=RenderOptions(preview_s=1.0)))
    assert song_files(own_run, "greensleeves") == []
    assert song_files(own_run, "ode-to-joy-preview")


def test_the_stems_on_the_page_are_the_stems_in_step(demo_run: tuple[Path, Made]) -> None:
    """Decoded and joined, each stem has its file's length and differs by noise some 50 dB below it."""
    song = demo_run[0] / "songs" / "greensleeves"
    score, *stretches = song_files(demo_run[0], "greensleeves")
    parts = media_value(score)["parts"]
    assert parts == ["keyboard", "bass", "guitar", "drums", "room"]
    values = [media_value(path) for path in stretches]
    for part in parts:
        exact = read_frames16(song / "stems" / f"{'reverb' if part == 'room' else part}.wav")
        joined = np.concatenate([_decoded(value[part], exact, index) for index, value in enumerate(values)])
        assert joined.shape == exact.shape
        error = (joined - exact.astype(np.float64)).std() / exact.std()
        assert 20 * np.log10(error) < -45, part


def _decoded(text: str, exact: np.ndarray, index: int) -> np.ndarray:
    frames = len(exact[index * CHUNK_FRAMES : (index + 1) * CHUNK_FRAMES])
    if not text:
        return np.zeros((frames, 2))
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="int16", always_2d=True)
    assert rate == SAMPLE_RATE
    return np.broadcast_to(sound, (frames, 2)).astype(np.float64)


def test_companding_keeps_soft_blocks_whole_and_never_wraps() -> None:
    rng = np.random.default_rng(0)
    soft = rng.integers(-511, 511, (4096, 2)).astype(np.int16)
    loud = np.full((4096, 2), 32767, dtype=np.int16)
    deep = np.full((100, 2), -32768, dtype=np.int16)
    out = companded(np.concatenate([soft, loud, deep]))
    assert np.array_equal(out[:4096], soft)
    assert np.abs(out[4096:8192].astype(int) - 32767).max() <= 64
    assert np.array_equal(out[8192:], deep)


def test_silence_takes_no_room() -> None:
    assert encoded(np.zeros((1000, 2), dtype=np.int16)) == ""


def test_other_wavs_than_ours_are_read_too(tmp_path: Path) -> None:
    sound = (0.5 * np.sin(np.arange(2000) / 9)).astype(np.float32)
    for subtype, channels in (("PCM_16", 2), ("PCM_24", 1), ("FLOAT", 2)):
        path = tmp_path / f"{subtype}.wav"
        soundfile.write(path, np.tile(sound[:, None], channels), SAMPLE_RATE, subtype)
        read = read_frames16(path)[:, 0] / 32768
        assert np.abs(read - sound).max() < 1e-4, subtype


def test_the_notes_on_the_page_are_the_scores(demo_run: tuple[Path, Made]) -> None:
    folder, made = demo_run
    notes = media_value(song_files(folder, "greensleeves")[0])["notes"]
    score = read_score(folder / "songs" / "greensleeves" / "score.mid")
    for track in score.tracks:
        flat = notes[track.role]
        expected = sorted((e.time_s, e.number) for e in track.events if e.kind == "on")
        shown = sorted((flat[at] / 1000, flat[at + 2]) for at in range(0, len(flat), 4))
        assert len(shown) == track.notes
        assert [key for _, key in shown] == [key for _, key in expected]
        assert max(abs(a - b) for (a, _), (b, _) in zip(shown, expected, strict=True)) < 0.001
    assert {track.role for track in made.song.score.tracks} == set(notes)


def test_a_previews_notes_begin_with_it(own_run: Path) -> None:
    swap(own_run, SongOptions("ode-to-joy", render=RenderOptions(preview_s=5.0)))
    notes = media_value(song_files(own_run, "ode-to-joy-preview")[0])["notes"]
    begins = [flat[at] for flat in notes.values() for at in range(0, len(flat), 4)]
    ends = [flat[at] + flat[at + 1] for flat in notes.values() for at in range(0, len(flat), 4)]
    assert min(begins) == 0
    assert max(ends) <= 5001


def test_a_song_without_its_score_has_a_page_too(own_run: Path) -> None:
    (own_run / "songs" / "greensleeves" / "score.mid").write_bytes(b"no score")
    for path in song_files(own_run, "greensleeves"):
        path.unlink()
    swap(own_run, SongOptions("ode-to-joy", render=RenderOptions(preview_s=1.0)))
    assert media_value(song_files(own_run, "greensleeves")[0])["notes"] == {}


def test_instruments_come_with_their_own_samples(demo_run: tuple[Path, Made]) -> None:
    folder = demo_run[0] / "instruments"
    for role in ROLES:
        (path,) = (demo_run[0] / "page").glob(f"{role}-*.js")
        value, document = media_value(path), Instrument.read(folder / role / "instrument.json")
        assert len(value["zones"]) == len(document.zones)
        for ours, theirs in zip(value["zones"], document.zones, strict=True):
            exact, rate = soundfile.read(folder / role / "samples" / theirs.sample, always_2d=True)
            sound, its_rate = soundfile.read(
                io.BytesIO(base64.b64decode(value["samples"][ours["sample"]])), always_2d=True
            )
            assert its_rate == rate
            assert sound.shape == exact.shape
            assert np.abs(sound - exact).max() <= 2**-16
            assert ours.get("loop_end") == theirs.loop_end


def test_markup_in_names_ends_nothing(own_run: Path) -> None:
    """Names, evidence, play methods and titles that hold markup are text on the page and in its data."""
    effects = Effects.read(own_run / "effects" / "effects.json")
    effects = effects.model_copy(
        update={"effects": [one.model_copy(update={"source": EVIL, "play_method": EVIL}) for one in effects.effects]}
    )
    run = Run.read(own_run / "run.json")
    run = run.model_copy(
        update={
            "casting": [casting.model_copy(update={"reason": EVIL}) for casting in run.casting],
            "warnings": [EVIL],
            "picture": run.picture and run.picture.model_copy(update={"file": f"{EVIL}.jpg"}),
        }
    )
    scene = json.loads((own_run / "scene.json").read_text())
    for source in scene["sound_sources"]:
        source |= {"name": EVIL[:110], "material": EVIL[:110], "evidence": EVIL}
    (own_run / "scene.json").write_text(json.dumps(scene))
    instruments = [Instrument.read(own_run / "instruments" / role / "instrument.json") for role in ROLES]
    shown = shown_of(own_run, run, effects.effects, instruments)
    write_page(own_run, shown, media_of(own_run, shown))
    page = (own_run / "index.html").read_text()
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_scripts_are_ascii_and_cannot_end_their_element() -> None:
    text = script("name", {"a": EVIL})
    assert text.isascii()
    assert "<" not in text
    assert json.loads(text[len('photoneMedia("name",') : -3]) == {"a": EVIL}


def test_nothing_in_line_runs(demo_run: tuple[Path, Made]) -> None:
    page = (demo_run[0] / "index.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "unsafe" not in policy[1]
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", page)


def test_pictures_of_sounds_show_where_and_how_high() -> None:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    low = np.sin(2 * np.pi * 200 * t) * (t < 0.5)
    high = np.sin(2 * np.pi * 6000 * t) * (t >= 0.5)
    levels = spectrogram((low + high).astype(np.float32), SAMPLE_RATE)
    assert levels.shape == (BANDS, COLUMNS)
    loudest = levels.argmax(axis=0)
    assert loudest[: COLUMNS // 2 - 4].min() > BANDS // 2  # rows run from high to low
    assert loudest[COLUMNS // 2 + 4 : -2].max() < BANDS // 3
    assert set(as_text(levels)) <= set(ALPHABET)
    assert peaks(np.array([0, 3, -5, 1], dtype=np.int16), 2).tolist() == [3, 5]
    assert peaks(np.array([2], dtype=np.int16), 3).tolist() == [2, 0, 0]
    assert to_levels(np.array([-1.0, 0.5, 2.0])).tolist() == [0, 32, 63]


def test_a_swap_loads_no_library_of_pictures() -> None:
    command = "import sys, flows.runs.songs; print([m for m in ('PIL', 'librosa', 'cv2', 'scipy.signal') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_costs_a_swap_little(own_run: Path) -> None:
    """CPU seconds of a whole song's files, and of nothing new."""
    effects = Effects.read(own_run / "effects" / "effects.json").effects
    instruments = [Instrument.read(own_run / "instruments" / role / "instrument.json") for role in ROLES]
    shown = shown_of(own_run, Run.read(own_run / "run.json"), effects, instruments)
    media = media_of(own_run, shown)
    song = next(one for one in media.songs if "greensleeves-" in one.score)
    began = time.process_time()
    song.write(own_run)
    first = time.process_time() - began
    began = time.process_time()
    media.write(own_run, set(media.paths))
    write_page(own_run, shown, media)
    again = time.process_time() - began
    print(f"a song's files {first:.2f} s, nothing new {again:.3f} s")
    assert first < 2.0  # measured 0.7 on a loaded machine
    assert again < 0.2


@pytest.mark.skipif(
    not (WEB / "node_modules" / "esbuild").is_dir() or shutil.which("node") is None,
    reason="npm's packages are not installed: run `make web`",
)
def test_what_lies_in_the_package_is_what_the_sources_give() -> None:
    done = subprocess.run(
        ["node", "build.mjs", "--check"], cwd=WEB, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_built_files_come_with_the_package_and_ask_for_nothing() -> None:
    folder = Path(page_module.__file__).parent
    for name in ("page.js", "page.css"):
        text = (folder / name).read_text()
        assert len(text) > 5000
        assert "</" not in text  # stands within an element
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "SIL OPEN FONT LICENSE" in (folder / "fonts-licence.txt").read_text()
