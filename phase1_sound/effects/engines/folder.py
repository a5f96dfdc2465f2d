"""`folder`: the user's own recordings, found by the words in their names or by a small table."""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from core.audio import Audio, read_audio
from core.engines import EngineInfo, Readiness, read_options
from core.errors import UsageError
from core.manifest import sha256_file, sha256_json
from phase1_sound.effects.protocol import EffectRequest, EffectResult

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"})
MAP_FILES = ("recordings.toml", "recordings.json")

# Words that say nothing of what is heard.
_EMPTY_WORDS = (
    "a an the of on in at by with and or from to into onto through against over under its "
    "sound sounds effect effects sfx fx recording recorded record take final mono stereo edit loop raw wav"
)
_EMPTY = frozenset(_EMPTY_WORDS.split())
_STRANGE_WORD = 0.5  # what a word of a name counts against a variant that it has nothing to do with
_SHOWN = 8


@dataclass(frozen=True)
class FolderOptions:
    """Where the recordings lie and what is done where one is missing.

    `map` is a TOML or JSON table {"source: play method" or "source": file or list of files}; recordings.toml or
    recordings.json of the folder by default. `missing=skip` leaves variants without a recording out, `longest` is the number
    of seconds of a recording that are used.
    """

    folder: str
    map: str = ""
    missing: Literal["error", "skip"] = "error"
    longest: Annotated[float, Field(ge=0.1, le=600.0)] = 20.0


@dataclass(frozen=True)
class Recording:
    """Recordings of one thing: files whose names have the same words are takes of it."""

    words: frozenset[str]
    takes: tuple[Path, ...]


@dataclass(frozen=True)
class Match:
    """What was found for a request: its takes and how, or why there is none."""

    takes: tuple[Path, ...] = ()
    how: str = ""
    problem: str = ""


class Folder:
    """Makes effects out of recordings. Of several takes the seed chooses one.

    Raises:
        UsageError: there is no such folder, it holds no recordings, or the table is wrong.
    """

    def __init__(self, argument: str) -> None:
        self.options = _read(argument)
        self._folder = Path(self.options.folder)
        self._recordings = recordings(self._folder)
        self._table = _table(self._folder, self.options.map)
        self.info = EngineInfo("folder", "1", None, self._recorded())

    def _recorded(self) -> dict[str, Any]:
        files = [take for one in self._recordings for take in one.takes]
        tables = [take for takes in self._table.values() for take in takes]
        return {
            "recordings_sha256": sha256_json({path.name: _sha256(path) for path in sorted({*files, *tables})}),
            "table_sha256": sha256_json({key: [take.name for take in takes] for key, takes in self._table.items()}),
            "missing": self.options.missing,
            "longest": self.options.longest,
        }

    def matches(self, requests: Sequence[EffectRequest]) -> list[Match]:
        """For each request the recordings that fit it: the table's, else those whose names say most of it."""
        variants = [(words_of(one.source), words_of(f"{one.source} {one.play_method}")) for one in requests]
        named = by_names(self._recordings, variants)
        return [self._from_table(one) or found for one, found in zip(requests, named, strict=True)]

    def _from_table(self, request: EffectRequest) -> Match | None:
        for key in (f"{request.source}: {request.play_method}", request.source):
            takes = self._table.get(_key(key))
            if takes:
                return Match(takes, "table")
        return None

    def declined(self, requests: Sequence[EffectRequest]) -> list[bool]:
        """The requests without a recording, where the user said `missing=skip`.

        Raises:
            UsageError: there are some, and the user did not.
        """
        missing = {place: match.problem for place, match in enumerate(self.matches(requests)) if not match.takes}
        if missing and self.options.missing == "error":
            told = [
                f"{requests[place].source}: {requests[place].play_method} ({why})" for place, why in missing.items()
            ]
            more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
            raise UsageError(
                f"{self._folder}: no recording for {len(told)} of {len(requests)} effects: {'; '.join(told[:_SHOWN])}{more}. "
                f"Name files after source and play method, list them in {MAP_FILES[0]}, or take ?missing=skip"
            )
        return [place in missing for place in range(len(requests))]

    def make(self, requests: Sequence[EffectRequest]) -> Iterator[EffectResult]:
        """Give each request its recording, at the recording's own rate, at most `longest` seconds of it.

        Raises:
            UsageError: a request has no recording.
            AudioError: a recording cannot be read.
        """
        for request, match in zip(requests, self.matches(requests), strict=True):
            if not match.takes:
                self.declined([request])
                raise UsageError(f"{self._folder}: no recording for {request.source}: {request.play_method}")
            path = match.takes[request.seed % len(match.takes)]
            audio = read_audio(path)
            kept = audio.samples[:, : round(self.options.longest * audio.sample_rate)]
            recipe: dict[str, Any] = {"recording": path.name, "sha256": _sha256(path), "found_by": match.how}
            if kept.shape[1] < audio.frames:
                recipe["cut"] = f"the first {self.options.longest:g} of {audio.duration_s:.1f} s"
            yield EffectResult(Audio(kept, audio.sample_rate), recipe)

    @staticmethod
    def readiness(argument: str) -> Readiness:
        """Whether the folder holds recordings; without an argument there is nothing to say."""
        if not argument:
            return Readiness()
        try:
            engine = Folder(argument)
        except UsageError as error:
            return Readiness(str(error))
        return Readiness(None, f"{sum(len(one.takes) for one in engine._recordings)} recordings")


