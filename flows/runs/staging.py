"""The stages as a child process does them: JSON values in, JSON values out. Nothing here knows of Prefect."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.runs import remaking, songs, stages
from flows.runs.ledger import Ledger, UndoneError
from flows.runs.songs import parse_song
from flows.runs.stages import MakeOptions
from schemas.scene import Scene

Told = Callable[[str], None]


def parse_options(values: dict[str, Any]) -> MakeOptions:
    """Options out of a task's small values."""
    paths = {"picture": Path(values["picture"]), "out": Path(values["out"])}
    return MakeOptions(**values | paths | {"song": parse_song(values["song"])})


def option_values(options: MakeOptions) -> dict[str, Any]:
    """Options as small values that a task may take."""
    return dataclasses.asdict(options) | {"picture": str(options.picture), "out": str(options.out)}


def _report(ledger: Ledger) -> dict[str, Any]:
    """Which stages were done and which were passed over, with the run's folder."""
    return {"folder": str(ledger.folder), "stages": ledger.passed_over}


def _picture(values: dict[str, Any], told: Told) -> dict[str, Any]:
    return _report(stages.open_run(parse_options(values)))


def _scene(values: dict[str, Any], told: Told) -> dict[str, Any]:
    options = parse_options(values)
    ledger = Ledger.open(options.out, options.seed)
    stages.scene_stage(ledger, options)
    return _report(ledger)


def _effects(values: dict[str, Any], told: Told) -> dict[str, Any]:
    options = parse_options(values)
    ledger = Ledger.open(options.out, options.seed)
    stages.effects_stage(ledger, options, told)
    return _report(ledger)


def _casting(values: dict[str, Any], told: Told) -> dict[str, Any]:
    options = parse_options(values)
    ledger = Ledger.open(options.out, options.seed)
    stages.casting_stage(ledger, options)
    return _report(ledger)


def _instruments(values: dict[str, Any], told: Told) -> dict[str, Any]:
    options = parse_options(values)
    ledger = Ledger.open(options.out, options.seed)
    stages.instruments_stage(ledger, options, lambda role: told(f"instrument {role}"))
    return _report(ledger)


def _song(values: dict[str, Any], told: Told) -> dict[str, Any]:
    ledger = Ledger.read(Path(values["folder"]))
    made = songs.finish(ledger, songs.song_stage(ledger, parse_song(values["song"])))
    return _report(ledger) | {"song_folder": str(made.song_folder)}


def _edit(values: dict[str, Any], told: Told) -> dict[str, Any]:
    ledger = Ledger.read(Path(values["out"]))
    scene = Scene.from_value(values["scene"], "scene") if values["scene"] is not None else None
    changed = remaking.apply(ledger, scene, values["base_sha256"])
    return {"folder": str(ledger.folder), "stages": {"scene": not changed}}


def _again(values: dict[str, Any], told: Told) -> dict[str, Any]:
    ledger = Ledger.read(Path(values["out"]))
    remaking.effects_again(ledger, values["numbers"], values["seed"], told)
    return _report(ledger)


def _songs(values: dict[str, Any], told: Told) -> dict[str, Any]:
    ledger = Ledger.read(Path(values["folder"]))
    made = songs.finish(ledger, songs.songs_stage(ledger, told))
    return _report(ledger) | {"song_folder": str(made.song_folder)}


def _finished(values: dict[str, Any], told: Told) -> dict[str, Any]:
    """Where the song is, when nothing is left to do; nothing is written."""
    options = parse_options(values)
    try:
        made = stages.finished(options)
    except UndoneError as stage:
        return {"undone": str(stage)}
    return {"song_folder": str(made)}


def _check(values: dict[str, Any], told: Told) -> None:
    stages.check_options(parse_options(values))


def make_request(options: MakeOptions, address: str) -> dict[str, Any]:
    """What `make_values` is asked with."""
    return option_values(options) | {"address": address}


def make_values(values: dict[str, Any], told: Told = lambda text: None) -> dict[str, Any]:
    """The whole way from picture to song, for a batch: the outcome, whatever goes wrong."""
    from flows.runs.outcome import make_one

    given = dict(values)
    address = given.pop("address")
    return make_one(parse_options(given), address, told).as_json()


def _judge(values: dict[str, Any], told: Told) -> dict[str, Any]:
    from flows.evaluation.verdicts import judge_values

    return judge_values(values, told)


def _corpus(values: dict[str, Any], told: Told) -> str:
    from flows.timbres import TimbreRequest, prepare_corpus

    return str(prepare_corpus(TimbreRequest.from_json(values), lambda role, line: told(json.dumps(line))))


def _train(values: dict[str, Any], told: Told) -> dict[str, Any]:
    from flows.timbres import TimbreRequest, train_family

    return train_family(TimbreRequest.from_json(values), lambda role, line: told(json.dumps(line))).as_json()


STAGES: dict[str, Callable[[dict[str, Any], Told], Any]] = {
    "check": _check,
    "finished": _finished,
    "picture": _picture,
    "scene": _scene,
    "effects": _effects,
    "casting": _casting,
    "instruments": _instruments,
    "song": _song,
    "edit": _edit,
    "again": _again,
    "songs": _songs,
    "make": make_values,
    "judge": _judge,
    "corpus": _corpus,
    "train": _train,
}
"""What a child can be asked for."""
