"""Stems that are kept: found again whole or not at all, the oldest gone first, never from under another run."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from midi_files import event, note, write
from test_conformance import band, held  # noqa: F401 - a fixture

from core.errors import OutputError
from core.manifest import sha256_file
from phase2_music.rendering import mixing, synth
from phase2_music.rendering.metering import BAND_HZ, StemMeasure
from phase2_music.rendering.render import Band, RenderOptions, raw_stems, render_song
from phase2_music.rendering.score import read_score
from phase2_music.rendering.stem_cache import StemCache
from phase2_music.rendering.synth import StemRequest
from schemas.document import ROLES, Role

MEASURE = StemMeasure(np.ones((1, len(BAND_HZ)), dtype=np.float32))


def put(cache: StemCache, key: str, data: bytes = b"x" * 100, age_s: float = 0.0) -> Path:
    cache.place(key).write_bytes(data)
    kept = cache.keep(key, MEASURE)
    then = time.time() - age_s
    os.utime(kept, (then, then))
    return kept


@pytest.fixture
def cache(tmp_path: Path) -> StemCache:
    made = StemCache(tmp_path / "stems", max_bytes=250)
    assert made.usable()
    return made


def test_a_stem_is_found_by_its_key_and_counts_as_used(cache: StemCache) -> None:
    kept = put(cache, "a", age_s=1000)
    assert cache.find("a") == kept
    assert kept.read_bytes() == b"x" * 100
    assert time.time() - kept.stat().st_mtime < 60
    assert cache.find("b") is None


def test_a_stem_that_a_crash_cut_short_is_not_taken_for_whole(cache: StemCache) -> None:
    kept = put(cache, "a")
    for size in (99, 0, 101):
        os.truncate(kept, size)
        assert cache.find("a") is None


def test_what_was_measured_of_a_stem_is_kept_with_it(cache: StemCache) -> None:
    kept = put(cache, "a")
    measure = cache.measure(kept)
    assert measure is not None
    np.testing.assert_array_equal(measure.powers, MEASURE.powers)


@pytest.mark.parametrize("damage", ["lost", "empty", "short", "another stem's", "not finite"])
def test_a_measure_that_is_damaged_is_none(cache: StemCache, damage: str) -> None:
    kept = put(cache, "a")
    file = kept.with_suffix(".npy")
    if damage == "lost":
        file.unlink()
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "short":
        os.truncate(file, file.stat().st_size - 4)
    elif damage == "another stem's":
        np.save(file, np.ones((2, len(BAND_HZ)), dtype=np.float32))
    else:
        np.save(file, np.full((1, len(BAND_HZ)), np.nan, dtype=np.float32))
    assert cache.measure(kept) is None


def test_what_was_used_least_lately_goes_first(cache: StemCache) -> None:
    stems = {key: put(cache, key, age_s=age) for key, age in (("old", 9000), ("older", 9900), ("new", 1000))}
    cache.tidy([])
    assert [key for key, path in stems.items() if path.exists()] == ["old", "new"]
    assert cache.find("older") is None
    assert sorted(path.name[:3] for path in cache.folder.glob("*.npy")) == ["new", "old"]


def test_what_is_in_use_here_or_elsewhere_stays(cache: StemCache) -> None:
    mine, others, idle = put(cache, "mine", age_s=9000), put(cache, "others", age_s=30), put(cache, "idle", age_s=8000)
    put(cache, "big", b"x" * 250)
    cache.tidy([mine])
    assert mine.exists()
    assert others.exists()
    assert not idle.exists()


def test_leftovers_of_stopped_runs_go_after_a_day_and_count_for_nothing(cache: StemCache) -> None:
    for key, age_s in (("young", 3600), ("old", 90000)):
        cache.place(key).write_bytes(b"x" * 1000)
        os.utime(cache.place(key), (time.time() - age_s,) * 2)
    kept = put(cache, "a", age_s=1000)
    cache.tidy([])
    assert kept.exists()
    assert cache.place("young").exists()
    assert not cache.place("old").exists()


def test_threads_that_render_the_same_stem_do_not_write_into_one_file(cache: StemCache) -> None:
    together = threading.Barrier(8)  # each waits for all, so that no thread does the work of two
    with ThreadPoolExecutor(8) as pool:
        places = set(pool.map(lambda _: (together.wait(30), cache.place("a"))[1], range(8)))
    assert len(places) == 8


def test_a_folder_that_went_away_is_said_in_one_line(cache: StemCache) -> None:
    with pytest.raises(OutputError, match="stems") as caught:
        cache.keep("never written", MEASURE)
    assert "\n" not in str(caught.value)


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert not StemCache(tmp_path / "file" / "stems").usable()


# Through the renderer

Rendered = dict[Role, Path]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Role]:
    """The roles that were rendered, in the order of their names."""
    roles: list[Role] = []
    original = synth.render_stem

    def counted(request: StemRequest) -> object:
        roles.append(request.role)
        return original(request)

    monkeypatch.setattr(synth, "render_stem", counted)
    return roles


def four(extra: bytes = b"", velocity: int = 90) -> list[bytes]:
    programs = ((0, 0), (1, 33), (2, 25))
    melodic = [event(0, 0xC0 | c, p) + note(50 + c, 60, channel=c, velocity=velocity) for c, p in programs]
    return [melodic[0], melodic[1] + extra, melodic[2], note(38, 60, channel=9)]


def test_stems_come_in_the_scores_order_whatever_was_kept(band: Band, tmp_path: Path) -> None:  # noqa: F811
    """Stems are added up in that order, and another order rounds otherwise: other bytes."""
    cache = StemCache(tmp_path / "stems")
    shas = {role: sha256_file(path) for role, path in band.sf2.items()}
    score = read_score(write(tmp_path / "a.mid", *four()))
    paths, _ = raw_stems(score, band, shas, RenderOptions(), tmp_path, cache)
    for lost in score.roles:
        paths[lost].unlink()
        paths, _ = raw_stems(score, band, shas, RenderOptions(), tmp_path, cache)
        assert list(paths) == list(score.roles)


def test_a_changed_score_renders_only_the_roles_that_changed(
    band: Band, tmp_path: Path, rendered: list[Role]  # noqa: F811
) -> None:  # fmt: skip
    cache = StemCache(tmp_path / "stems")
    shas = {role: sha256_file(path) for role, path in band.sf2.items()}

    def render(tracks: list[bytes], instruments: dict[Role, str] = shas, **options: bool) -> dict[Role, bytes]:
        rendered.clear()
        score = read_score(write(tmp_path / "a.mid", *tracks))
        paths, _ = raw_stems(score, band, instruments, RenderOptions(**options), tmp_path, cache)
        rendered.sort()
        return {role: path.read_bytes() for role, path in paths.items()}

    first = render(four())
    assert rendered == sorted(ROLES)
    assert render(four()) == first
    assert rendered == []
    longer = render(four(note(45, 60, channel=1, velocity=80)))
    assert rendered == ["bass"]
    assert longer["bass"] != first["bass"]
    render(four())
    assert rendered == []
    render(four(), {**shas, "guitar": "0" * 64})
    assert rendered == ["guitar"]
    damaged = next(path for path in (tmp_path / "stems").iterdir() if path.read_bytes() == first["bass"])
    os.truncate(damaged, 64)
    assert render(four()) == first
    assert rendered == ["bass"]


def test_stems_that_were_kept_are_not_measured_again(
    band: Band, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    cache = StemCache(tmp_path / "stems")
    score = read_score(write(tmp_path / "a.mid", *four()))
    first = render_song(score, band, tmp_path / "first", RenderOptions(), cache)
    again = render_song(score, band, tmp_path / "measured again", RenderOptions())
    monkeypatch.setattr(mixing, "measure_stem", lambda path: pytest.fail(f"{path.name} was measured again"))
    kept = render_song(score, band, tmp_path / "kept", RenderOptions(), cache)
    assert kept.sha256 == first.sha256 == again.sha256


def test_runs_side_by_side_on_one_cache_give_the_same_stems(band: Band, tmp_path: Path) -> None:  # noqa: F811
    cache = StemCache(tmp_path / "stems")
    score = read_score(write(tmp_path / "a.mid", held(60), held(64)))
    with ThreadPoolExecutor(4) as pool:
        runs = list(
            pool.map(
                lambda _: raw_stems(score, band, {"keyboard": "0" * 64}, RenderOptions(), tmp_path, cache), range(4)
            )
        )
    stems = [np.fromfile(paths["keyboard"], dtype=np.float32) for paths, _ in runs]
    assert all(np.array_equal(stem, stems[0]) for stem in stems)
    assert np.abs(stems[0]).max() > 0.01
