"""The page's text as HTML: all of it can be read without JavaScript, which then makes it playable.

Names, reasons and descriptions come from pictures, models and users: every one goes through `escape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from flows.page import words
from flows.runs.archive import ARCHIVE_FILE
from schemas.document import Role
from schemas.effect import Effect
from schemas.instrument import Instrument
from schemas.run import Casting, Run
from schemas.scene import Scene, SoundSource
from schemas.song import Song

_LONG_TITLE = 24  # characters


@dataclass(frozen=True)
class Shown:
    """What a page shows: the run's documents, and its songs as (path within the run, document)."""

    run: Run
    scene: Scene
    effects: Sequence[Effect]
    instruments: Sequence[Instrument]
    songs: Sequence[tuple[str, Song]]
    archives: Sequence[str]
    """Zips that lie in the run's folder."""

    @property
    def title(self) -> str:
        """The picture's name without its ending, or what stands for it."""
        return Path(self.run.picture.file).stem if self.run.picture else "A run"

    def casts(self, effect: Effect) -> list[Casting]:
        """The roles that an effect plays."""
        return [casting for casting in self.run.casting if casting.number == effect.number]

    def effects_of(self, source: SoundSource) -> list[Effect]:
        """A source's effects; of sources with one name the first has them all."""
        first = next(other for other in self.scene.sound_sources if other.name == source.name)
        return [effect for effect in self.effects if effect.source == source.name] if first is source else []


def body(shown: Shown) -> str:
    """Everything between the page's head and its scripts."""
    sections = [_picture(shown), _song_section(shown), _play(), _downloads(shown), _made_by(shown)]
    return (
        '<a class="skip" href="#song">Skip to the song</a>\n'
        f"{_header(shown)}\n<main>\n{''.join(sections)}</main>\n"
        "<footer><p>Made by <b>photone</b>: a picture, heard.</p></footer>"
    )


def _header(shown: Shown) -> str:
    scene = shown.scene
    long = ' class="long"' if len(shown.title) > _LONG_TITLE else ""
    title = escape(shown.title).replace("_", "_<wbr>")  # file names break where they can be read
    return (
        f'<header class="top"><p class="brand">photone</p><h1{long}>{title}</h1>'
        f'<p class="mood">{escape(scene.mood_description)}</p><p class="counts">{_counts(shown)}</p></header>'
    )


def _counts(shown: Shown) -> str:
    counts = (
        (len(shown.scene.sound_sources), "source"),
        (len(shown.effects), "sound"),
        (len(shown.instruments), "instrument"),
        (len(shown.songs), "song"),
    )
    return " · ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)


def _section(name: str, heading: str, content: str, lead: str = "") -> str:
    intro = f'<p class="lead">{lead}</p>' if lead else ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{heading}</h2>{intro}{content}</section>\n'
    )


def _picture(shown: Shown) -> str:
    photo = (
        '<figure class="photo"><div class="frame"><img src="picture.jpg" '
        f'alt="{escape(shown.scene.scene_description, quote=True)}"><div class="markers"></div></div>'
        "</figure>"
    )
    band = "".join(_role(shown, instrument) for instrument in shown.instruments)
    sources = "".join(_source(shown, index, source) for index, source in enumerate(shown.scene.sound_sources))
    players = f'<ul class="band" aria-label="The band">{band}</ul>'
    stage = f'<div class="stage">{photo}{players}<div class="sources">{sources}</div></div>'
    marked = any(source.box for source in shown.scene.sound_sources)
    how = (
        "Each mark is a thing that could sound; lines lead from it to the player that it became."
        if marked
        else "These things could sound, and some of them became players."
    )
    lead = f"{escape(shown.scene.scene_description)} <b>{how}</b>"
    return _section("picture", "What can be heard in it", stage, lead)


def _role(shown: Shown, instrument: Instrument) -> str:
    role: Role = instrument.role
    by_number = {effect.number: effect for effect in shown.effects}
    players = "".join(
        f'<p class="player"><b>{escape(by_number[casting.number].source)}</b>, '
        f'{escape(by_number[casting.number].play_method)}<br><span class="quiet">{escape(casting.reason)}</span></p>'
        for casting in shown.run.casting
        if casting.role == role
    )
    tuning = escape(words.tuning(instrument))
    return (
        f'<li class="role {role}" data-role="{role}"><h3>{role.capitalize()}</h3>{players}'
        f'<p class="quiet"><span>{tuning}</span></p></li>'
    )


def _source(shown: Shown, index: int, source: SoundSource) -> str:
    evidence = f'<p class="evidence">{escape(source.evidence)}</p>' if source.evidence else ""
    effects = "".join(_effect(shown, effect) for effect in shown.effects_of(source))
    sounds = effects or '<p class="quiet">No sound was made of it.</p>'
    return (
        f'<article class="source" id="source-{index}" data-source="{index}"><h3>{escape(source.name)}</h3>'
        f'<p class="material">{escape(source.material)}</p>{evidence}<div class="effects">{sounds}</div></article>'
    )


