"""The whole way, measured on what comes out: in tune, following its score, different for each picture, the same twice."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from core.audio import SAMPLE_RATE, read_audio
from flows.demo import demo_picture
from flows.evaluation.songs import chroma_correlation, melodic_mix
from flows.runs.songs import Made, SongOptions, swap
from flows.runs.stages import MakeOptions, make
from phase2_music.instruments.pitch import cents_between, comb_pitch, key_to_hz, yin_pitch
from phase2_music.instruments.roles import ROLE_SPECS
from phase2_music.rendering.render import RenderOptions
from phase2_music.rendering.synth import play_keys
from phase2_music.scores import find_score
from schemas.document import MELODIC_ROLES

PREVIEW = SongOptions(render=RenderOptions(preview_s=1.0))


@pytest.mark.parametrize("role", MELODIC_ROLES)
def test_the_demos_instruments_play_in_tune(demo_run: tuple[Path, Made], role: str) -> None:
    """Every key of the range through FluidSynth, heard by two trackers: at least 98 % within 25 cents, median under 1."""
    spec = ROLE_SPECS[role]  # type: ignore[index]
    sf2 = demo_run[0] / "instruments" / role / f"{role}.sf2"
    off = []
    for key, sound in play_keys(sf2, role, range(spec.lo_key, spec.hi_key + 1), seconds=1.0):  # type: ignore[arg-type]
        steady, f = sound[1500:], key_to_hz(key)
        found = [yin_pitch(steady, SAMPLE_RATE), comb_pitch(steady, SAMPLE_RATE)]
        off.append(max(abs(cents_between(f0 or 1.0, f)) for f0 in found))
    assert np.mean(np.array(off) <= 25) >= 0.98, off
    assert np.median(off) < 1.0


def test_pyin_agrees(demo_run: tuple[Path, Made]) -> None:
    """A tracker that is not ours, on some keys."""
    sf2 = demo_run[0] / "instruments" / "keyboard" / "keyboard.sf2"
    for key, sound in play_keys(sf2, "keyboard", (48, 60, 72, 84), seconds=0.8):
        f0, voiced, _ = librosa.pyin(sound[1500:], fmin=60, fmax=2000, sr=SAMPLE_RATE, frame_length=4096)
        assert voiced.mean() > 0.8
        assert abs(cents_between(float(np.nanmedian(f0)), key_to_hz(key))) < 25


def test_the_song_follows_its_score(demo_run: tuple[Path, Made]) -> None:
    folder = demo_run[0] / "songs" / "greensleeves" / "stems"
    stems = [folder / f"{role}.wav" for role in MELODIC_ROLES]
    mix = melodic_mix(stems)
    right = chroma_correlation(mix, find_score("greensleeves"))
    wrong = chroma_correlation(mix, find_score("mountain-king"))
    assert right >= 0.6
    assert wrong < 0.4  # the figure tells one song from another


def photographs() -> list[Path]:
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return [demo_picture(), demo_picture().with_name("flower.jpg"), Path(spec.origin).parent / "data" / "coffee.png"]


def log_mel(path: Path) -> np.ndarray:
    samples = read_audio(path).mono()
    mel = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_mels=40).mean(axis=1)
    return 10 * np.log10(mel / mel.max() + 1e-6)


def main_effects(casting: list[dict[str, str]]) -> tuple[str, ...]:
    """The first effect of each role."""
    first = {entry["role"]: entry["effect"] for entry in reversed(casting)}
    return tuple(first[role] for role in ("keyboard", "bass", "guitar", "drums"))


@pytest.mark.slow
def test_three_photographs_give_three_bands(tmp_path: Path) -> None:
    runs = []
    for picture in photographs():
        out = tmp_path / picture.stem
        make(MakeOptions(picture=picture, out=out, song=PREVIEW))
        runs.append(out)
    scenes = [json.loads((run / "scene.json").read_text()) for run in runs]
    assert len({scene["scene_description"] for scene in scenes}) == 3
    casts = [main_effects(json.loads((run / "run.json").read_text())["casting"]) for run in runs]
    assert len(set(casts)) == 3
    assert all(len(set(cast)) == 4 for cast in casts)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        # At least three of the four roles are played by sounds whose spectra a listener tells apart.
        distances = [
            np.abs(log_mel(runs[a] / one) - log_mel(runs[b] / two)).mean()
            for one, two in zip(casts[a], casts[b], strict=True)
        ]
        assert sum(distance > 3.0 for distance in distances) >= 3, distances


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(demo_run: tuple[Path, Made], tmp_path: Path) -> None:
    first, made = demo_run
    make(MakeOptions(picture=demo_picture(), out=tmp_path / "again", song=SongOptions("greensleeves")))
    times = {"run.json", "index.html"} | {p for p in (o.path for o in made.run.outputs) if p.endswith("song.json")}
    for output in made.run.outputs:
        if output.path not in times and "/gymnopedie/" not in output.path:
            assert (tmp_path / "again" / output.path).read_bytes() == (first / output.path).read_bytes(), output.path


def test_a_swap_makes_a_song_of_its_own_length(demo_run: tuple[Path, Made]) -> None:
    made = swap(demo_run[0], SongOptions("entertainer"))
    samples, rate = soundfile.read(made.song_folder / "song.wav")
    assert len(samples) / rate == pytest.approx(made.song.score.duration_s, abs=3.0)
    assert made.song.loudness_lufs == pytest.approx(-14.0, abs=1.0)
    assert made.song.true_peak_dbtp <= -1.0
    assert {stage.name for stage in made.run.stages if not stage.cached} == {"song-entertainer", "page"}


def test_the_page_shows_the_run_and_links_only_into_it(demo_run: tuple[Path, Made]) -> None:
    import re

    folder, made = demo_run
    page = (folder / "index.html").read_text()
    links = re.findall(r"(?:src|href)=[\"']([^\"']+)[\"']", page)
    assert len(links) > 20
    assert ">47 drums<" in page  # keys, not layers and turns
    for link in links:
        assert "://" not in link
        assert f'id="{link[1:]}"' in page if link.startswith("#") else (folder / link).is_file(), link
    assert all(casting.reason in page.replace("&#x27;", "'") for casting in made.run.casting)


def test_markup_in_a_scene_is_shown_and_not_run(tmp_path: Path) -> None:
    scene = json.loads(json.dumps(EVIL_SCENE))
    (tmp_path / "scene.json").write_text(json.dumps(scene))
    vision = f"sidecar:{tmp_path / 'scene.json'}"
    make(MakeOptions(picture=demo_picture(), out=tmp_path / "run", vision=vision, song=PREVIEW))
    page = (tmp_path / "run" / "index.html").read_text()
    assert "<img onerror" not in page
    assert "&lt;img onerror" in page


EVIL_SCENE = {
    "scene_description": "A test.",
    "mood_description": "Calm.",
    "sound_sources": [
        {
            "name": "<img onerror=alert(1)>",
            "material": "wood",
            "variants": [
                {
                    "play_method": f"tapped {count} times",
                    "timbre": ["dry"],
                    "mapping_to_music_instrument": None,
                    "confidence": 0.9,
                }
                for count in ("two", "three", "four", "five", "six")
            ],
        }
    ],
}
