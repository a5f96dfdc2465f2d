"""`make bench`: what playing a score costs, each figure beside a peer that was measured in the same run.

Every command is a process of its own, so that CPU seconds and peak memory are the operating system's. Peers: FluidSynth's
command line on the same SF2 samples and the same MIDI file, as it comes (with its reverb and chorus) beside a song with its
room, and both dry; pretty_midi's `.fluidsynth()`; librosa's pitch_shift.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import mido

from core.audio import SAMPLE_RATE
from core.errors import EngineError
from core.manifest import to_json, write_text
from core.seeds import generator
from flows.demo import demo_picture
from phase2_music.scores import bundled_scores

_TICKS = 480
_BPM = 120
_PREVIEW_S = 10.0
_MEGABYTE = 2**20

# General MIDI programs that our set and its peers both have: each of the sixteen channels plays one of the four roles.
_PROGRAMS = (0, 33, 25)
_RANGES = {0: (40, 90), 33: (30, 54), 25: (45, 84)}


@dataclass(frozen=True)
class Cost:
    """What a process took: CPU and wall seconds, peak resident memory in bytes."""

    cpu_s: float
    wall_s: float
    memory: int


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, the peer's value, ours over it, and the target (of the ratio where there is a
    peer)."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    at_most: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_most is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.at_most


def beside(
    name: str, unit: str, ours: Sequence[float], peer: str, theirs: Sequence[float], at_most: float | None = None
) -> Figure:
    """A figure of rounds in which a peer was measured right after us: medians, of the ratios too."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Figure(name, median(ours), unit, peer, median(theirs), median(ratios), at_most)


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command and say what it took.

    Raises:
        EngineError: it failed; the message holds the end of what it said.
    """
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=said, stderr=said, env={**os.environ, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            text = said.read().decode(errors="replace")[-300:]
            raise EngineError(f"{command[0]} ended with status {process.returncode}: {' '.join(text.split())}")
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss * 1024)


def best(command: Sequence[str | Path], environment: Mapping[str, str] | None = None, times: int = 5) -> Cost:
    """The least that a command took in several runs: what other work on the machine adds is no property of the command."""
    costs = [measure(command, environment) for _ in range(times)]
    return Cost(min(c.cpu_s for c in costs), min(c.wall_s for c in costs), max(c.memory for c in costs))


def dense_score(path: Path, seconds: float, notes_per_second: float = 50.0) -> Path:
    """Write a score of sixteen instruments with pedal, bends and controllers; the same bytes each time."""
    rng = generator(0, "bench")
    midi = mido.MidiFile(ticks_per_beat=_TICKS)
    midi.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(_BPM))]))
    ticks_a_second = _TICKS * _BPM / 60
    for channel in range(16):
        events: list[tuple[int, int, mido.Message]] = []
        program = None if channel == 9 else _PROGRAMS[channel % 3]
        low, high = (36, 52) if program is None else _RANGES[program]
        for _ in range(round(seconds * notes_per_second / 16)):
            start = round(float(rng.uniform(0, seconds - 1)) * ticks_a_second)
            length = round(float(rng.uniform(0.1, 0.9)) * ticks_a_second)
            key, velocity = int(rng.integers(low, high)), int(rng.integers(30, 120))
            events.append((start, 1, mido.Message("note_on", channel=channel, note=key, velocity=velocity)))
            events.append((start + length, 0, mido.Message("note_off", channel=channel, note=key)))
        for second in range(0, int(seconds), 3):
            at, value = round(second * ticks_a_second), int(rng.integers(60, 127))
            events.append((at, 2, mido.Message("control_change", channel=channel, control=11, value=value)))
            events.append((at, 2, mido.Message("pitchwheel", channel=channel, pitch=int(rng.integers(-500, 500)))))
        midi.tracks.append(_track(channel, program, events))
    midi.save(path)
    return path


def _track(channel: int, program: int | None, events: list[tuple[int, int, mido.Message]]) -> mido.MidiTrack:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=f"Part {channel + 1}")])
    if program is not None:
        track.append(mido.Message("program_change", channel=channel, program=program))
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track


def photone(*arguments: str | Path) -> list[str | Path]:
    """The command line in a process of its own."""
    return [sys.executable, "-m", "flows.cli", *arguments]


@dataclass(frozen=True)
class Bench:
    """Where the bench works: a run with its band, the same band as one SF2, and a folder for what is made.

    Stems are not kept between runs, except where a figure is about that.
    """

    run: Path
    sf2: Path
    folder: Path

    def swap(self, score: str | Path, *more: str) -> Cost:
        """Play a score with the run's band, nothing kept from before."""
        shutil.rmtree(self.folder / "song", ignore_errors=True)
        return measure(_swap(self, score, "song", *more), _NO_CACHE)

    def fluidsynth(self, score: Path, *, dry: bool) -> Cost:
        """FluidSynth's command line on the same samples, to a 16-bit file; dry without its reverb and chorus."""
        program = shutil.which("fluidsynth")
        if program is None:
            raise EngineError("fluidsynth, the peer, is not installed: run `apt-get install fluidsynth`")
        out = self.folder / "peer.wav"
        effects = ("-R", "0", "-C", "0") if dry else ()
        return measure([program, "-ni", *effects, "-r", "44100", "-F", out, self.sf2, score])

    def pretty_midi(self, score: Path) -> Cost:
        """pretty_midi's rendering of the same, the whole song in memory."""
        code = "import sys, pretty_midi; pretty_midi.PrettyMIDI(sys.argv[1]).fluidsynth(44100, sys.argv[2])"
        return measure([sys.executable, "-c", code, score, self.sf2])