def _read(argument: str) -> FolderOptions:
    options = read_options(argument, FolderOptions, "folder", "folder")
    if not Path(options.folder).is_dir():
        raise UsageError(f"{options.folder}: no such folder of recordings: check the path after folder:")
    return options


def recordings(folder: Path) -> list[Recording]:
    """The recordings below a folder, takes of one thing together.

    Raises:
        UsageError: there are none.
    """
    groups: dict[frozenset[str], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            groups.setdefault(words_of(path.stem), []).append(path)
    if not groups:
        raise UsageError(f"{folder}: holds no recordings ({', '.join(sorted(SUFFIXES))}): choose another folder")
    return [Recording(words, tuple(takes)) for words, takes in groups.items()]


def by_names(found: Sequence[Recording], variants: Sequence[tuple[frozenset[str], frozenset[str]]]) -> list[Match]:
    """For each variant (words of its source, words of source and play method) the recording whose name fits it best.

    A word that name and variant share counts 1, another word of the name -0.5. A recording serves the variants that it fits
    best and no other: "cup tapped" never stands in for "cup scraped", "rain" serves all variants of rain alike.
    """
    scores = [[_score(one.words, *variant) for one in found] for variant in variants]
    best = [max((row[place] for row in scores), default=0.0) for place in range(len(found))]
    return [_best(found, [score if score == best[place] else 0.0 for place, score in enumerate(row)]) for row in scores]


def _score(name: frozenset[str], source: frozenset[str], variant: frozenset[str]) -> float:
    shared = name & variant
    # A play method alone ("tapped") is not said of this source.
    if not shared & source:
        return 0.0
    return max(0.0, len(shared) - _STRANGE_WORD * len(name - variant))


def _best(found: Sequence[Recording], scores: Sequence[float]) -> Match:
    top = max(scores, default=0.0)
    if top <= 0:
        return Match(problem="none found")
    places = [place for place, score in enumerate(scores) if score == top]
    if len(places) > 1:
        names = " or ".join(found[place].takes[0].name for place in places)
        return Match(problem=f"{names}?")
    return Match(found[places[0]].takes, "name")


def words_of(text: str) -> frozenset[str]:
    """The telling words of a name, without accents, numbers and endings: "02_Dripping taps (2).wav" -> drip, tap."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or text
    words = re.findall(r"[^\W\d_]+", plain.lower())
    return frozenset(_stem(word) for word in words if word not in _EMPTY)


def _stem(word: str) -> str:
    """A word without the endings of English verbs and plurals: tapped, tapping, taps -> tap; scrape, scraped -> scrap."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word


def _table(folder: Path, name: str) -> Mapping[str, tuple[Path, ...]]:
    """The table of recordings, files by key in normal form.

    Raises:
        UsageError: it cannot be read, or names a file that is not there.
    """
    path = Path(name) if name else next((folder / each for each in MAP_FILES if (folder / each).is_file()), None)
    if path is None:
        return {}
    value = _read_table(path)
    return {_key(key): tuple(_listed(path, folder, key, files)) for key, files in value.items()}


def _read_table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        value = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:  # both parsers' errors are ValueErrors
        raise UsageError(f'{path}: cannot be read ({error}): write "source: play method" = "file.wav"') from error
    if not isinstance(value, dict):
        raise UsageError(f'{path}: is no table: write "source: play method" = "file.wav"')
    return value


def _listed(path: Path, folder: Path, key: str, files: Any) -> Iterator[Path]:
    names = files if isinstance(files, list) else [files]
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path}: {key}: expected the name of a file, or a list of names")
    for name in names:
        if not (folder / name).is_file():
            raise UsageError(f"{path}: {key}: {folder / name} is no file: correct its name")
        yield folder / name


def _key(text: str) -> str:
    return " ".join(re.findall(r"[\w:]+", text.lower().replace(":", " : ")))


def _sha256(path: Path) -> str:
    status = path.stat()
    return _computed_sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _computed_sha256(path: Path, size: int, mtime_ns: int) -> str:
    return sha256_file(path)
