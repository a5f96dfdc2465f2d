"""The family of errors: one line each, with the exit status that the command line promises."""

from __future__ import annotations

import inspect

import pytest

import core.errors
from core.errors import (
    AudioError,
    DiskFullError,
    DocumentError,
    EngineError,
    InstrumentError,
    OutputError,
    PhotoneError,
    PictureError,
    SceneError,
    ScoreError,
    UsageError,
)

INPUT_AT_FAULT = (
    *(UsageError, PictureError, SceneError, AudioError, ScoreError),
    *(InstrumentError, DocumentError, OutputError),
)
MACHINE_AT_FAULT = (PhotoneError, EngineError, DiskFullError)


def test_every_error_has_its_exit_status() -> None:
    family = {
        value for _, value in inspect.getmembers(core.errors, inspect.isclass) if value.__module__ == "core.errors"
    }
    assert family == {*INPUT_AT_FAULT, *MACHINE_AT_FAULT}
    assert {error("x").exit_status for error in INPUT_AT_FAULT} == {2}
    assert {error("x").exit_status for error in MACHINE_AT_FAULT} == {1}
    assert all(issubclass(error, PhotoneError) for error in family)


def test_a_full_disk_is_caught_with_other_failures_to_write() -> None:
    assert issubclass(DiskFullError, OutputError)


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\n\n   ", "\t", "\u2028", "\x85", "\x0b"])
def test_a_message_is_one_line(break_: str) -> None:
    assert str(SceneError(f"a.json: wrong{break_}here")) == "a.json: wrong here"


def test_retryable_is_said_of_one_error_only() -> None:
    assert EngineError("busy", retryable=True).retryable
    assert not EngineError("missing").retryable
    assert not any(error("x").retryable for error in (*INPUT_AT_FAULT, *MACHINE_AT_FAULT))