# A cache that cannot be written to: every stem is rendered.
_NO_CACHE = {"XDG_CACHE_HOME": os.devnull}


def prepare(folder: Path) -> Bench:
    """Make the demo's band."""
    run, sf2 = folder / "run", folder / "band.sf2"
    measure(photone("make", demo_picture(), "--score", "greensleeves", "--out", run))
    # Not here: a command's peak memory is counted from that of the process which starts it.
    measure(photone("set", run / "instruments", "--out", sf2))
    return Bench(run, sf2, folder)


def playing(bench: Bench, name: str, score: Path, *, rounds: int, dense: bool = False) -> list[Figure]:
    """CPU, wall and memory of one score against FluidSynth's command line, in turn: a machine's pace changes within minutes.

    The targets of the ratios are for a dense score.
    """
    figures, memory = [], 0.0
    for dry in (False, True) if dense else (False,):
        turns = [(bench.swap(score, *["--dry"] * dry), bench.fluidsynth(score, dry=dry)) for _ in range(rounds)]
        ours, peers = zip(*turns, strict=True)
        memory = max(memory, *(cost.memory / _MEGABYTE for cost in ours))
        ending, line = (", both dry", "fluidsynth -R 0 -C 0") if dry else ("", "fluidsynth command line")
        cpu, wall = f"swap, CPU: {name}{ending}", f"swap, wall: {name}{ending}"
        figures += [
            beside(cpu, "s", [c.cpu_s for c in ours], line, [c.cpu_s for c in peers], 1.3 if dense else None),
            beside(wall, "s", [c.wall_s for c in ours], line, [c.wall_s for c in peers], 0.8 if dense else None),
        ]
    figures.append(Figure(f"swap, peak memory: {name}", memory, "MB", at_most=250.0))
    if dense:
        library, peer = bench.pretty_midi(score), "pretty_midi .fluidsynth()"
        figures += [
            beside(f"swap, CPU: {name}", "s", [ours[-1].cpu_s], peer, [library.cpu_s]),
            beside(f"swap, peak memory: {name}", "MB", [memory], peer, [library.memory / _MEGABYTE]),
        ]
    return figures


def answering(bench: Bench, score: str) -> list[Figure]:
    """How soon a swap answers: its imports, a preview, and the same score again with one role changed."""
    nothing = best([sys.executable, "-c", "pass"])
    imported = best([sys.executable, "-c", "import flows.cli; flows.cli.start_quickly(); import flows.runs.songs"])
    preview_s = min(bench.swap(score, "--preview", str(_PREVIEW_S)).wall_s for _ in range(5))
    kept = {"XDG_CACHE_HOME": str(bench.folder / "cache")}
    first = measure(_swap(bench, score, "kept"), kept)
    changed = measure(
        _swap(bench, _softer_guitar(bundled_scores()[score].path, bench.folder / "softer.mid"), "kept"), kept
    )
    return [
        Figure("imports of a swap, wall", imported.wall_s - nothing.wall_s, "s", at_most=0.5),
        Figure(f"preview of {_PREVIEW_S:.0f} s from process start, wall", preview_s, "s", at_most=1.0),
        beside(f"{score} again, another guitar part, wall", "s", [changed.wall_s], "all roles", [first.wall_s]),
    ]


