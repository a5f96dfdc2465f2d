"""The player's JSON API: a catalogue of runs, uploads, jobs through Prefect, edits. It knows no sound and makes none."""