def _effect(shown: Shown, effect: Effect) -> str:
    roles = dict.fromkeys(casting.role for casting in shown.casts(effect))
    plays = "".join(f'<span class="tag {role}">{role}</span>' for role in roles)
    timbre = escape(" · ".join(effect.timbre))
    wrong = f'<p class="quiet">{escape("; ".join(effect.verdict))}</p>' if effect.verdict else ""
    return (
        f'<div class="effect" data-effect="{effect.number}"><h4>{escape(effect.play_method)} {plays}</h4>'
        f"{audio(f'effects/{effect.file}', f'{effect.source}, {effect.play_method}')}"
        f'<p class="timbre">{timbre} · {_download(f"effects/{effect.file}", "WAV")}</p>{wrong}</div>'
    )


def audio(path: str, label: str) -> str:
    """A plain player of a file."""
    return f'<audio controls preload="none" src="{_link(path)}" aria-label="{escape(label, quote=True)}"></audio>'


def _link(path: str) -> str:
    return escape(quote(path), quote=True)


def _download(path: str, label: str) -> str:
    return f'<a href="{_link(path)}" download>{escape(label)}</a>'


def _song_section(shown: Shown) -> str:
    songs = "".join(_song(index, path, song) for index, (path, song) in enumerate(shown.songs))
    lead = "Played by the band above. Mute a player, hear one alone, set their levels; the score runs along."
    return _section("song", "The song", f'<div class="songs">{songs}</div>', lead)


def _song(index: int, path: str, song: Song) -> str:
    plain = audio(f"{path}/{song.file}", "song") if song.file else ""
    facts = [minutes_and_notes(song), words.loudness(song), words.peak(song)]
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    title = escape(words.song_title(song, path.rpartition("/")[2]))
    return (
        f'<article class="song" data-song="{index}"><h3>{title}</h3><div class="plain">{plain}</div>'
        f'<ul class="facts">{listed}</ul></article>'
    )


def minutes_and_notes(song: Song) -> str:
    """A song's length and its notes."""
    return f"{words.minutes(song.duration_s)} long, {words.notes_played(song)}"


def _play() -> str:
    lead = "The instruments are made of the picture's own sounds. They play here, in this page."
    return _section(
        "play", "Play the band", '<p class="needs-js">This needs JavaScript.</p><div class="player-box"></div>', lead
    )


def _downloads(shown: Shown) -> str:
    sizes = {output.path: output.bytes for output in shown.run.outputs}
    songs = [(words.song_title(song, path.rpartition("/")[2]), _song_files(path, song)) for path, song in shown.songs]
    groups = [_files(title, files, sizes) for title, files in songs]
    groups += [_files("The band", _band_files(shown), sizes), _files("The run", _run_files(shown), sizes)]
    return _section("downloads", "Take it with you", f'<ul class="files">{"".join(groups)}</ul>')


def _files(heading: str, files: Iterable[tuple[str, str]], sizes: Mapping[str, int]) -> str:
    """A list of (path, label), each with its size where the ledger knows it."""
    links = "".join(
        f"<li>{_download(path, label)}"
        + (f' <span class="quiet">{words.size(sizes[path])}</span></li>' if path in sizes else "</li>")
        for path, label in files
    )
    return f"<li><h3>{escape(heading)}</h3><ul>{links}</ul></li>"


def _song_files(path: str, song: Song) -> list[tuple[str, str]]:
    files = [(f"{path}/{song.file}", "song")] if song.file else []
    files += [(f"{path}/{stem.file}", f"{stem.role} stem") for stem in song.stems]
    files += [(f"{path}/{song.reverb.file}", "room stem")] if song.reverb else []
    return [*files, (f"{path}/song.json", "song.json: its figures")]


def _band_files(shown: Shown) -> list[tuple[str, str]]:
    archive = [(ARCHIVE_FILE, "SFZ and DecentSampler, with samples")] if ARCHIVE_FILE in shown.archives else []
    return archive + [
        (f"instruments/{role}/{role}.sf2", f"{role} SF2") for role in (one.role for one in shown.instruments)
    ]


def _run_files(shown: Shown) -> list[tuple[str, str]]:
    files = [("scene.json", "scene.json: what was seen"), ("run.json", "run.json: how all was made")]
    files += [("cover.png", "cover.png: the poster")]
    return files + [(name, name) for name in shown.archives if name != ARCHIVE_FILE]


def _made_by(shown: Shown) -> str:
    engines = shown.run.engines
    text = (
        f"Seen by {engines.vision.name}, sounded by {engines.effects.name}, voiced by {engines.timbre.name}; "
        f"seed {shown.run.seed}, photone {shown.run.photone_version}."
        if engines
        else ""
    )
    notes = "".join(f"<li>{escape(warning)}</li>" for warning in shown.run.warnings)
    return _section(
        "made-by", "How it was made", f"<p>{escape(text)}</p>" + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )
