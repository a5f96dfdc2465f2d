"""Export the JSON Schemas: `python -m schemas.export` writes schemas/json/, a test keeps them true."""

import json
from pathlib import Path

from schemas.band import Band
from schemas.document import Document
from schemas.effect import Effects
from schemas.instrument import Instrument
from schemas.run import Run
from schemas.scene import Scene
from schemas.song import Song
from schemas.timbre import Corpus, TimbreCard

DOCUMENTS: tuple[type[Document], ...] = (Scene, Effects, Instrument, Song, Run, Band, Corpus, TimbreCard)
FOLDER = Path(__file__).parent / "json"


def schema_text(document: type[Document]) -> str:
    """The JSON Schema (draft 2020-12) of a document's model as text."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **document.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for document in DOCUMENTS:
        (FOLDER / f"{document.schema_name}.schema.json").write_text(schema_text(document), encoding="utf-8")


if __name__ == "__main__":
    main()
