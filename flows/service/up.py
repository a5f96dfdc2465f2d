"""`photone up`: a Prefect server, a worker that serves the deployments, the player and a folder watcher, as one family.

The children end with this process, however it ends. What was going on when it ended, or when its worker died, goes on with the
next start: the run folder's ledger knows how far it came.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from core.errors import EngineError, PhotoneError, UsageError
from core.manifest import prepare_folder, to_json, write_text
from flows.deployed.forms import make_parameters
from flows.runs.roots import ROOTS_VARIABLE, RUNS_VARIABLE
from flows.service.api import AUTH_VARIABLE, PrefectApi
from flows.service.server import healthy, server_environment

HOME = Path(".prefect")
STATE_FILE = "up.json"
DATABASE_VARIABLE = "PHOTONE_DATABASE_URL"
MOST_TRIES = 10
"""So often a run is taken up again after its worker died; a run that kills its worker must not do so for ever."""

_LEASES_VARIABLE = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
_WILDCARDS = ("0.0.0.0", "::", "")
_START_LIMIT_S = 120.0
_LOOK_S = 0.5
_DEATHS_WINDOW_S, _MOST_DEATHS = 60.0, 5
# What the server alone may know.
_SERVER_SECRETS = (DATABASE_VARIABLE, "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class UpOptions:
    """Where everything listens and lies.

    `watch` is a folder whose pictures become runs of `score` (a bundled name or a MIDI file), None for none; `at_once` is how
    many runs go on at the same time, None for half of the processors and at least two.
    """

    host: str = "127.0.0.1"
    port: int = 4200
    player_port: int = 4280
    runs: Path = Path("runs")
    watch: Path | None = None
    score: str = "canon"
    at_once: int | None = None

    @property
    def reach(self) -> str:
        """The name that this machine's own programs reach the servers by."""
        return "127.0.0.1" if self.host in _WILDCARDS else self.host

    @property
    def api_url(self) -> str:
        return f"http://{_bracketed(self.reach)}:{self.port}/api"

    @property
    def player_url(self) -> str:
        """What links in reports point to: also from other machines, where we listen to those."""
        return f"http://{self._shown_name}:{self.player_port}"

    @property
    def ui_url(self) -> str:
        """Where people see Prefect: likewise."""
        return f"http://{self._shown_name}:{self.port}"

    @property
    def _shown_name(self) -> str:
        return _bracketed(socket.gethostname() if self.host in _WILDCARDS else self.host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def database_url(url: str) -> str:
    """PHOTONE_DATABASE_URL as Prefect wants it; the message of an error does not repeat the URL, which holds a password.

    Raises:
        UsageError: not an address of a PostgreSQL database.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+asyncpg") or not separator or not rest:
        raise UsageError(f"{DATABASE_VARIABLE}: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return f"postgresql+asyncpg://{rest}"


def child_environments(options: UpOptions) -> tuple[dict[str, str], dict[str, str]]:
    """The environments of the server, and of worker and player, who get neither the database's address nor its password.

    Raises:
        UsageError: PHOTONE_DATABASE_URL cannot be read.
    """
    common = {**os.environ, **server_environment(options.api_url, HOME)}
    common["PREFECT_LOGGING_SERVER_LEVEL"] = "WARNING"
    origins = {options.api_url.removesuffix("/api"), f"http://localhost:{options.port}"}
    # Relative, so that the interface works by whatever name this machine is reached; other sites' pages may not call it.
    own = {"PREFECT_UI_API_URL": "/api", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(sorted(origins))}
    # In memory, as is the default, a server that died would forget who holds a concurrency limit, and end those runs.
    own[_LEASES_VARIABLE] = os.environ.get(_LEASES_VARIABLE, "prefect.server.concurrency.lease_storage.filesystem")
    if os.environ.get(DATABASE_VARIABLE):
        own["PREFECT_API_DATABASE_CONNECTION_URL"] = database_url(os.environ[DATABASE_VARIABLE])
    clients = {name: value for name, value in common.items() if name not in _SERVER_SECRETS}
    if os.environ.get(AUTH_VARIABLE):
        clients["PREFECT_API_AUTH_STRING"] = os.environ[AUTH_VARIABLE]
    clients |= {
        RUNS_VARIABLE: str(options.runs.absolute()),
        ROOTS_VARIABLE: os.environ.get(ROOTS_VARIABLE) or _default_roots(options),
        "PHOTONE_PLAYER_URL": options.player_url,
        "PREFECT_UI_URL": options.ui_url,
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    return {**common, **own}, clients


def _default_roots(options: UpOptions) -> str:
    folders = [Path.cwd(), options.runs.absolute(), *([options.watch.absolute()] if options.watch else [])]
    return os.pathsep.join(map(str, dict.fromkeys(folders)))


@dataclass
class Child:
    """One process of the family; its log is a file."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return HOME / f"{self.name}.log"

    def start(self, *more: str, pipes: tuple[int, ...] = ()) -> None:
        """Start it, from the main thread: it is bound to the thread that starts it."""
        command = [sys.executable, "-m", "flows.service.serving", self.name, "--parent", str(os.getpid())]
        with self.log.open("ab" if self.deaths else "wb") as log:
            # A session of its own: Ctrl-C reaches us first, and we stop all in order.
            self.process = subprocess.Popen(
                [*command, *self.arguments, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                pass_fds=pipes,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, number: signal.Signals, patience_s: float) -> None:
        """End it and all of its session, in the end by force."""
        if self.process is None:
            return
        for each in (number, signal.SIGKILL):
            # The session may outlive its first process: it is asked for in any case.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, each)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)


class _StoppedError(Exception):
    """We were asked to stop while something was starting."""


class Family:
    """All that `photone up` starts, watches over and stops; `asked_to_stop` interrupts a start."""

    def __init__(self, options: UpOptions, tell: Tell, asked_to_stop: threading.Event) -> None:
        server, clients = child_environments(options)
        place = ("--host", options.host or "0.0.0.0")
        at_once = options.at_once or max(2, (os.cpu_count() or 2) // 2)
        self.options, self._tell, self._asked_to_stop = options, tell, asked_to_stop
        self.api = PrefectApi(options.api_url, os.environ.get(AUTH_VARIABLE, ""))
        self.server = Child("server", (*place, "--port", str(options.port)), server)
        self.worker = Child("worker", ("--at-once", str(at_once)), clients)
        player = (*place, "--port", str(options.player_port), "--runs", str(options.runs))
        self.player = Child("player", player, clients)

    def start(self) -> None:
        """Start all and wait until they answer.

        Raises:
            EngineError: one of them stops at once or does not answer.
        """
        self.server.start()
        self._wait(self.server, lambda: healthy(self.api.url))
        self._start_worker()
        self.player.start()
        url = f"http://{_bracketed(self.options.reach)}:{self.options.player_port}"
        self._wait(self.player, lambda: healthy(url))
        self._write_state()

    def _start_worker(self) -> None:
        take_up(self.api, self._tell)
        read, write = os.pipe()
        try:
            self.worker.start("--ready", str(write), pipes=(write,))
            os.close(write)
            os.set_blocking(read, False)
            self._wait(self.worker, lambda: _told(read))
        finally:
            os.close(read)

    def _wait(self, child: Child, answers: Callable[[], bool]) -> None:
        limit = time.monotonic() + _START_LIMIT_S
        while not answers():
            if not child.alive:
                raise EngineError(f"the {child.name} stopped at once: {_last_line(child.log)} ({child.log} says more)")
            if time.monotonic() > limit:
                raise EngineError(f"the {child.name} did not answer in {_START_LIMIT_S:.0f} s: see {child.log}")
            if self._asked_to_stop.wait(0.1):
                raise _StoppedError

    def mend(self) -> None:
        """Start again what has died.

        Raises:
            EngineError: it dies again and again.
        """
        for child, start in (
            (self.server, self._restart_server),
            (self.worker, self._restart_worker),
            (self.player, self.player.start),
        ):
            if child.alive:
                continue
            self._count_death(child)
            self._tell(f"the {child.name} died and is started again; {child.log} says more")
            start()
            self._write_state()

    def _restart_server(self) -> None:
        self.server.start()
        self._wait(self.server, lambda: healthy(self.api.url))
        # Prefect's worker does not notice cancels any more once its web socket is lost (3.8.8): its runs go on in a new one.
        self._restart_worker()

    def _restart_worker(self) -> None:
        self.worker.stop(signal.SIGKILL, 3.0)  # its runs
        self._start_worker()

    def _count_death(self, child: Child) -> None:
        now = time.monotonic()
        child.deaths = [*(each for each in child.deaths if now - each < _DEATHS_WINDOW_S), now]
        if len(child.deaths) > _MOST_DEATHS:
            raise EngineError(f"the {child.name} dies again and again: {_last_line(child.log)} ({child.log} says more)")

    def stop(self) -> None:
        """Stop all, the worker first: nothing is half written, and what it was at goes on with the next start."""
        self.worker.stop(signal.SIGKILL, 3.0)
        self.player.stop(signal.SIGTERM, 3.0)
        self.server.stop(signal.SIGTERM, 6.0)
        (HOME / STATE_FILE).unlink(missing_ok=True)

    def _write_state(self) -> None:
        pids = {child.name: child.process.pid for child in (self.server, self.worker, self.player) if child.process}
        addresses = {"api": self.api.url, "player_url": self.options.player_url}
        write_text(HOME / STATE_FILE, to_json({"pid": os.getpid(), **pids, **addresses}))


def _told(pipe: int) -> bool:
    try:
        return os.read(pipe, 16) == b"ready"
    except BlockingIOError:
        return False


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return without_secrets(lines[-1])[:300] if lines else "it said nothing"


def without_secrets(text: str) -> str:
    """Text without the passwords that stand in our environment."""
    for variable in (*_SERVER_SECRETS, AUTH_VARIABLE, "PREFECT_API_AUTH_STRING", "PHOTONE_API_KEY"):
        value = os.environ.get(variable, "")
        for secret in filter(None, (value, urlsplit(value).password if "://" in value else None)):
            text = text.replace(secret, "***")
    return text


def take_up(api: PrefectApi, tell: Tell) -> None:
    """Take up the runs of a worker that is no more: they were running, so they crashed, and are scheduled again.

    Only runs of served deployments are (those without a work pool): others may have workers elsewhere. What was being
    cancelled is cancelled; the parts of a run (its sub-flows) crashed with it and come again when it does.

    Raises:
        PhotoneError: the server does not answer.
    """
    served = {each["id"] for each in api.ask("deployments/filter", {"limit": 200}) if not each.get("work_pool_name")}
    runs = api.unfinished_runs(("RUNNING", "PENDING", "CANCELLING"))
    for run in runs:
        if run["deployment_id"] in served:
            _take_up_one(api, run, tell)
    known = {run["id"] for run in runs if run["deployment_id"] in served}
    _crash_parts(api, [run for run in runs if run["deployment_id"] is None], known)


def _take_up_one(api: PrefectApi, run: dict[str, Any], tell: Tell) -> None:
    if run["state_type"] == "CANCELLING":
        api.set_state(run["id"], "CANCELLED", "Cancelled", "its worker was stopped")
        return
    api.set_state(run["id"], "CRASHED", "Crashed", "its worker was stopped; finished stages are kept")
    if run["run_count"] >= MOST_TRIES:
        tell(f"{run['name']}: its worker died {run['run_count']} times: look at its log, then start it again")
        return
    api.set_state(run["id"], "SCHEDULED", "AwaitingRetry", "goes on where it stopped")
    tell(f"{run['name']}: was stopped on its way and goes on")


def _crash_parts(api: PrefectApi, parts: list[dict[str, Any]], parents: set[str]) -> None:
    for part in parts:
        if part["parent_task_run_id"] is None:
            continue
        task = api.ask(f"task_runs/{part['parent_task_run_id']}")
        if task["flow_run_id"] in parents:
            api.set_state(part["id"], "CRASHED", "Crashed", "the worker of its parent was stopped")


def check_port(host: str, port: int, what: str, option: str) -> None:
    """Refuse a port that something listens on.

    Raises:
        UsageError: with what listens there, if it can be told.
    """
    address = "0.0.0.0" if host == "" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except socket.gaierror as error:
        raise UsageError(f"--host {host}: is no address of this machine: use 127.0.0.1") from error
    except PermissionError as error:
        raise UsageError(f"port {port} is not for everybody: choose one above 1023 with {option}") from error
    except OSError as error:
        reach = "127.0.0.1" if address in _WILDCARDS else address
        there = f"http://{_bracketed(reach)}:{port}"
        known = "a Prefect server answers there already" if healthy(f"{there}/api") else "something else listens there"
        raise UsageError(
            f"port {port} ({what}) is taken: {known} ({there}): stop it, or choose another with {option}"
        ) from error


@contextmanager
def only_one() -> Iterator[None]:
    """Hold this folder's `.prefect/` for one `photone up`.

    Raises:
        UsageError: one is up already.
        OutputError: `.prefect/` cannot be written to.
    """
    prepare_folder(HOME)
    with (HOME / "up.lock").open("a") as lock:
        if not _lock(lock):
            raise UsageError(f"photone is up here already{_where()}: open that, or stop it first")
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _where() -> str:
    with suppress(OSError, ValueError, KeyError):
        state = json.loads((HOME / STATE_FILE).read_text())
        return f" ({state['api'].removesuffix('/api')}, process {state['pid']})"
    return ""


def up(options: UpOptions, tell: Tell, warn: Tell) -> None:
    """Start everything, say where it is, and keep it going until SIGINT, SIGTERM or SIGHUP.

    Raises:
        UsageError: a port is taken, photone is up here already, or an option cannot be used.
        EngineError: a part of it cannot be started.
    """
    stop = threading.Event()
    with only_one():
        for port, what, option in (
            (options.port, "Prefect", "--port"),
            (options.player_port, "the player", "--player-port"),
        ):
            check_port(options.host, port, what, option)
        _check_watch(options)
        prepare_folder(options.runs)
        _warn(options, warn)
        family = Family(options, tell, stop)
        with _signals_set(stop), suppress(_StoppedError):
            try:
                family.start()
                _say(options, tell)
                _keep(family, options, stop, warn)
            finally:
                tell("stopping")
                stop.set()
                family.stop()


def _keep(family: Family, options: UpOptions, stop: threading.Event, warn: Tell) -> None:
    if options.watch is not None:
        watcher = threading.Thread(target=_watcher(family, options, warn).watch, args=(stop,), daemon=True)
        watcher.start()
    while not stop.wait(_LOOK_S):
        try:
            family.mend()
        except PhotoneError as error:
            if not error.retryable:
                raise
            warn(str(error))


def _watcher(family: Family, options: UpOptions, warn: Tell) -> Any:
    from flows.runs.songs import SongOptions, score_name
    from flows.runs.stages import MakeOptions
    from flows.service.watching import Watcher

    assert options.watch is not None
    folder, runs = options.watch.absolute(), options.runs.absolute()
    name = score_name(options.score)

    def start(picture: Path, out: Path, key: str) -> None:
        asked = make_parameters(MakeOptions(picture, out, song=SongOptions(options.score)))
        asked |= {"look": "natural", "options": asked["options"].model_dump(mode="json")}
        asked["players"] = [player.value for player in asked["players"]]
        family.api.start("picture-to-song", asked, name=f"{picture.stem} -> {name}", idempotency_key=key)

    return Watcher(folder, runs, HOME / "watched.json", name, start, warn)


def _check_watch(options: UpOptions) -> None:
    from flows.runs.songs import SongOptions

    SongOptions(options.score).read()
    if options.watch is not None and not options.watch.is_dir():
        raise UsageError(f"--watch {options.watch}: no such folder: make it first")


def _warn(options: UpOptions, warn: Tell) -> None:
    here = options.host in ("localhost", "::1") or options.host.startswith("127.")
    if not here and not os.environ.get(AUTH_VARIABLE):
        warn(
            f"--host {options.host}: whoever reaches this machine can start runs and see all of them, without a password; "
            f"set {AUTH_VARIABLE}=USER:PASSWORD to ask for one"
        )


def _say(options: UpOptions, tell: Tell) -> None:
    tell(f"Prefect: {options.api_url.removesuffix('/api')}")
    tell(f"player:  {options.player_url}")
    tell(f"runs:    {options.runs.absolute()}")
    if options.watch is not None:
        tell(f"watched: {options.watch.absolute()} (pictures become {options.score})")
    tell("Ctrl-C stops all")


@contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, frame: object) -> None:
        stop.set()

    for number in numbers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
