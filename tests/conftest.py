"""What several tests share: sounds, a built band, and one real run of the whole way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.audio import SAMPLE_RATE, Audio
from flows.demo import demo_picture
from flows.songs import Made, SongOptions
from flows.stages import MakeOptions, make
from phase2_music.instruments.build import InstrumentRequest, build_instrument
from phase2_music.timbre.engines.resonator import Resonator
from schemas.document import ROLES


def noise(seconds: float = 2.0, seed: int = 0) -> Audio:
    """White noise: nothing in it has a pitch."""
    rng = np.random.default_rng(seed)
    return Audio(0.1 * rng.standard_normal(round(seconds * SAMPLE_RATE)), SAMPLE_RATE)


def tone(f_hz: float, seconds: float = 2.0, decay: float = 0.5) -> Audio:
    """A decaying harmonic tone with a clear pitch."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * f_hz * k * t) / k for k in range(1, 12))
    return Audio(0.2 * wave * np.exp(-decay * t), SAMPLE_RATE)


def request(sound: Audio, role: str, **rest: object) -> InstrumentRequest:
    """A request with what does not matter filled in."""
    return InstrumentRequest(sound, "sound.wav", "0" * 64, "sound", role, **{"seed": 1, **rest})  # type: ignore[arg-type]


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
