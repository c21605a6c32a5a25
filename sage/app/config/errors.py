"""Errors of a configuration in one line: place, key path, value, remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from sage.app.terminal.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from sage.app.config.yaml_file import KeyPath, YamlDocument


def explain(
    error: ValidationError,
    model: type[BaseModel],
    document: YamlDocument,
    prefix: KeyPath = (),
    known: Iterable[str] = (),
) -> str:
    """The first fault of a validation, and how many more there are.

    prefix: path of `model` in the document.  known: keys beside the model's own, for the nearest name.
    """
    faults = error.errors(include_url=False)
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    path = (*prefix, *first["loc"])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    text = f"{key_path(path, document)}{_fault(first, model, known, key_path(path[:-1], document))}"
    # A fault of the whole document has no key.
    return f"{document.where(path)}: {text.removeprefix(': ')}{more}"


def key_path(path: KeyPath, document: YamlDocument) -> str:
    """`sensors.cpu.period_secs`: items of a list by their name where they have one, as `--set` takes them."""
    parts: list[str] = []
    value: Any = document.data
    for key in path:
        value = _child(value, key)
        name = (
            (value.get("name") or value.get("kind"))
            if isinstance(key, int) and isinstance(value, dict)
            else None
        )
        parts.append(name if isinstance(name, str) else str(key))
    return ".".join(parts)


def _fault(fault: ErrorDetails, model: type[BaseModel], known: Iterable[str], parent: str) -> str:
    if fault["type"] == "extra_forbidden":
        owner = _model_at(model, fault["loc"][:-1])
        beside = known if len(fault["loc"]) == 1 else ()
        names = {*(owner.model_fields if owner else ()), *beside}
        return (
            f": unknown key; {nearest(str(fault['loc'][-1]), names, prefix=f'{parent}.' if parent else '')}"
        )
    if fault["type"] == "missing":
        return ": missing: give it a value"
    if fault["type"] in ("value_error", "assertion_error"):
        return f": {fault['msg'].removeprefix('Value error, ').removeprefix('Assertion failed, ')}"
    remedy = "give a path, in quotes" if fault["type"] == "path_type" else _remedy(fault["msg"])
    return f" is {_shorten(fault['input'])}: {remedy}"


def _remedy(message: str) -> str:
    """Pydantic's "Input should be a valid integer" as "give a valid integer"."""
    wanted = message.removeprefix("Input should be ")
    if wanted == message:
        return message[0].lower() + message[1:]
    return f"give {wanted}" if wanted.startswith(("a ", "an ", "'")) else f"give a value {wanted}"


def _model_at(model: type[BaseModel], loc: KeyPath) -> type[BaseModel] | None:
    """The model that the keys of `loc` lead to, through optional fields and tuples of models."""
    current: type[BaseModel] | None = model
    for key in loc:
        if isinstance(key, int):
            continue
        field = current.model_fields.get(key) if current else None
        current = _model_in(field.annotation) if field else None
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)


def _child(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _shorten(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of over 4,300 digits, also inside a list
        text = "a number of too many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
