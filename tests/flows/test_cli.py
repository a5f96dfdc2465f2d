"""The command line as a user meets it: a process of its own, its output, its exit status, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.manifest import sha256_file
from flows.demo import demo_picture
from flows.runs.songs import Made

REPOSITORY = Path(__file__).parents[2]


def photone(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd or REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        timeout=200,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One line on standard error with these words, this exit status, no traceback, nothing on standard output."""
    assert result.returncode == status, result
    assert result.stdout == ""
    assert result.stderr.startswith("photone: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr


COMMANDS = (
    "make",
    "swap",
    "describe",
    "effects",
    "instrument",
    "render",
    "set",
    "batch",
    "engines",
    "scores",
    "doctor",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    from click.testing import CliRunner

    from flows.cli import app

    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"photone {command}" in result.output.split("Example:")[1]


@pytest.mark.parametrize("arguments", [(), ("eval",)])
def test_without_a_command_the_help_is_shown_as_it_is(arguments: tuple[str, ...]) -> None:
    result = photone(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: ")
    assert "Commands:\n" in result.stderr


def test_help_answers_without_heavy_imports() -> None:
    code = "import sys, flows.cli; print([m for m in ('torch', 'prefect', 'scipy', 'librosa') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert result.stdout.strip() == "[]"


def test_a_song_loads_nothing_that_it_has_no_use_for(tmp_path: Path, noise_band: Path) -> None:
    arguments = ("render", noise_band, "--score", "canon", "--preview", "1", "--out", tmp_path / "song")
    said = photone(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert said.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines() if line.startswith("import time:")}
    assert "schemas.song" in loaded
    # A sound document needs no JSON Schema: its model refuses all that the schema refuses.
    assert not loaded & {"jsonschema", "scipy.signal", "librosa", "prefect", "mido", "PIL"}


def test_make_leaves_the_run_folder_of_the_contract(demo_run: tuple[Path, Made]) -> None:
    folder, made = demo_run
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"run.json", "picture.jpg", "scene.json", "effects/effects.json", "index.html"} <= names
    assert {"songs/greensleeves/song.wav", "songs/greensleeves/song.json"} <= names
    for role in ("keyboard", "bass", "guitar", "drums"):
        assert {f"timbres/{role}.wav", f"songs/greensleeves/stems/{role}.wav"} <= names
        assert {f"instruments/{role}/{name}" for name in (f"{role}.sfz", f"{role}.sf2", "instrument.json")} <= names
    assert not [name for name in names if "tmp-" in name]
    for output in made.run.outputs:
        assert sha256_file(folder / output.path) == output.sha256


def test_make_twice_does_no_work_and_says_so(demo_run: tuple[Path, Made]) -> None:
    folder, _ = demo_run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")}
    result = photone("make", demo_picture(), "--score", "greensleeves", "--out", folder)
    assert result.returncode == 0, result.stderr
    assert all(line.startswith("note: ") for line in result.stderr.splitlines()), result.stderr
    lines = result.stdout.splitlines()
    assert lines[-2:] == [f"run:  {folder}", f"song: {folder}/songs/greensleeves/song.wav"]
    assert "picture, scene, effects, casting" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")} == before
    assert [line.split()[0] for line in lines[:4]] == ["keyboard", "bass", "guitar", "drums"]


def test_swap_does_only_the_song(demo_run: tuple[Path, Made], tmp_path: Path) -> None:
    folder, _ = demo_run
    before = {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if "songs" not in path.parts and path.is_file()
    }
    result = photone("swap", folder, "--score", "gymnopedie", "--preview", "5", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert Path(report["song"]).is_file()
    assert report["loudness_lufs"] == pytest.approx(-14, abs=1)
    run = json.loads((folder / "run.json").read_text())
    cached = {s["name"] for s in run["stages"] if s["cached"]}
    assert {"picture", "scene", "effects", "casting", "instrument-keyboard", "instrument-drums"} <= cached
    assert [s["cached"] for s in run["stages"] if s["name"] == "song-gymnopedie-preview"] == [False]
    changed = {path.name for path, time_ns in before.items() if path.stat().st_mtime_ns != time_ns}
    assert changed <= {"run.json", "index.html"}
    outside = photone("swap", folder, "--score", "gymnopedie", "--preview", "2", "--out", tmp_path / "song")
    assert outside.returncode == 0, outside.stderr
    assert (tmp_path / "song" / "song.wav").is_file()


@pytest.mark.slow
def test_a_changed_picture_a_lost_file_and_another_seed_are_noticed(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)).save(picture)
    arguments = ("make", picture, "--out", tmp_path / "run", "--preview", "1")
    assert photone(*arguments).returncode == 0

    def repeated(*more: str) -> set[str]:
        assert photone(*arguments, *more).returncode == 0
        stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
        return {stage["name"] for stage in stages if not stage["cached"]}

    assert repeated() == set()
    (tmp_path / "run" / "instruments" / "bass" / "bass.sf2").unlink()
    assert repeated() == {"instrument-bass"}
    assert {"effects", "casting"} <= repeated("--seed", "3")
    Image.new("RGB", (96, 64), (200, 30, 30)).save(picture)
    assert {"picture", "scene", "effects"} <= repeated("--seed", "3")


def test_describe_prints_the_scene_and_nothing_else(tmp_path: Path) -> None:
    result = photone("describe", demo_picture())
    assert result.returncode == 0
    assert result.stderr == ""
    scene = json.loads(result.stdout)
    assert sum(len(source["variants"]) for source in scene["sound_sources"]) >= 5
    (tmp_path / "scene.json").write_text(result.stdout)
    made = photone("effects", tmp_path / "scene.json", "--out", tmp_path / "effects")
    assert made.returncode == 0, made.stderr
    assert len(list((tmp_path / "effects").glob("*.wav"))) >= 5
    given = photone("describe", demo_picture(), "--vision", f"sidecar:{tmp_path / 'scene.json'}")
    assert json.loads(given.stdout) == scene


def test_instrument_and_render(tmp_path: Path, noise_band: Path) -> None:
    t = np.arange(8000) / 16000
    soundfile.write(tmp_path / "kettle.flac", 0.3 * np.sin(2 * np.pi * 500 * t) * np.exp(-4 * t), 16000)
    built = photone("instrument", tmp_path / "kettle.flac", "--role", "bass", "--out", tmp_path / "bass", "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["verified"]["within_25_cents"] > 5
    played = photone("render", noise_band, "--score", "ode-to-joy", "--out", tmp_path / "song", "--preview", "3")
    assert played.returncode == 0, played.stderr
    assert str(tmp_path / "song" / "song.wav") in played.stdout


def test_a_song_as_it_was_asked_for(tmp_path: Path, noise_band: Path) -> None:
    out = tmp_path / "song"
    options = ("--preview", "4", "--map", "guitar=keyboard,4=guitar", "--format", "flac", "--dry", "--loudness", "-20")
    played = photone("render", noise_band, "--score", "canon", "--out", out, *options)
    assert played.returncode == 0, played.stderr
    assert [line.rpartition(": ")[2] for line in played.stdout.splitlines()[:4]] == [
        "keyboard",
        "bass",
        "keyboard",
        "guitar",
    ]
    song = json.loads((out / "song.json").read_text())
    assert song["loudness_lufs"] == pytest.approx(-20, abs=0.5)
    assert song["reverb"] is None
    assert [track["role"] for track in song["score"]["tracks"]] == ["keyboard", "bass", "keyboard", "guitar"]
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"song.flac", "song.json", *(f"stems/{role}.flac" for role in ("keyboard", "bass", "guitar"))}
    # The same again is not rendered again; only stems, and the file of the song is gone.
    before = (out / "song.flac").stat().st_mtime_ns
    assert photone("render", noise_band, "--score", "canon", "--out", out, *options).returncode == 0
    assert (out / "song.flac").stat().st_mtime_ns == before
    stems = photone("render", noise_band, "--score", "canon", "--out", out, "--preview", "4", "--stems-only")
    assert stems.returncode == 0, stems.stderr
    assert stems.stdout.splitlines()[-1] == f"song: {out / 'stems'}"
    assert not list(out.glob("song.[!j]*"))


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--map", "Lead=guitar", ("no track 'Lead'", "1 Keyboard", "4 Drums")),
        ("--map", "Keyboard=flute", ("Keyboard=flute", "roles are keyboard, bass, guitar, drums")),
        ("--loudness", "-3", ("--loudness", "range")),
        ("--format", "aiff", ("--format", "mp3")),
    ],
)
def test_a_wrong_wish_for_a_song_is_refused(
    tmp_path: Path, noise_band: Path, option: str, value: str, words: tuple[str, ...]
) -> None:
    result = photone("render", noise_band, "--score", "canon", "--out", tmp_path / "song", option, value)
    refused(result, 2, *words)
    assert not (tmp_path / "song").exists()


