"""The forms of the deployments: what a musician is shown, and what is refused before a run is made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mido
import pytest
from pydantic import ValidationError
from served import Up, small_picture, small_score

from core.errors import ScoreError, UsageError
from flows.deployed.deployments import DEPLOYMENTS
from flows.deployed.forms import (
    ALL_PLAYERS,
    LOOKS,
    MakeChoices,
    MakeForm,
    make_parameters,
    read_make,
    run_name,
)
from flows.runs.songs import SongOptions
from flows.runs.stages import MakeOptions
from phase1_sound.effects import EFFECTS_ENGINES
from phase1_sound.vision import VISION_ENGINES
from phase2_music.rendering.mixing import MixOptions
from phase2_music.rendering.render import RenderOptions
from phase2_music.scores import bundled_scores
from phase2_music.timbre import TIMBRE_ENGINES


def schema(up: Up, name: str) -> dict[str, Any]:
    return dict(up.api.deployment(name)["parameter_openapi_schema"])


@pytest.mark.parametrize("name", [row.name for row in DEPLOYMENTS])
def test_every_field_has_a_title_a_text_and_a_valid_default(up: Up, name: str) -> None:
    form = schema(up, name)
    assert not form.get("required")
    for key, given in form["properties"].items():
        field = form.get("definitions", {}).get(given.get("$ref", "").rpartition("/")[2], {}) | given  # a framed group
        assert field["title"] != key, key
        assert len(field["description"]) > 10, key
        assert "default" in field, key
        assert "anyOf" not in field, key  # would show as tabs
        assert not re.search(r"</|<\w+ |\*\*|`", field["description"]), key  # plain text: nothing of it is rendered


def test_choices_come_from_the_tables(up: Up) -> None:
    fields = schema(up, "picture-to-song")["properties"]
    assert fields["vision"]["enum"] == list(VISION_ENGINES.entries)
    assert fields["effects"]["enum"] == list(EFFECTS_ENGINES.entries)
    assert fields["timbre"]["enum"] == list(TIMBRE_ENGINES.entries)
    assert fields["score"]["enum"] == [*bundled_scores(), "my own file"]
    assert fields["look"]["enum"] == [*LOOKS, "custom"]
    assert fields["players"]["items"]["$ref"].endswith("Player")
    assert schema(up, "picture-to-song")["definitions"]["Player"]["enum"] == ["keyboard", "bass", "guitar", "drums"]
    assert list(fields) == sorted(fields, key=lambda key: fields[key]["position"])


@pytest.mark.parametrize(
    ("deployment", "parameters"),
    [
        ("picture-to-song", {"score": "yesterday"}),
        ("picture-to-song", {"vision": "crystal-ball"}),
        ("picture-to-song", {"look": "pretty"}),
        ("picture-to-song", {"players": ["tuba"]}),
        ("picture-to-song", {"players": []}),
        ("picture-to-song", {"picture": "../lake.png"}),
        ("picture-to-song", {"picture": "pictures/../../lake.png"}),
        ("picture-to-song", {"picture": ""}),
        ("picture-to-song", {"out": "a/.."}),
        ("picture-to-song", {"options": {"seed": -1}}),
        ("picture-to-song", {"options": {"loudness_lufs": 3}}),
        ("picture-to-song", {"options": {"cast": "tuba=1"}}),
        ("picture-to-song", {"options": {"preview": 3}}),
        ("swap-score", {"score_file": "../x.mid"}),
        ("render-folder", {"folder": "../pictures"}),
        ("render-folder", {"workers": 0}),
        ("train-timbre", {"minutes": -1}),
        ("evaluate", {"what": "the audience"}),
        ("evaluate", {"step": 0}),
    ],
)
def test_bad_values_are_refused_and_no_run_is_made(up: Up, deployment: str, parameters: dict[str, Any]) -> None:
    before = up.ask("flow_runs/count", {})
    with pytest.raises(UsageError, match="refused \\(4"):
        up.start(deployment, **parameters)
    assert up.ask("flow_runs/count", {}) == before


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"picture": "/etc/hostname"}, "lies outside the folders of PHOTONE_ROOTS"),
        ({"score": "my own file"}, "no file is named"),
        ({"vision": "sidecar", "options": {"vision_detail": "/etc/passwd"}}, "lies outside"),
    ],
)
def test_what_only_the_flow_can_know_fails_it_before_any_work(up: Up, parameters: dict[str, Any], reason: str) -> None:
    run = up.wait(up.start("picture-to-song", **parameters))
    assert run["state_type"] == "FAILED"
    assert reason in run["state"]["message"]
    tasks = up.ask("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})
    assert not tasks


def test_a_run_from_the_form_plays_what_was_chosen(up: Up) -> None:
    small_picture(up.workspace / "lagoon.png", seed=3)
    small_score(up.workspace / "song of mine.mid")
    run = up.wait(
        up.start(
            "picture-to-song",
            picture="lagoon.png",
            score="my own file",
            score_file="song of mine.mid",
            look="dry",
            players=["drums", "bass"],
            out="runs/lagoon",
            options={"compact": True},
        )
    )
    assert (run["state_type"], run["name"]) == ("COMPLETED", "lagoon -> song of mine")
    song = up.workspace / "runs" / "lagoon" / "songs" / "song-of-mine"
    assert {path.stem for path in (song / "stems").iterdir()} == {"drums", "bass"}  # no reverb, no others
    swapped = up.wait(up.start("swap-score", run="runs/lagoon", score="ode-to-joy", options={"preview_s": 1}))
    assert (swapped["state_type"], swapped["name"]) == ("COMPLETED", "lagoon -> ode-to-joy")
    assert (up.workspace / "runs" / "lagoon" / "songs" / "ode-to-joy-preview" / "song.wav").is_file()


def test_the_command_line_s_options_pass_through_the_form_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTONE_ROOTS", "/")
    score = str(small_score(tmp_path / "own.mid"))
    mix = MixOptions(loudness_lufs=-20.5, dry=True, stems_only=True, file_format="flac")
    song = SongOptions(score, {"Lead": "guitar", "3": "bass"}, RenderOptions(2.5, True, mix), ("bass", "drums"))
    asked = MakeOptions(
        picture=tmp_path / "lake.png",
        out=tmp_path / "run",
        vision="sidecar:scene.json",
        seed=7,
        cast={"bass": (3,), "drums": (1, 4)},
        song=song,
        compact=True,
    )
    given = make_parameters(asked)
    assert (
        read_make(MakeChoices(**{key: value for key, value in given.items() if key != "options"}), given["options"])
        == asked
    )


def test_looks_differ_and_custom_is_what_the_options_say() -> None:
    form = MakeForm(loudness_lufs=-30.0, dry=True)
    mixes = {look: form.song("canon", "", look, ALL_PLAYERS).render.mix for look in (*LOOKS, "custom")}
    assert len(set(mixes.values())) == len(mixes)
    assert (mixes["custom"].loudness_lufs, mixes["custom"].dry) == (-30.0, True)
    assert mixes["broadcast"].loudness_lufs == -23.0


def test_players_with_nothing_to_play_are_told(tmp_path: Path) -> None:
    midi = mido.MidiFile(small_score(tmp_path / "duo.mid"))
    midi.tracks = midi.tracks[:2]  # no drums
    midi.save(tmp_path / "duo.mid")
    with pytest.raises(ScoreError, match=r"duo\.mid: has nothing for drums: add keyboard, bass"):
        SongOptions(str(tmp_path / "duo.mid"), players=("drums",)).read()


def test_forms_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="extra"):
        MakeForm(volume=11)  # type: ignore[call-arg]


def test_runs_are_called_by_picture_and_score() -> None:
    assert run_name("pictures/lake.jpg", "canon") == "lake -> canon"
    assert run_name("demo", "my own file", "songs/tune.mid") == "china -> tune"
