"""`rave`: a RAVE model (Caillon and Esling 2021) lends the timbre of its family to an effect, or to the notes made of it.

The engine is here to be loaded by name only: onnxruntime and torch are imported when a model is, and torch for `.ts` alone.
"""