def test_only_the_roles_that_changed_are_rendered_again(tmp_path: Path, noise_band: Path) -> None:
    cache = tmp_path / "cache" / "photone" / "stems"
    arguments = ("render", noise_band, "--score", "canon", "--out", tmp_path / "song", "--preview", "3")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert photone(*arguments, **environment).returncode == 0
    first = {path.name: path.stat().st_ino for path in cache.glob("*.f32")}
    assert len(first) == 4
    assert photone(*arguments, "--map", "Guitar=keyboard", **environment).returncode == 0
    second = {path.name: path.stat().st_ino for path in cache.glob("*.f32")}
    assert len(second) == 5
    assert first.items() < second.items()  # only the keyboard, which plays the guitar's part too, is new


def test_standard_output_holds_nothing_of_the_libraries() -> None:
    # pyfluidsynth prints where it found its library when CI is set; JSON readers must not meet that.
    for command in ("scores", "doctor"):
        json.loads(photone(command, "--json", CI="true").stdout)


def test_engines_scores_and_doctor_report_as_json() -> None:
    assert {row["engine"] for row in json.loads(photone("engines", "--json").stdout)} >= {
        "embedded",
        "foley",
        "resonator",
    }
    assert len(json.loads(photone("scores", "--json").stdout)) >= 4
    assert all(finding["ok"] for finding in json.loads(photone("doctor", "--json").stdout))


