"""`rave`: the resonator's instruments, coloured by a RAVE model of a family.

RAVE: Caillon and Esling 2021, arXiv 2111.05011. photone's own models are trained by `photone train`; their licence stands in
their card. Of anybody's `.ts` the licence is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from core.engines import EngineInfo, Readiness, read_options
from core.errors import EngineError, PhotoneError
from core.manifest import sha256_json
from phase2_music.timbre.analysis import SoundModel
from phase2_music.timbre.engines.rave.model import TimbreModel, required
from phase2_music.timbre.engines.rave.models import MELODIC, Found, Served, find_models
from phase2_music.timbre.engines.rave.voices import RaveVoice, coloured
from phase2_music.timbre.engines.resonator import TEMPLATES, ResonatorVoice
from phase2_music.timbre.protocol import VoiceRequest
from schemas.document import Role

BLEND = 0.6
"""The default of the dial, a guess: no trained model has been measured yet."""


@dataclass(frozen=True)
class RaveOptions:
    """`model` names files (see `find_models`); `blend` is how much of the model's sound is taken, 0..1.

    `use`: "notes" colours the finished notes, "effect" the effect before notes are made of it. `force` takes models that
    missed their gate. `rate` is the sample rate in Hz of a model that does not tell it.
    """

    model: str = ""
    blend: Annotated[float, Field(ge=0, le=1)] = BLEND
    use: Literal["notes", "effect"] = "notes"
    force: bool = False
    rate: Annotated[int, Field(gt=0)] | None = None


class Rave:
    """The resonator with RAVE models."""

    def __init__(self, argument: str = "") -> None:
        """Find and load the models that the argument names.

        Raises:
            UsageError: an option or a path that is not there.
            EngineError: there is no model, a package is missing, a file is damaged, or a model missed its gate.
        """
        self.options = read_options(argument, RaveOptions, "model", "rave")
        self.models = _allowed(self.options)
        # A damaged file is found out before any work is done, not behind the effects.
        self.loaded = {role: TimbreModel.load(found) for role, found in self.models.items()}
        self.info = EngineInfo("rave", "1", self._sha256, self._recorded)

    @property
    def _sha256(self) -> str:
        hashes = [found.sha256 for found in self.models.values()]
        return hashes[0] if len(hashes) == 1 else sha256_json(hashes)

    @cached_property
    def _recorded(self) -> dict[str, Any]:
        return {
            "blend": self.options.blend,
            "use": self.options.use,
            "force": self.options.force,
            "models": {role: _fact(found) for role, found in self.models.items()},
            **({"rate": self.options.rate} if self.options.rate else {}),
        }

    def voice(self, request: VoiceRequest) -> RaveVoice:
        """Analyse an effect; with `use=effect`, and for drums that have a model, it is coloured first.

        Raises:
            AudioError: the sound is silent.
            EngineError: the model failed, or answered with silence.
        """
        served = self._served(request.role)
        if served is None:
            return self._made(request, None, self._unserved(request.role))
        found, model = self.models[served], self.loaded[served]
        remarks = _remarks(found, request.role)
        if self.options.use == "effect" or request.role == "drums":
            SoundModel.of(request.sound)  # a silent sound is the user's, a silent answer the model's
            sound = required(coloured(model, request.sound, self.options.blend), str(found.path))
            return self._made(VoiceRequest(sound, request.role, request.seed), None, remarks)
        return self._made(request, model, remarks)

    def _made(self, request: VoiceRequest, model: TimbreModel | None, remarks: tuple[str, ...]) -> RaveVoice:
        base = ResonatorVoice(request.sound, SoundModel.of(request.sound), TEMPLATES[request.role], request.seed)
        return RaveVoice(request.sound, base, model, self.options.blend if model else 0.0, remarks)

    def _served(self, role: Role) -> Served | None:
        """Under which key a role's model stands; None where there is none for it."""
        if role in self.models:
            return role
        return MELODIC if MELODIC in self.models and role != "drums" else None

    def _unserved(self, role: Role) -> tuple[str, ...]:
        where = self.options.model or "the shipped models"
        if role == "drums":
            # No drums are trained for photone itself: what is always so is no news.
            told = f"no timbre model for drums in {where}: the kit is made of the effect as it is"
            return (told,) if self.options.model else ()
        return (f"no timbre model for the {role} in {where}: its notes are the resonator's alone",)

    @staticmethod
    def readiness(argument: str) -> Readiness:
        """Whether the models are there, have passed their gate, and can be loaded; nothing is loaded."""
        try:
            options = read_options(argument, RaveOptions, "model", "rave")
            models = _allowed(options)
        except PhotoneError as error:
            return Readiness(str(error))
        parts = [f"{role}: {found.path.name}, gate {found.verdict}" for role, found in models.items()]
        missing = {package for found in models.values() if (package := _missing_package(found))}
        return Readiness("; ".join(sorted(missing)) or None, ", ".join(parts))


def _missing_package(found: Found) -> str | None:
    from importlib.util import find_spec

    package, extra = ("torch", "models") if found.path.suffix == ".ts" else ("onnxruntime", "rave")
    return None if find_spec(package) else f'{package} is not installed: pip install "photone[{extra}]"'


def _allowed(options: RaveOptions) -> Mapping[Served, Found]:
    """The models that may be used: all that were named, or an error; of those that come with photone what passed its gate."""
    models = find_models(options.model, options.rate)
    problems = [found.problem for found in models.values() if found.problem]
    if not problems or options.force:
        return models
    passed = {role: found for role, found in models.items() if not found.problem}
    if options.model or not passed:
        raise EngineError(problems[0])
    return passed


def _fact(found: Found) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": found.path.name, "sha256": found.sha256, "gate": found.verdict}
    if found.card is not None and found.card.gate is not None and not found.card.gate.passed:
        facts["missed"] = list(found.card.gate.missed)
    return facts


def _remarks(found: Found, role: Role) -> tuple[str, ...]:
    """What people should know of a model before they trust it."""
    name = found.path.name if found.card is None else found.path.parent.name
    told = {
        "no card": f"timbre model {name} comes from elsewhere: no gate was run on it",
        "not run": f"timbre model {name} was forced: its gate was never run",
        "missed": f"timbre model {name} was forced: it missed its gate",
        "passed": "",
    }[found.verdict]
    other = found.card is not None and found.card.role != role
    strange = f"timbre model {name} learned the {found.card.role}, not the {role}" if other and found.card else ""
    return tuple(filter(None, (told, strange)))
