"""index.html: a run as a page that works from disk, without a server and without a network."""

from __future__ import annotations

from html import escape
from pathlib import Path

from core.manifest import sha256_file, write_text
from schemas.document import ROLES
from schemas.effect import Effect, Effects
from schemas.instrument import Instrument
from schemas.run import Run
from schemas.scene import Scene, SoundSource
from schemas.song import Song

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1b19; --paper: #faf8f4; --line: #d9d3c7; --accent: #a4421c; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece7de; --paper: #191715; --line: #403a33; --accent: #f0936b; } }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1, h2 { line-height: 1.2; font-weight: 600; } h2 { margin-top: 2.5rem; }
figure { margin: 0; position: relative; } figure img { display: block; width: 100%; height: auto; border-radius: .4rem; }
.box { position: absolute; border: 2px solid #fff; outline: 1px solid #0008; border-radius: .2rem; }
.box span { background: #000a; color: #fff; padding: 0 .35rem; font-size: .8rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0;
  border-bottom: 1px solid var(--line); } audio { width: 100%; min-width: 11rem; height: 2.2rem; }
.wide { overflow-x: auto; } a { color: var(--accent); } .quiet { opacity: .75; font-size: .9rem; }
"""


def write_page(folder: Path, run: Run) -> None:
    """Write index.html of a finished run folder; links are relative."""
    scene = Scene.read(folder / "scene.json")
    effects = Effects.read(folder / "effects" / "effects.json")
    instruments = [Instrument.read(folder / "instruments" / role / "instrument.json") for role in ROLES]
    songs = current_songs(folder)
    name = run.picture.file if run.picture else folder.name
    parts = [
        f"<h1>{escape(name)}</h1><p>{escape(scene.scene_description)}</p><p>{escape(scene.mood_description)}</p>",
        _picture(scene),
        "<h2>Songs</h2>" + "".join(_song(path, song) for path, song in songs),
        "<h2>Band</h2>" + _band(run, instruments, effects.effects),
        "<h2>Effects</h2>" + _effects(effects.effects),
        "<h2>Made by</h2>" + _made_by(run),
    ]
    write_text(folder / "index.html", _document(name, "\n".join(parts)))


def current_songs(folder: Path) -> list[tuple[str, Song]]:
    """Songs of a run that were played by its present instruments, as (path relative to the run, document)."""
    present = {path.parent.name: sha256_file(path) for path in sorted((folder / "instruments").glob("*/*.sf2"))}
    found = []
    for path in sorted((folder / "songs").glob("*/song.json")):
        song = Song.read(path)
        if all(present.get(role) == sha256 for role, sha256 in song.instruments.items()):
            found.append((path.parent.relative_to(folder).as_posix(), song))
    return found


def _document(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · photone</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _audio(path: str, label: str) -> str:
    return f'<audio controls preload="none" src="{escape(path, quote=True)}" aria-label="{escape(label, quote=True)}"></audio>'


def _picture(scene: Scene) -> str:
    boxes = "".join(_box(source) for source in scene.sound_sources if source.box)
    return f'<figure><img src="picture.jpg" alt="{escape(scene.scene_description, quote=True)}">{boxes}</figure>'


def _box(source: SoundSource) -> str:
    assert source.box is not None
    x0, y0, x1, y1 = (100 * value for value in source.box)
    place = f"left:{x0:.2f}%;top:{y0:.2f}%;width:{x1 - x0:.2f}%;height:{y1 - y0:.2f}%"
    return f'<div class="box" style="{place}"><span>{escape(source.name)}</span></div>'


def _song(path: str, song: Song) -> str:
    figures = (
        f"{song.duration_s:.0f} s, {song.loudness_lufs:.1f} LUFS, {song.true_peak_dbtp:.1f} dBTP"
        f"{', preview' if song.preview_s else ''}"
    )
    stems = "".join(
        f"<tr><th scope=row>{stem.role}</th><td>{_audio(f'{path}/{stem.file}', stem.role)}</td></tr>"
        for stem in song.stems
    )
    if song.reverb:
        stems += f"<tr><th scope=row>reverb</th><td>{_audio(f'{path}/{song.reverb.file}', 'reverb')}</td></tr>"
    link = f" · <a href='{escape(f'{path}/{song.file}', quote=True)}' download>{song.file}</a>" if song.file else ""
    return (
        f"<h3>{escape(song.score.file)}</h3>{_audio(f'{path}/{song.file}', 'song') if song.file else ''}"
        f"<p class=quiet>{figures}{link}</p>"
        f"<details><summary>Stems</summary><table>{stems}</table></details>"
    )


def _band(run: Run, instruments: list[Instrument], effects: list[Effect]) -> str:
    names = {f"effects/{effect.file}": f"{effect.source}, {effect.play_method}" for effect in effects}
    rows = []
    for instrument in instruments:
        role: str = instrument.role
        verified = instrument.verified
        tuning = (
            f"{verified.within_25_cents} of {verified.notes} samples in tune, median {verified.median_abs_cents} cents off"
            if verified.notes
            else f"{len({zone.lo_key for zone in instrument.zones})} drums"
        )
        kinds = ("sfz", "sf2", "dspreset")
        files = " · ".join(f"<a href='instruments/{role}/{role}.{kind}' download>{kind}</a>" for kind in kinds)
        for casting in (casting for casting in run.casting if casting.role == instrument.role):
            rows.append(
                f"<tr><th scope=row>{role}</th><td>{escape(names[casting.effect])}<br>"
                f"<span class=quiet>{escape(casting.reason)}</span></td>"
                f"<td>{_audio(casting.effect, names[casting.effect])}</td><td>{tuning}<br>{files}</td></tr>"
            )
            role, tuning, files = "", "", ""
    head = "<tr><th>Role</th><th>Played by</th><th>Its effect</th><th>Instrument</th></tr>"
    return f"<div class=wide><table>{head}{''.join(rows)}</table></div>"


def _effects(effects: list[Effect]) -> str:
    rows = "".join(
        f"<tr><td>{effect.number}</td><td>{escape(effect.source)}<br><span class=quiet>{escape(effect.material)}</span></td>"
        f"<td>{escape(effect.play_method)}<br><span class=quiet>{escape(', '.join(effect.timbre))}</span></td>"
        f"<td>{_audio(f'effects/{effect.file}', effect.play_method)}</td></tr>"
        for effect in effects
    )
    return f"<div class=wide><table><tr><th>#</th><th>Source</th><th>How</th><th>Sound</th></tr>{rows}</table></div>"


def _made_by(run: Run) -> str:
    engines = run.engines
    text = (
        f"Vision {engines.vision.name}, effects {engines.effects.name}, timbre {engines.timbre.name}, seed {run.seed}."
        if engines
        else ""
    )
    notes = "".join(f"<li>{escape(warning)}</li>" for warning in run.warnings)
    files = "<a href='scene.json'>scene.json</a> · <a href='run.json'>run.json</a>"
    return f"<p class=quiet>{escape(text)} {files}</p>" + (f"<ul class=quiet>{notes}</ul>" if notes else "")
