"""The embedded vision engine: classical picture analysis, no weights, always the same answer."""

from __future__ import annotations

from core.engines import EngineInfo
from phase1_sound.vision.engines.embedded.choice import Chooser, Pick, confidence
from phase1_sound.vision.engines.embedded.features import Figures, Pixels, measure, summarise, working_copy
from phase1_sound.vision.engines.embedded.people import find_people
from phase1_sound.vision.engines.embedded.places import find_place
from phase1_sound.vision.engines.embedded.regions import find_regions, is_portrait
from phase1_sound.vision.engines.embedded.table import Table, load_table
from phase1_sound.vision.engines.embedded.words import describe_mood, describe_scene, evidence, timbre_words
from phase1_sound.vision.pictures import load_rgb
from phase1_sound.vision.protocol import VisionRequest
from schemas.scene import Scene, SoundSource, Variant


class EmbeddedVision:
    """Tells surfaces apart by colour and texture, chooses sounds to suit; recognises no objects."""

    info = EngineInfo(name="embedded", version="2")

    def describe(self, request: VisionRequest) -> Scene:
        """Describe one picture.

        Raises:
            PictureError: the picture cannot be read.
        """
        return describe_pixels(load_rgb(request.picture))


def describe_pixels(rgb: Pixels) -> Scene:
    """Describe a picture in memory, uint8 of shape (height, width, 3)."""
    table = load_table()
    small = working_copy(rgb)
    maps = measure(small)
    figures = summarise(maps)
    people = find_people(small, maps)
    regions = find_regions(maps, figures, people)
    place = find_place(regions, figures, maps, is_portrait(people, maps))
    picks = Chooser(regions, figures, place, table).choose()
    return Scene(
        scene_description=describe_scene(regions, figures, place, table),
        mood_description=describe_mood(figures, place, table),
        sound_sources=[_sound_source(pick, figures, table) for pick in picks],
    )


def _sound_source(pick: Pick, figures: Figures, table: Table) -> SoundSource:
    return SoundSource(
        name=pick.source.name,
        material=pick.source.material,
        variants=[
            Variant(
                play_method=way.play,
                timbre=timbre_words(way, pick.region, figures),
                mapping_to_music_instrument=way.instrument,
                confidence=confidence(pick, way, table),
            )
            for way in pick.ways
        ],
        box=list(pick.region.box) if pick.region else None,
        evidence=evidence(pick, table),
    )