def test_batch_goes_on_past_a_bad_picture(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"no picture")
    Image.new("RGB", (64, 64), (30, 90, 200)).save(tmp_path / "in" / "b.jpg")
    result = photone("batch", tmp_path / "in", "--out", tmp_path / "out", "--score", "entertainer", "--json")
    assert result.returncode == 1
    first, second = json.loads(result.stdout)
    assert "a.jpg" in first["error"]
    assert first["song"] is None
    assert Path(second["song"]).is_file()
    assert not (tmp_path / "out" / "a").exists()


def bad_pictures(folder: Path) -> dict[str, Path]:
    whole = demo_picture().read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("I am no picture")
    return {name: folder / name for name in ("missing.jpg", "empty.jpg", "truncated.jpg", "text.png", "")}


@pytest.mark.parametrize("name", ["missing.jpg", "empty.jpg", "truncated.jpg", "text.png", ""])
def test_bad_pictures_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    picture = bad_pictures(tmp_path)[name]
    refused(photone("make", picture, "--out", tmp_path / "run"), 2, picture.name)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--vision", "clairvoyance"), "embedded, qwen, openai-http, sidecar"),
        (("--effects", "nature"), "foley"),
        (("--timbre", "gold"), "resonator, rave, none"),
        (("--vision", "sidecar"), "scene.json"),
        (("--vision", "sidecar:/nowhere/scene.json"), "/nowhere/scene.json"),
        (("--score", "unheard"), "canon"),
        (("--score", "/nowhere/song.mid"), "/nowhere/song.mid"),
        (("--seed", "-1"), "--seed"),
        (("--preview", "0"), "--preview"),
        (("--loud",), "--loud"),
        (("--cast", "kazoo=1"), "kazoo=1"),
        (("--cast", "bass=one"), "bass=one"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    refused(photone("make", demo_picture(), "--out", tmp_path / "run", *arguments), 2, word)
    assert not (tmp_path / "run").exists()


def test_other_bad_input_is_refused(tmp_path: Path) -> None:
    refused(photone("instrument", "x.wav", "--role", "kazoo", "--out", tmp_path / "i"), 2, "kazoo", "keyboard")
    refused(photone("instrument", tmp_path / "x.wav", "--role", "bass", "--out", tmp_path / "i"), 2, "x.wav")
    refused(photone("swap", tmp_path, "--score", "canon"), 2, "run.json")
    refused(photone("render", tmp_path, "--score", "canon", "--out", tmp_path / "s"), 2, "no instruments here")
    refused(photone("effects", tmp_path / "scene.json", "--out", tmp_path / "e"), 2, "scene.json")
    refused(photone("batch", tmp_path / "none", "--out", tmp_path / "o"), 2, "none")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        refused(photone("make", demo_picture(), "--out", out), 2, str(tmp_path / "file"), "--out")
    assert (tmp_path / "file").read_text() == "in the way"


def test_foreign_folders_are_never_replaced(tmp_path: Path, noise_band: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("dear mother")
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).standard_normal(9000) * 0.1, 44100)
    refused(photone("render", noise_band, "--score", "canon", "--out", tmp_path / "letters"), 2, "letters", "--out")
    refused(photone("instrument", tmp_path / "a.wav", "--role", "bass", "--out", tmp_path / "letters"), 2, "letters")
    refused(
        photone("instrument", tmp_path / "a.wav", "--role", "bass", "--out", tmp_path / "a.wav"), 2, "a.wav", "file"
    )
    keyboard = ("instrument", tmp_path / "a.wav", "--role", "bass", "--out", noise_band / "keyboard")
    refused(photone(*keyboard), 2, "keyboard", "which is not part of a bass")
    song = tmp_path / "song.wav"
    song.write_text("mine")
    refused(photone("render", noise_band, "--score", "canon", "--out", song), 2, "song.wav", "is a file")
    assert song.read_text() == "mine"
    assert (tmp_path / "letters" / "to-mother.txt").read_text() == "dear mother"


