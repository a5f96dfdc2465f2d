"""The reports that the interface shows: what is in them, how small they are, and that names in them are only names."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import Up, small_picture

from flows.deployed import artifacts
from flows.deployed.artifacts import Progress, batch_markdown, escape, picture_uri


@pytest.fixture(scope="module")
def finished(up: Up) -> dict[str, Any]:
    """A finished run of the deployment with all its artifacts."""
    small_picture(up.workspace / "delta.png", seed=4)
    run = up.start("picture-to-song", picture="delta.png", options={"preview_s": 1, "compact": True})
    assert up.wait(run)["state_type"] == "COMPLETED"
    return {"id": run, **up.artifacts(run)}


def test_a_run_has_one_report_with_everything_a_musician_asks(up: Up, finished: dict[str, Any]) -> None:
    report = finished["song"]["data"]
    assert "# delta.png: canon.mid" in report
    for part in ("## Band", "## Sounds of the picture", "## Made by", "LUFS", "dBTP", "in tune, median", "47 drums"):
        assert part in report, part
    for role in ("keyboard", "bass", "guitar", "drums"):
        assert re.search(rf"^\| {role} \| \w", report, re.MULTILINE), role
    assert "vision embedded, effects foley, timbre resonator, seed 0" in report


def test_its_links_open_the_page_the_song_and_the_stems(up: Up, finished: dict[str, Any]) -> None:
    links = re.findall(r"\]\((http[^)]+)\)", finished["song"]["data"])
    assert len(links) >= 7
    for link in links:
        assert link.startswith(up.player)
        with urllib.request.urlopen(link, timeout=10) as answer:
            assert answer.status == 200


def test_its_picture_is_inside_and_small(finished: dict[str, Any]) -> None:
    (uri,) = re.findall(r"!\[[^]]*\]\((data:image/jpeg;base64,[^)]+)\)", finished["song"]["data"])
    assert 500 < len(uri) <= 30_000


def test_long_stages_show_how_far_they_are(finished: dict[str, Any]) -> None:
    effects = finished["effects"]
    assert (effects["type"], effects["data"]) == ("progress", 100)
    done, of = re.fullmatch(r"effects: (\d+) of (\d+)", effects["description"]).groups()  # type: ignore[union-attr]
    assert done == of
    assert finished["instruments"]["description"] == "instruments: 4 of 4"


def test_even_noise_fits_into_the_limit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (768, 1024, 3), dtype=np.uint8)).save(tmp_path / "noise.jpg", quality=95)
    assert len(picture_uri(tmp_path / "noise.jpg")) <= artifacts.PICTURE_LIMIT_BYTES


@dataclass(frozen=True)
class Outcome:
    picture: Path
    song: Path | None = None
    error: str | None = None
    elapsed_s: float = 1.0
    cached: tuple[str, ...] = ()


def test_a_batch_s_report_has_the_failures_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHOTONE_PLAYER_URL", "http://127.0.0.1:4280")
    monkeypatch.setenv("PHOTONE_RUNS", str(tmp_path))
    report = batch_markdown(
        [
            Outcome(Path("a.png"), tmp_path / "a b" / "song.wav", cached=("scene",)),
            Outcome(Path("b.png"), error="b.png: damaged | cut off"),
            Outcome(Path("c.png"), Path("/elsewhere/song.wav")),
        ]
    )
    assert "**2 songs, 1 failed**, 3 s in all, 1 stages kept" in report
    assert report.index("b.png") < report.index("a.png") < report.index("c.png")
    assert "[song](http://127.0.0.1:4280/runs/a%20b/song.wav)" in report
    assert "| b.png | b.png: damaged &#124; cut off | 1.0 s |" in report
    assert "/elsewhere/song.wav" in report
    assert "](/elsewhere" not in report


def test_names_are_only_names() -> None:
    text = escape("<img src=x onerror=alert(1)> [a](javascript:b) `c` | *d*\n# e")
    for sign in "<>[]`|*":
        assert sign not in text
    assert "\n" not in text


def test_progress_sends_the_latest_and_not_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    async def create(share: float, key: str, description: str) -> str:
        await asyncio.sleep(0.01)
        sent.append(description)
        return key

    async def update(made: str, share: float, description: str) -> None:
        await asyncio.sleep(0.01)
        sent.append(description)

    monkeypatch.setattr(artifacts, "acreate_progress_artifact", create)
    monkeypatch.setattr(artifacts, "aupdate_progress_artifact", update)

    async def work() -> None:
        progress = Progress()
        for done in range(1, 200):
            progress.told("effects", f"effects: {done} of 200")
        progress.told("effects", "effects: not a number")
        await asyncio.sleep(0.05)
        await progress.finish("effects")
        await progress.finish("scene")  # told nothing

    asyncio.run(work())
    assert sent == ["effects: 199 of 200", "effects: 200 of 200"]
