"""The bundled scores: arrangements of public-domain music for the four-role band, written by `arrange.py`."""
