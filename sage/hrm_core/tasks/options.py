"""Values of a task's options, as YAML, JSON or a program has them, compared with the fields of its config.

Invariant: a value that is returned has the kind of its field: numbers are finite, a pair has two of them; a
hint of another kind than those below leaves the value to the config's own checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Integral, Real
from os import PathLike
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sage.errors import InputError

#: Characters of a value that a message shows.
_MOST_SHOWN = 80
_COUNTS = {2: "two", 3: "three", 4: "four"}
#: Hint -> what one value of it is, and what several are.
_NAMES = {
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "true or false"),
}


def checked_options(config: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with lists as tuples and 4.0 as 4 where a whole number is due. InputError that names the
    option, its value and what to give."""
    try:
        hints = get_type_hints(config)
    except NameError:  # a hint of a plug-in that only type checkers import
        hints = {}
    return {key: _checked(key, value, hints.get(key)) for key, value in options.items()}


def _checked(key: str, value: Any, hint: Any) -> Any:
    try:
        return _fitted(value, hint)
    except _Misfit:
        shown = repr(value)
        shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
        raise InputError(f"{key} is {shown}: give {_wanted(hint)}") from None


class _Misfit(Exception):
    """A value is not of the kind of its hint."""


def _fitted(value: Any, hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        fitting = [each for each in get_args(hint) if _fits(value, each)]
        return _fitted(_required(value, bool(fitting)), fitting[0])
    if get_origin(hint) is tuple:
        return _fitted_tuple(value, get_args(hint))
    if get_origin(hint) is Literal:
        return _required(value, any(value is each or value == each for each in get_args(hint)))
    if hint is bool:
        return _required(value, isinstance(value, bool))
    if hint in (int, float):
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        _required(value, is_number and (isinstance(value, Integral) or isfinite(value)))
        if hint is float or isinstance(value, Integral):
            return value
        return _required(int(value), value == int(value))
    if hint is str:
        return _required(value, isinstance(value, (str, PathLike)))
    if hint is type(None):
        return _required(value, value is None)
    return tuple(value) if isinstance(value, list) else value


def _required(value: Any, is_met: bool) -> Any:
    if not is_met:
        raise _Misfit
    return value


def _fits(value: Any, hint: Any) -> bool:
    try:
        _fitted(value, hint)
    except _Misfit:
        return False
    return True


def _fitted_tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _Misfit
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    _required(value, len(value) == len(hints))
    return tuple(_fitted(each, hint) for each, hint in zip(value, hints))


def _wanted(hint: Any) -> str:
    """What a value of the hint is, in words."""
    parts = [each for each in get_args(hint) if each is not type(None)]
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_wanted(each) for each in parts)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if get_origin(hint) is tuple:
        several = _NAMES.get(parts[0], ("", "values"))[1]
        return (
            f"a list of {several}"
            if Ellipsis in parts
            else f"{_COUNTS.get(len(parts), len(parts))} {several}"
        )
    return _NAMES.get(hint, ("another value", ""))[0]
