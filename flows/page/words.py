"""Figures in words that a musician understands."""

from __future__ import annotations

from pathlib import Path

from phase2_music.scores import bundled_scores
from schemas.instrument import Instrument
from schemas.song import Song

_STREAMING_LUFS = -14.0
_AUDIBLE_CENTS = 5.0


def minutes(seconds: float) -> str:
    """94.3 -> 1:34."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def size(count: int) -> str:
    """Bytes as 9.2 MB or 12 kB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def song_title(song: Song, folder_name: str) -> str:
    """The score's title, its composer where it is one of the bundled ones, and whether it is a preview."""
    name = Path(song.score.file).stem
    bundled = bundled_scores().get(folder_name.removesuffix("-preview"))
    title = f"{bundled.title}, {bundled.composer}" if bundled and bundled.path.name == song.score.file else name
    return f"{title} (the first {song.preview_s:g} s)" if song.preview_s else title


def loudness(song: Song) -> str:
    """How loud a song is, beside what streaming services play."""
    off = song.loudness_lufs - _STREAMING_LUFS
    if abs(off) <= 1.0:
        beside = "as loud as streaming services play music"
    else:
        beside = f"{abs(off):.0f} LU {'louder' if off > 0 else 'softer'} than streaming services play music"
    return f"{song.loudness_lufs:.1f} LUFS: {beside}"


def peak(song: Song) -> str:
    """How far a song's peaks stay from distortion."""
    safe = (
        "room is left below full scale, so no player distorts it"
        if song.true_peak_dbtp <= -0.5
        else "close to the limit"
    )
    return f"{song.true_peak_dbtp:.1f} dBTP at its highest peak: {safe}"


def tuning(instrument: Instrument) -> str:
    """How well an instrument is in tune, as it was measured."""
    verified = instrument.verified
    if not verified.notes:
        return f"{len({zone.lo_key for zone in instrument.zones})} drums"
    off = verified.median_abs_cents or 0.0
    heard = "nobody hears that" if off < _AUDIBLE_CENTS else "a trained ear hears that"
    return f"{verified.within_25_cents} of {verified.notes} samples in tune, typically {off:g} cents off: {heard}"


def notes_played(song: Song) -> str:
    """How many notes there are and who plays them."""
    roles = dict.fromkeys(track.role for track in song.score.tracks)
    return f"{sum(track.notes for track in song.score.tracks)} notes for {', '.join(roles)}"
