"""Where in a plug-in a call failed or hangs: the method that was called, and the line that it reached.

Invariant: frames of the kit, of the drivers and of the interpreter are never shown.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

#: Method -> what a person can do about an error that leaves it.
REMEDIES = {
    "__init__": "take no device in the constructor: open() takes it",
    "spec": "make the spec in the constructor, from the configuration alone",
    "open": "raise SensorUnavailable with a remedy where the device is missing, and free in close() what"
    " open() takes",
    "read_into": "write spec.tensor's shape and dtype into `out`, and raise SensorError for a fault of the"
    " device",
    "close": "close() is called twice, and before open(): do nothing then",
    "apply": "take spec.tensor's shape and dtype, and raise SensorError for a fault of the device",
    "abort": "abort() never raises",
    "calibration": "return a dict of finite numbers or lists of them",
    "restore": "accept what calibration() returned",
    "sensors": "make the sensors in the constructor, and return the same ones at each call",
    "effectors": "make the effectors in the constructor, and return the same ones at each call",
}
#: Method -> what a person can do about a call that does not return.
HANG_REMEDIES = {
    "read_into": "wait a few periods at most, with a timeout, then return None; is_bounded=True only where a"
    " read never waits",
    "open": "connect with a timeout, and raise SensorUnavailable after it",
    "close": "end threads and requests with a timeout",
}
_KIT = Path(__file__).resolve().parent
_DRIVER = _KIT.parent / "driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCall:
    """method: that the kit called.  place: file and line in the plug-in."""

    method: str
    place: str


def describe_error(error: BaseException) -> str:
    """One line: what was raised, by which call, where, and what to do about it."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    frames = ((frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in _walk(error))
    call = _find(frames)
    if call is None:
        return text
    return f"{call.method} raised {text} ({call.place}): {REMEDIES[call.method]}"


def describe_hang(thread_id: int | None, timeout_secs: float) -> str:
    """One line: which call of a thread has not returned, and what to do about it."""
    frame: FrameType | None = sys._current_frames().get(thread_id or 0)
    stack = [] if frame is None else list(traceback.walk_stack(frame))[::-1]
    call = _find((each.f_code.co_filename, line, each.f_code.co_name) for each, line in stack)
    if call is None:
        return f"hangs: not done in {timeout_secs:g} s"
    remedy = HANG_REMEDIES.get(call.method, "return in time")
    return f"hangs: {call.method} has not returned in {timeout_secs:g} s ({call.place}): {remedy}"


def _walk(error: BaseException) -> Iterable[tuple[FrameType, int]]:
    return traceback.walk_tb(error.__traceback__)


def _find(frames: Iterable[tuple[str, int, str]]) -> PluginCall | None:
    """frames: (file, line, function), the outermost first."""
    method, home, place = "", "", ""
    for file, line, function in frames:
        path = Path(file)
        if not method and function in REMEDIES and not _is_ours(path):
            method, home = function, file
        if method and file == home:
            place = f"{path.name}:{line}"
    return PluginCall(method=method, place=place) if method else None


def _is_ours(path: Path) -> bool:
    return _KIT in path.parents or _DRIVER in path.parents