def test_cast_gives_roles_to_effects(tmp_path: Path) -> None:
    arguments = (
        "make",
        demo_picture(),
        "--out",
        tmp_path / "run",
        "--preview",
        "1",
        "--cast",
        "bass=3,drums=1+5",
        "--json",
    )
    casting = json.loads(photone(*arguments).stdout)["casting"]
    assert [(c["role"], c["number"]) for c in casting if c["role"] in ("bass", "drums")] == [
        ("bass", 3),
        ("drums", 1),
        ("drums", 5),
    ]
    refused(
        photone("make", demo_picture(), "--out", tmp_path / "run", "--cast", "bass=99"), 2, "bass=99", "no such effect"
    )


@pytest.mark.slow
@pytest.mark.parametrize("after", ["run.json", "scene.json", "effects/effects.json", "instruments/bass", "songs"])
def test_ctrl_c_in_any_stage_leaves_nothing_half_and_the_next_run_resumes(tmp_path: Path, after: str) -> None:
    run = tmp_path / "run"
    arguments = [
        sys.executable,
        "-m",
        "flows.cli",
        "make",
        str(demo_picture()),
        "--out",
        str(run),
        "--score",
        "entertainer",
    ]
    process = subprocess.Popen(arguments, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not (run / after).exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1, stderr
    assert stderr.startswith("photone: interrupted")
    assert stderr.count("\n") == 1, stderr
    assert not list(run.rglob(".photone-tmp-*"))
    done = {s["name"] for s in json.loads((run / "run.json").read_text())["stages"]}
    assert "song-entertainer" not in done
    if after == "run.json":
        return  # resuming is shown by the later ones
    result = photone("make", demo_picture(), "--out", run, "--score", "entertainer", "--preview", "1")
    assert result.returncode == 0, result.stderr
    again = {s["name"] for s in json.loads((run / "run.json").read_text())["stages"] if not s["cached"]}
    assert not done & again
