"""Text files that a user wrote, read by one function: a byte order mark, another encoding, and a key that is
given twice are handled once.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sage.errors import DataError

#: Of a file that is read whole.
MAX_BYTES = 256 << 20


def read_user_text(path: str | Path) -> str:
    """The whole file as text: UTF-8 with or without a byte order mark.

    OSError where it cannot be read; DataError with the byte's offset where it is not UTF-8, and for a file,
    or a device such as /dev/zero, of over MAX_BYTES.
    """
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: over {MAX_BYTES >> 20} MiB: give a smaller file")
    return decode_user_text(data, str(path))


def decode_user_text(data: bytes, name: str) -> str:
    """`read_user_text` for bytes already read; `name` is named in the error."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start}: save it as UTF-8") from None


#: Of a text that is JSON: strings, and what opens, separates and closes.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')


class KeyTwice(ValueError):
    """An object has a key twice; the message has the key and both places."""


def parse_user_json(text: str) -> Any:
    """As json.loads, but KeyTwice where an object has a key twice: the last value would replace the first."""

    def joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise KeyTwice
        return found

    try:
        return json.loads(text, object_pairs_hook=joined)
    except KeyTwice:
        raise KeyTwice(_twice_in(text)) from None


def _twice_in(text: str) -> str:
    """Where the first key is that its object has already. The text has one, and is JSON up to there."""
    keys: list[dict[str, int] | None] = []  # of each open object: key -> offset; None for a list
    is_key = False
    for match in _TOKEN.finditer(text):
        token, at = match[0], match.start()
        if token in "}]":
            keys.pop()
        elif token in "{[":
            keys.append({} if token == "{" else None)
        is_key, was_key = token in "{,", is_key
        known = keys[-1] if keys else None
        if known is None or not (was_key and token[0] == '"'):
            continue
        key = json.loads(token)
        if key in known:
            places = f"{_place(text, known[key])} and {_place(text, at)}"
            return f"{token[:60]} is given twice, at {places}: keep one"
        known[key] = at
    return "a key is given twice: keep one"


def _place(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1} column {at - text.rfind(chr(10), 0, at)}"


def describe_json_error(error: Exception) -> str:
    """Why a text is not JSON, in one line: of what json.loads raises."""
    if isinstance(error, RecursionError):
        return "lists or objects are nested too deeply"
    if "integer string conversion" in str(error):  # Python names a setting of its own as the remedy
        return "a number has over 4,300 digits"
    return " ".join(str(error).split())[:120]
