"""The checks of a data set's meta/info.json and of GR00T's meta/modality.json.

Invariant: what passes has the keys and types that the reader uses; else DataError with the file, the value
and a remedy.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeGuard

from sage.errors import DataError
from sage.gr00t_integration.dataset.layout import ACTION, INDEX_COLUMNS, STATE

#: Of a camera, at most.
MAX_FPS = 1e6


def check_info(folder: Path, info: dict[str, Any]) -> None:
    """info: of a version that is known."""
    where = f"{folder}/meta/info.json"
    for key, kind in (("features", dict), ("data_path", str), ("video_path", str)):
        if not isinstance(info.get(key), kind) or not info[key]:
            raise DataError(f"{where}: {key} is {info.get(key)!r}: record the data set again")
    fps = info.get("fps")
    if not is_number(fps) or not 0 < fps <= MAX_FPS:
        raise DataError(f"{where}: fps is {fps!r:.80}: give the frames a second, up to {MAX_FPS:,.0f}")
    features = info["features"]
    for name in (STATE, ACTION, *INDEX_COLUMNS):
        if name not in features:
            raise DataError(f"{where}: no feature {name}: add it, or record again")
    for name, feature in features.items():
        if not isinstance(feature, dict):
            raise DataError(f"{where}: feature {name} is {feature!r:.80}: give its dtype and shape")
        if name not in (STATE, ACTION, *INDEX_COLUMNS) and feature.get("dtype") != "video":
            continue
        shape = feature.get("shape", None if name in (STATE, ACTION) else [1])
        if not _is_shape(shape):
            raise DataError(f"{where}: shape of {name} is {shape!r:.80}: give a list of sizes of 1 or more")


def check_modality(folder: Path, features: dict[str, Any], modality: dict[str, Any]) -> None:
    """features: of meta/info.json, which has passed `check_info`."""
    where = f"{folder}/meta/modality.json"
    for group, feature in (("state", STATE), ("action", ACTION)):
        ranges = modality.get(group)
        if not isinstance(ranges, dict) or not ranges:
            raise DataError(
                f"{where}: {group} is {ranges!r:.80}: give a start and an end for each of its keys"
            )
        for name, each in ranges.items():
            _check_range(f"{where}: {group}.{name}", each, feature, features)
    views = modality.get("video") or {}
    if not isinstance(views, dict):
        raise DataError(f"{where}: video is {views!r:.80}: give an original_key for each view")
    keys = [key for key, each in features.items() if each.get("dtype") == "video"]
    for view, each in views.items():
        if not isinstance(each, dict) or each.get("original_key") not in keys:
            raise DataError(
                f"{where}: video.{view}: its original_key is no video of meta/info.json: give one of"
                f" {', '.join(keys) or 'none'}"
            )


def is_number(value: Any) -> TypeGuard[float]:
    """An int or a float that is finite as a float."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an int beyond float64
        return False


def _check_range(where: str, given: Any, feature: str, features: dict[str, Any]) -> None:
    place = given if isinstance(given, dict) else {}
    start, end, original = place.get("start"), place.get("end"), place.get("original_key", feature)
    if not isinstance(original, str):
        raise DataError(f"{where}: its original_key is {original!r:.80}: give the name of a feature")
    shape = features.get(original, {}).get("shape")
    size = shape[0] if _is_shape(shape) else 0
    if not (type(start) is int and type(end) is int and 0 <= start < end <= size):
        raise DataError(f"{where} is {start} to {end}: {original} has {size} numbers: correct it")


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and bool(shape) and all(type(size) is int and size > 0 for size in shape)
