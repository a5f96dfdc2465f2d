"""What several tests share: a built band, and one real run of the whole way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sounds import noise, request

from flows.demo import demo_picture
from flows.runs.songs import Made, SongOptions
from flows.runs.stages import MakeOptions, make
from phase2_music.instruments.build import build_instrument
from phase2_music.timbre.engines.resonator import Resonator
from schemas.document import ROLES


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker a numba cache of its own, and what it starts Ctrl-C.

    numba lets processes that compile at once overwrite each other's files; librosa then calls what is not there and the
    process dies, from then on always. A shell starts what it runs in the background deaf to Ctrl-C, and that is passed on.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    os.environ["NUMBA_CACHE_DIR"] = str(config.cache.mkdir(f"numba-{worker}"))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests and the processes that they start keep nothing in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def noise_band(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four instruments made of white noise, the hardest source to tune."""
    folder = tmp_path_factory.mktemp("band")
    for role in ROLES:
        build_instrument(request(noise(), role), Resonator(), folder / role)
    return folder


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    """The run that `make demo` makes, without a server: a real photograph to a song."""
    out = tmp_path_factory.mktemp("runs") / "demo"
    return out, make(MakeOptions(picture=demo_picture(), out=out, song=SongOptions("greensleeves")))
