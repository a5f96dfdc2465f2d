"""Audio -> Audio: an effect takes on an instrument's timbre. The table of engines; each is imported on first use."""

from core.engines import EngineEntry, EngineTable
from core.errors import UsageError
from phase2_music.timbre.shipped import preferred_engine

BLENDING = "rave"
"""The engine that has a dial of blend."""

TIMBRE_ENGINES = EngineTable(
    "timbre",
    {
        "resonator": EngineEntry(
            "phase2_music.timbre.engines.resonator:Resonator",
            "harmonic resynthesis with the effect's own noise around each harmonic: nearly any sound, in tune",
        ),
        "rave": EngineEntry(
            "phase2_music.timbre.engines.rave.engine:Rave",
            "the resonator, its notes coloured by a RAVE model: rave:FOLDER or anybody's rave:FILE.ts; drums stay as they are",
            extra="rave",
        ),
        "none": EngineEntry(
            "phase2_music.timbre.engines.none:NoTimbre",
            "the effect as it is; an unpitched effect then stays out of tune",
        ),
    },
    preferred_engine,
)


def with_blend(spec: str | None, blend: float | None) -> str | None:
    """An engine's "name:argument" with a blend (0..1) among its options; as given where `blend` is None.

    Raises:
        UsageError: the engine has no such dial, or its argument sets it already.
    """
    if blend is None:
        return spec
    name, _, argument = (spec or TIMBRE_ENGINES.default).partition(":")
    if name != BLENDING:
        raise UsageError(
            f"--blend is a dial of the timbre engine {BLENDING}, not of {name}: add --timbre {BLENDING}:FOLDER"
        )
    main, _, options = argument.partition("?")
    if any(pair.startswith("blend=") for pair in options.split("&")):
        raise UsageError(f"the blend is set twice, in --timbre {spec} and by --blend: leave one out")
    return f"{name}:{main}?{'&'.join(filter(None, (options, f'blend={blend:g}')))}"
