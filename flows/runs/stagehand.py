"""Stages in a process of their own, so that a cancel, a time-out or a crash ends the work and not only the waiting for it.

A thread that computes cannot be stopped; a process can. One child does stage after stage and keeps its imports; it is
killed when its stage is given up, and ends by itself when its parent dies, however that happens.

Parent and child speak JSON lines: {"stage", "options"} in; {"told"}, then {"done"} or {"error", ...} or {"crash"} out.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from core import errors
from core.errors import EngineError, PhotoneError
from flows.runs.crash import StageCrashError

Told = Callable[[str], None]


class Stagehand:
    """One child process that does stages, one at a time."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C on a terminal reaches the parent only, which then stops its children in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.runs.stagehand"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take another stage."""
        return self._process.poll() is None

    def ask(self, stage: str, options: dict[str, Any], told: Told) -> Any:
        """Have a stage done and wait for it.

        Raises:
            PhotoneError: as the stage; a retryable `EngineError` when the child died of something else.
            StageCrashError: a programming mistake.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"stage": stage, "options": options}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._died(stage) from error
        for line in self._process.stdout:
            answer = json.loads(line)
            if "told" not in answer:
                return _result(answer)
            told(answer["told"])
        raise self._died(stage)

    def _died(self, stage: str) -> EngineError:
        status = self._process.wait()
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return EngineError(
            f"stage {stage}: its process ended with {cause}: if memory ran out, use fewer workers", retryable=True
        )

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        self._process.wait()


def _result(answer: dict[str, Any]) -> Any:
    if "crash" in answer:
        raise StageCrashError(answer["crash"])
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"], retryable=answer["retryable"])
    return answer["done"]


class Stagehands:
    """The stagehands of this process: idle ones are used again."""

    def __init__(self) -> None:
        self._idle: list[Stagehand] = []
        self._lock = threading.Lock()

    async def do(self, stage: str, options: dict[str, Any], told: Told = lambda text: None) -> Any:
        """Do a stage; when this call is cancelled or times out, the work ends with it.

        Raises:
            PhotoneError: as the stage.
            StageCrashError: a programming mistake.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        hand = await asyncio.to_thread(self._take)

        def work() -> None:
            # No executor: those wait for their threads when the interpreter ends, this one must not hold it up.
            try:
                outcome, error = hand.ask(stage, options, lambda text: _call(loop, told, text)), None
            except Exception as problem:
                outcome, error = None, problem
            _call(loop, _settle, future, outcome, error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return await future
        except PhotoneError:
            raise
        except BaseException:
            hand.kill()
            raise
        finally:
            self._give_back(hand)

    def _take(self) -> Stagehand:
        with self._lock:
            while self._idle:
                hand = self._idle.pop()
                if hand.alive:
                    return hand
        return Stagehand()

    def _give_back(self, hand: Stagehand) -> None:
        if hand.alive:
            with self._lock:
                self._idle.append(hand)

    def dismiss(self) -> None:
        """End the idle ones."""
        with self._lock:
            for hand in self._idle:
                hand.kill()
            self._idle.clear()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)


def _settle(future: asyncio.Future[Any], outcome: Any, error: Exception | None) -> None:
    if future.done():  # cancelled meanwhile
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(outcome)


STAGEHANDS = Stagehands()


def main() -> None:
    """The child: do what standard input asks for until it ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand among our replies

    def reply(value: dict[str, Any]) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    for request in _requests():
        reply(_answer(request, lambda text: reply({"told": text})))


def _requests() -> Any:
    from queue import SimpleQueue

    queue: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            queue.put(json.loads(line))
        os._exit(1)  # the parent is gone: nobody wants the result, and the next run must not meet us at work

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield queue.get()


def _answer(request: dict[str, Any], told: Told) -> dict[str, Any]:
    # Inside, so that the parent can use this module without loading any library of sound.
    from flows.runs.staging import STAGES

    try:
        return {"done": STAGES[request["stage"]](request["options"], told)}
    except PhotoneError as error:
        return {"error": type(error).__name__, "message": str(error), "retryable": error.retryable}
    except Exception:
        return {"crash": traceback.format_exc()}


if __name__ == "__main__":
    main()
