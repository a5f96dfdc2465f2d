"""Stable Audio on this machine. Only `model.py` imports torch and its kin."""

from phase1_sound.effects.engines.stable_audio.engine import StableAudio

__all__ = ["StableAudio"]
