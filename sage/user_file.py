"""Text files that a user wrote, read by one function: a byte order mark or another encoding is handled
once.
"""

from __future__ import annotations

from pathlib import Path

from sage.errors import DataError


def read_user_text(path: str | Path) -> str:
    """The whole file as text: UTF-8 with or without a byte order mark.

    OSError where it cannot be read; DataError with the byte's offset where it is not UTF-8.
    """
    return decode_user_text(Path(path).read_bytes(), str(path))


def decode_user_text(data: bytes, name: str) -> str:
    """`read_user_text` for bytes already read; `name` is named in the error."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start}: save it as UTF-8") from None


def describe_json_error(error: Exception) -> str:
    """Why a text is not JSON, in one line: of what json.loads raises."""
    if isinstance(error, RecursionError):
        return "lists or objects are nested too deeply"
    if "integer string conversion" in str(error):  # Python names a setting of its own as the remedy
        return "a number has over 4,300 digits"
    return " ".join(str(error).split())[:120]
