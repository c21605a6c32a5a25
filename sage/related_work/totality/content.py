"""What the store holds: schemes of slots, and canvases of schemes and links.

Invariant: a value that exists is valid and within the limits below. The field names are those of the
ancestors' service, whose payloads are accepted as they are; `version` and `updated_at` are new and
optional.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

#: How sure a value is, best first: measured, derived from others, or made up.
Binding = Literal["observed", "inferred", "imagined"]
BINDING_RANK = {"observed": 2, "inferred": 1, "imagined": 0}
MAX_SLOTS = 64
MAX_ENTITIES = 64
MAX_LINKS = 256
MAX_OPS = 16
#: Of a slot's value: nesting, elements of all its lists and objects, characters of all its texts.
MAX_DEPTH = 6
MAX_ELEMENTS = 256
MAX_CHARACTERS = 4096
#: Integers that every JSON reader represents exactly.
MAX_INTEGER = 2**53


def _printable(text: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("has control characters or lone surrogates: give printable text")
    return text


def _bounded(value: Any) -> Any:
    elements, characters = _measure(value, 0)
    if elements > MAX_ELEMENTS or characters > MAX_CHARACTERS:
        raise ValueError(
            f"{elements} elements and {characters} characters: give at most {MAX_ELEMENTS} and"
            f" {MAX_CHARACTERS}"
        )
    return value


def _measure(value: Any, depth: int) -> tuple[int, int]:
    """(elements, characters) of a JSON value. ValueError for what JSON or the limits exclude."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep: give a flatter value")
    if isinstance(value, str):
        return 1, len(_encodable(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number: give one")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        raise ValueError("an integer beyond 2**53: give a smaller one, or text")
    if isinstance(value, dict):
        parts = [_measure(part, depth + 1) for part in value.values()]
        names = sum(len(_encodable(name)) for name in value)
        return 1 + sum(part[0] for part in parts), names + sum(part[1] for part in parts)
    if isinstance(value, list):
        parts = [_measure(part, depth + 1) for part in value]
        return 1 + sum(part[0] for part in parts), sum(part[1] for part in parts)
    return 1, 0


def _encodable(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("has lone surrogates: give text that UTF-8 can encode")
    return text


Identifier = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
Label = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
Description = Annotated[str, Field(max_length=1024), AfterValidator(_printable)]
Time = Annotated[str, Field(max_length=64), AfterValidator(_printable)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Value = Annotated[JsonValue, AfterValidator(_bounded)]


class Content(BaseModel):
    """Base: immutable, without unknown fields, NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Slot(Content):
    """One property. value: any JSON value.  binding: observed, inferred from others, or imagined."""

    name: Label
    value: Value = None
    binding: Binding = "observed"


class Scheme(Content):
    """A thing, an action or an idea with its properties.

    activation: 0..1, at the time it was read.  version: 1 when it is created, one more at every change.
    updated_at: ISO 8601, of that change.
    """

    id: Identifier
    label: Label
    slots: Annotated[tuple[Slot, ...], Field(max_length=MAX_SLOTS)] = ()
    activation: Unit = 0.0
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] = 1
    updated_at: Time = ""

    def at(self, activation: float) -> Scheme:
        """This scheme with another activation, 0..1, which is not checked again."""
        return Scheme.model_construct(
            _fields_set=self.model_fields_set,
            id=self.id,
            label=self.label,
            slots=self.slots,
            activation=activation,
            version=self.version,
            updated_at=self.updated_at,
        )


class Link(Content):
    """A directed relation between two entities of one canvas, by their ids."""

    src: Identifier
    dst: Identifier
    relation: Label


class Provenance(Content):
    """Who made a canvas, when (ISO 8601), and the operations that made it, in order."""

    created_by: Label
    created_at: Time
    ops: Annotated[tuple[Label, ...], Field(max_length=MAX_OPS)] = ()


class Canvas(Content):
    """An imagined scene: its entities, the links between them, and where it comes from."""

    id: Identifier
    description: Description = ""
    entities: Annotated[tuple[Scheme, ...], Field(max_length=MAX_ENTITIES)] = ()
    links: Annotated[tuple[Link, ...], Field(max_length=MAX_LINKS)] = ()
    provenance: Provenance

    @model_validator(mode="after")
    def _links_join_entities(self) -> Canvas:
        known = {each.id for each in self.entities}
        for link in self.links:
            for end in (link.src, link.dst):
                if end not in known:
                    raise ValueError(f"links: {end} is not an entity of the canvas: add it to entities")
        return self
