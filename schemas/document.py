"""What all documents share: strict models, JSON Schema checks on the way in and on the way out, atomic files."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import DocumentError, PhotoneError
from core.manifest import to_json, write_text

Role = Literal["keyboard", "bass", "guitar", "drums"]
ROLES: tuple[Role, ...] = ("keyboard", "bass", "guitar", "drums")
MELODIC_ROLES: tuple[Role, ...] = ("keyboard", "bass", "guitar")


class Part(BaseModel):
    """A part of a document: immutable, extra keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Document(Part):
    """A whole document. `schema_name` names its exported schema, `error` the error for a damaged one."""

    schema_name: ClassVar[str]
    error: ClassVar[type[PhotoneError]] = DocumentError

    @classmethod
    def from_value(cls, value: Any, origin: str) -> Self:
        """Check a parsed JSON value against the exported schema and the model.

        `origin` begins each message (a file's name, an engine's name).

        Raises:
            cls.error: the value breaks the schema; the message names the place.
        """
        with suppress(ValueError, RecursionError):  # pydantic's ValidationError is a ValueError
            # Strictly read, the model refuses all that its schema refuses (a test holds it to that), in a tenth of the time.
            return cls.model_validate_json(json.dumps(value), strict=True)
        problem = schema_problem(cls.schema_name, value)
        if problem:
            raise cls.error(f"{origin}: {problem}")
        try:
            return cls.model_validate(value, strict=False)
        except ValidationError as error:
            raise cls.error(f"{origin}: {first_problem(error)}") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a document.

        Raises:
            cls.error: the file is missing, is not JSON, or breaks the schema.
        """
        return cls.from_value(read_json(path, cls.error), str(path))

    def to_value(self) -> dict[str, Any]:
        """The JSON value, checked as one that is read (a failure is a programming mistake)."""
        value = self.model_dump(mode="json")
        try:
            self.from_value(value, self.schema_name)
        except self.error as error:
            raise AssertionError(f"a document breaks its own schema: {error}") from error
        return value

    def write(self, path: Path) -> None:
        """Write the checked document under a temporary name and move it into place."""
        write_text(path, to_json(self.to_value()))


def read_json(path: Path, error_class: type[PhotoneError]) -> Any:
    """Read a JSON file.

    Raises:
        error_class: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise error_class(f"{path}: no such file: check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise error_class(f"{path}: cannot be read ({error}): check the file") from error
    except (ValueError, RecursionError) as error:  # not a JSONDecodeError alone: a number may be too long for Python
        raise error_class(f"{path}: not JSON ({error}): mend or remove the file") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


@cache
def _validator(schema_name: str) -> Any:
    from jsonschema import Draft202012Validator  # a tenth of what a swap takes to start, and sound documents need none

    text = resources.files("schemas").joinpath("json", f"{schema_name}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def schema_problem(schema_name: str, value: Any) -> str | None:
    """The first thing in `value` that breaks an exported schema, with its place, or None."""
    from jsonschema.exceptions import best_match

    try:
        errors = sorted(
            _validator(schema_name).iter_errors(value), key=lambda error: list(map(str, error.absolute_path))
        )
    except RecursionError:
        return "document: nested too deeply: mend or remove it"
    if not errors:
        return None
    # Of a value that may be null ("not valid under any of the given schemas"), what is wrong with it when it is not null.
    first = best_match(errors[:1])
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first.absolute_path).lstrip(".")
    return f"{place or 'document'}: {first.message[:300]}"


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found, with its place."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place or 'document'}: {first['msg'].removeprefix('Value error, ')}"