def _softer_guitar(score: Path, out: Path) -> Path:
    """A bundled score whose guitar alone plays otherwise."""
    midi = mido.MidiFile(score)
    for message in next(track for track in midi.tracks if track.name == "Guitar"):
        if message.type == "note_on" and message.velocity:
            message.velocity = max(1, message.velocity - 10)
    midi.save(out)
    return out


def _swap(bench: Bench, score: str | Path, name: str, *more: str) -> list[str | Path]:
    return photone("swap", bench.run, "--score", score, "--out", bench.folder / name, *more)


def building(bench: Bench) -> list[Figure]:
    """CPU of building an instrument out of an effect, against librosa's pitch_shift of one sample to the same keys."""
    effect = min((bench.run / "effects").glob("*.wav"))
    code = (
        "import sys; from pathlib import Path; from core.audio import read_audio;"
        "from flows.evaluation.peer import shifted_notes; from phase2_music.instruments.roles import ROLE_SPECS;"
        "list(shifted_notes(read_audio(Path(sys.argv[1])), ROLE_SPECS['keyboard'].root_keys()))"
    )
    ours = best(photone("instrument", effect, "--role", "keyboard", "--out", bench.folder / "keyboard"), times=2)
    peer = best([sys.executable, "-c", code, effect], times=2)
    name, library = "a keyboard out of an effect, CPU", "librosa pitch_shift, one layer"
    return [beside(name, "s", [ours.cpu_s], library, [peer.cpu_s])]


_UNTRAINED = """
import sys
from pathlib import Path
from phase2_music.timbre.train import export, options
from phase2_music.timbre.train.model import build
small = options.preset("small")
export.write_onnx(export.Model(small, build(small, 44100).rave.state_dict(), 44100), Path(sys.argv[1]))
"""


def colouring(folder: Path) -> list[Figure]:
    """CPU of a timbre model for each second of sound, on one core: of the models that come along, else of one as large as they
    would be, untrained, since weights cost the same whatever they hold."""
    # Not before the other figures, as in `prepare`.
    from flows.evaluation.timbre import TARGETS, real_time_factor
    from phase2_music.timbre import shipped
    from phase2_music.timbre.engines.rave.model import TimbreModel
    from phase2_music.timbre.engines.rave.models import find_models
    from phase2_music.timbre.engines.rave.network import load_network

    if any(shipped.SHIPPED.glob(f"*/{shipped.CARD}")):
        models = {f"the shipped {role} model": TimbreModel.load(found) for role, found in find_models("").items()}
    else:
        path = folder / "untrained.onnx"
        measure([sys.executable, "-c", _UNTRAINED, path])
        models = {"a `small` model, untrained": TimbreModel(load_network(path, SAMPLE_RATE, None))}
    return [
        Figure(f"real-time factor of {name}", real_time_factor(model), "", at_most=TARGETS["rtf"].limit)
        for name, model in models.items()
    ]


def run_bench(folder: Path) -> list[Figure]:
    """All figures; works in `folder`."""
    bench = prepare(folder)
    dense = dense_score(folder / "dense.mid", 192.0)
    long = dense_score(folder / "long.mid", 1800.0, 8.0)
    canon = bundled_scores()["canon"].path
    return [
        *playing(bench, "16 instruments, 9,600 notes, 192 s", dense, rounds=7, dense=True),
        *playing(bench, "30 minutes, 14,400 notes", long, rounds=1),
        *playing(bench, "canon, 1,061 notes, 141 s", canon, rounds=3),
        *answering(bench, "canon"),
        *building(bench),
        *colouring(folder),
    ]


def as_table(figures: Sequence[Figure]) -> str:
    """The figures as lines of text."""
    rows = []
    for figure in figures:
        peer = f"{figure.peer} {figure.peer_value:.2f} {figure.unit}" if figure.peer_value else ""
        ratio = f"x {figure.ratio:.2f}" if figure.ratio else ""
        target = "" if figure.at_most is None else f"<= {figure.at_most:g} {'ok' if figure.passed else 'MISSED'}"
        rows.append(f"{figure.name:48} {figure.value:8.2f} {figure.unit:3} {peer:46} {ratio:8} {target}".rstrip())
    return "\n".join(rows)


def main() -> None:
    """Print the table; write the figures as JSON where `--json FILE` says. Exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run_bench(Path(folder))
    print(as_table(figures))
    if options.json:
        values = [asdict(figure) | {"passed": figure.passed} for figure in figures]
        write_text(options.json, to_json(values))
    sys.exit(any(figure.passed is False for figure in figures))


if __name__ == "__main__":
    main()
