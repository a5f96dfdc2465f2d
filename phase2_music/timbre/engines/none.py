"""`none`: the effect as it is."""

from dataclasses import dataclass

from core.audio import Audio
from core.engines import EngineInfo
from phase2_music.timbre.protocol import Note, VoiceRequest


@dataclass(frozen=True)
class RawVoice:
    """The effect itself."""

    colour: Audio

    def note(self, f0_hz: float, character: float, calm: float = 0.0, support: float = 0.0) -> Note | None:
        """Never a note: nothing here gives a pitch to a sound."""
        return None


class NoTimbre:
    """Leaves the effect untouched."""

    info = EngineInfo(name="none", version="1")

    def voice(self, request: VoiceRequest) -> RawVoice:
        """Hand the effect on."""
        return RawVoice(request.sound)
