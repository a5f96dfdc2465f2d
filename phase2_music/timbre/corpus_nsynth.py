"""Notes out of NSynth (Engel et al. 2017, CC BY 4.0): four-second notes of a thousand instruments at 16 kHz.

A part of NSynth is a folder with examples.json and audio/*.wav. Its own split stands: no instrument of `train` is in `valid` or
`test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from core.audio import Audio, read_audio
from core.errors import EngineError, UsageError
from core.manifest import sha256_bytes, sha256_file
from core.seeds import generator
from phase2_music.timbre.corpus_source import CorpusOptions, Origin, Take
from schemas.document import read_json
from schemas.timbre import SPLITS, CorpusProgram, Split

_LICENCE = "CC BY 4.0 (NSynth, Engel et al. 2017)"
_INDEX = "examples.json"


class NSynth:
    """One family of NSynth."""

    def __init__(self, options: CorpusOptions) -> None:
        if options.nsynth is None:
            raise UsageError(
                "NSynth: name the folder that holds nsynth-train, nsynth-valid and nsynth-test with --nsynth"
            )
        self._options = options
        self._parts = find_parts(options.nsynth)
        found = {split: _family(folder, options.role) for split, folder in self._parts.items()}
        chosen = {split: _chosen(notes, options, split) for split, notes in found.items()}
        self.takes = [_take(name, note, split) for split, notes in chosen.items() for name, note in notes.items()]
        if not self.takes:
            raise UsageError(f"{options.nsynth}: has no note of the family {options.role}: choose another folder")
        self._folders = {name: self._parts[split] for split, notes in chosen.items() for name in notes}
        self.origin = self._origin(chosen)

    def sounds(self, takes: Sequence[Take]) -> Iterator[Audio]:
        """Read one instrument's takes.

        Raises:
            AudioError: a file is missing or damaged.
        """
        for take in takes:
            yield read_audio(self._folders[take.name] / "audio" / f"{take.name}.wav")

    def _origin(self, chosen: Mapping[Split, Mapping[str, Any]]) -> Origin:
        known = {take.program for take in self.takes if take.split != "test"}
        names = {note["instrument"]: note["instrument_str"] for note in chain(*(n.values() for n in chosen.values()))}
        hashes = "".join(sha256_file(folder / _INDEX) for folder in self._parts.values())
        return Origin(
            name=", ".join(folder.name for folder in self._parts.values()),
            sha256=sha256_bytes(hashes.encode()),
            licence=_LICENCE,
            programs=tuple(
                CorpusProgram(program=number, name=name, held_out=number not in known)
                for number, name in sorted(names.items())
            ),
        )


def find_parts(folder: Path) -> dict[Split, Path]:
    """The folders of NSynth's splits in a folder, which may be one of them itself (nsynth-test alone, say).

    Raises:
        EngineError: there is none.
    """
    around = [folder, *(sorted(folder.iterdir()) if folder.is_dir() else [])]
    parts = {
        split: path for split in SPLITS for path in around if path.name.endswith(split) and (path / _INDEX).is_file()
    }
    if not parts:
        raise EngineError(
            f"{folder}: holds no nsynth-train, nsynth-valid or nsynth-test with {_INDEX} and audio/: unpack "
            "NSynth's json/wav archives there"
        )
    return parts


def _family(folder: Path, family: str) -> dict[str, Any]:
    """The notes of one family in a part, by name."""
    examples = read_json(folder / _INDEX, EngineError)
    wanted = ("pitch", "velocity", "instrument", "instrument_str", "instrument_family_str")
    for name, note in examples.items():
        if any(key not in note for key in wanted):
            raise EngineError(f"{folder / _INDEX}: {name} lacks one of {', '.join(wanted)}: unpack NSynth again")
    return {name: note for name, note in examples.items() if note["instrument_family_str"] == family}


def _chosen(notes: Mapping[str, Any], options: CorpusOptions, split: str) -> dict[str, Any]:
    """All notes, or `limit` of them, in the order of their names."""
    names = sorted(notes)
    if options.limit and len(names) > options.limit:
        picks = generator(options.seed, "nsynth", split).permutation(len(names))[: options.limit]
        names = sorted(names[pick] for pick in picks)
    return {name: notes[name] for name in names}


def _take(name: str, note: Mapping[str, Any], split: Split) -> Take:
    return Take(name, int(note["pitch"]), int(note["velocity"]), int(note["instrument"]), split)
