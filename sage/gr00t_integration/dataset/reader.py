"""A data set folder of either layout as episodes with columns and videos.

Invariant: only what is there is returned; every fault is a DataError with the file, the value and a remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sage.errors import DataError
from sage.gr00t_integration.dataset.layout import ACTION, CHUNK_SIZE, INDEX_COLUMNS, STATE, V21, V30
from sage.gr00t_integration.dataset.metadata import check_info, check_modality
from sage.gr00t_integration.dataset.packages import load_pyarrow
from sage.user_file import parse_user_json, read_user_text


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeVideo:
    """path: the file.  first, num: the episode's frames in it."""

    path: Path
    first: int
    num: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """length: as its metadata has it.  columns: name -> (rows, ...).  source: the file of the rows."""

    index: int
    length: int
    tasks: tuple[str, ...]
    columns: dict[str, np.ndarray]
    source: Path
    videos: dict[str, EpisodeVideo]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """info: meta/info.json.  tasks: task_index -> text.  modality: GR00T's file, None where there is none."""

    folder: Path
    version: str
    info: dict[str, Any]
    tasks: dict[int, str]
    stats: dict[str, Any]
    modality: dict[str, Any] | None
    episodes: tuple[Episode, ...] = field(repr=False)

    @property
    def fps(self) -> float:
        return float(self.info["fps"])

    @property
    def video_keys(self) -> tuple[str, ...]:
        features = self.info["features"]
        return tuple(key for key, each in features.items() if each.get("dtype") == "video")


def open_dataset(folder: Path) -> Dataset:
    """Read metadata and rows, not the videos. DataError with the first fault."""
    info = _json(folder / "meta" / "info.json")
    version = str(info.get("codebase_version"))
    if version not in (V21, V30):
        raise DataError(
            f"{folder}/meta/info.json: codebase_version is {version}: give a data set of {V21} or {V30}"
        )
    check_info(folder, info)
    modality_path = folder / "meta" / "modality.json"
    modality = _json(modality_path) if modality_path.is_file() else None
    if version == V21 and modality is None:
        raise DataError(f"{modality_path}: missing: GR00T reads {V21} with it: write state and action ranges")
    if modality is not None:
        check_modality(folder, info["features"], modality)
    tasks, episodes = (_read_v21 if version == V21 else _read_v30)(folder, info)
    return Dataset(
        folder=folder,
        version=version,
        info=info,
        tasks=tasks,
        stats=_json(folder / "meta" / "stats.json"),
        modality=modality,
        episodes=tuple(episodes),
    )


def _read_v21(folder: Path, info: dict[str, Any]) -> tuple[dict[int, str], list[Episode]]:
    tasks = _tasks(_lines(folder / "meta" / "tasks.jsonl"), folder / "meta" / "tasks.jsonl")
    path = folder / "meta" / "episodes.jsonl"
    episodes = []
    for row in _lines(path):
        index, length = _of(row, "episode_index", path), _of(row, "length", path)
        chunk_size = _of({"chunks_size": CHUNK_SIZE, **info}, "chunks_size", folder / "meta/info.json")
        places = {"episode_chunk": index // max(chunk_size, 1), "episode_index": index}
        source = _place(folder, info, "data_path", **places)
        videos = {
            key: EpisodeVideo(
                path=_place(folder, info, "video_path", video_key=key, **places), first=0, num=length
            )
            for key, each in info["features"].items()
            if each.get("dtype") == "video"
        }
        episodes.append(
            Episode(
                index=index,
                length=length,
                tasks=_texts(row, path),
                columns=_columns(source, info["features"]),
                source=source,
                videos=videos,
            )
        )
    return tasks, episodes


def _read_v30(folder: Path, info: dict[str, Any]) -> tuple[dict[int, str], list[Episode]]:
    path = folder / "meta" / "tasks.parquet"
    rows = _rows(path)
    texts = [next((value for key, value in row.items() if key != "task_index"), None) for row in rows]
    tasks = _tasks([{**row, "task": text} for row, text in zip(rows, texts)], path)
    tables: dict[Path, dict[str, np.ndarray]] = {}
    episodes = []
    files = sorted((folder / "meta" / "episodes").rglob("*.parquet"))
    if not files:
        raise DataError(f"{folder}/meta/episodes: no parquet file: record the data set again")
    for path in files:
        for row in _rows(path):
            place = {
                "chunk_index": _of(row, "data/chunk_index", path),
                "file_index": _of(row, "data/file_index", path),
            }
            source = _place(folder, info, "data_path", **place)
            if source not in tables:
                tables[source] = _columns(source, info["features"])
            episodes.append(_episode_v30(folder, info, row, path, source, tables[source]))
    return tasks, episodes


def _episode_v30(
    folder: Path,
    info: dict[str, Any],
    row: dict[str, Any],
    path: Path,
    source: Path,
    table: dict[str, np.ndarray],
) -> Episode:
    index = _of(row, "episode_index", path)
    is_own = table["episode_index"].reshape(-1) == index
    videos = {}
    for key, each in info["features"].items():
        if each.get("dtype") != "video":
            continue
        place = {
            "chunk_index": _of(row, f"videos/{key}/chunk_index", path),
            "file_index": _of(row, f"videos/{key}/file_index", path),
        }
        first, last = (
            round(_number(row, f"videos/{key}/{end}_timestamp", path) * info["fps"]) for end in ("from", "to")
        )
        videos[key] = EpisodeVideo(
            path=_place(folder, info, "video_path", video_key=key, **place),
            first=first,
            num=last - first,
        )
    return Episode(
        index=index,
        length=_of(row, "length", path),
        tasks=_texts(row, path),
        columns={name: values[is_own] for name, values in table.items()},
        source=source,
        videos=videos,
    )


def _columns(path: Path, features: dict[str, Any]) -> dict[str, np.ndarray]:
    """State, action and index columns of a parquet file, with the shapes of the features."""
    table = _table(path)
    found = {}
    for name in (STATE, ACTION, *INDEX_COLUMNS):
        if name not in table.column_names:
            raise DataError(f"{path}: no column {name}: record the data set again")
        size = int(np.prod(features[name].get("shape") or [1]))
        try:
            values = np.array(table[name].to_pylist(), dtype=np.float64)
            values = values.reshape(len(table), -1 if len(table) else size)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: {name}: rows of several sizes or types: give {size} numbers each"
            ) from error
        if len(table) and values.shape[1] != size:
            raise DataError(f"{path}: {name}: {values.shape[1]} numbers a row: meta/info.json has {size}")
        found[name] = values
    return found


def _tasks(rows: list[dict[str, Any]], path: Path) -> dict[int, str]:
    found = {_of(row, "task_index", path): row.get("task") for row in rows}
    if not found or not all(isinstance(text, str) and text for text in found.values()):
        raise DataError(f"{path}: no task, or one without text: give each task_index its instruction")
    return {index: str(text) for index, text in found.items()}


def _of(row: dict[str, Any], key: str, path: Path) -> int:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DataError(f"{path}: {key} is {value!r}: give an integer, 0 or more")
    return value


def _texts(row: dict[str, Any], path: Path) -> tuple[str, ...]:
    """An episode's tasks; none where it names none."""
    texts = row.get("tasks") or []
    if not isinstance(texts, list):
        raise DataError(f"{path}: tasks is {texts!r:.80}: give a list of texts")
    return tuple(map(str, texts))


def _number(row: dict[str, Any], key: str, path: Path) -> float:
    value = row.get(key)
    if not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise DataError(f"{path}: {key} is {value!r}: give a time in seconds")
    return float(value)


def _place(folder: Path, info: dict[str, Any], key: str, **parts: Any) -> Path:
    try:
        return folder / str(info[key]).format(**parts)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder}/meta/info.json: {key} is {info[key]!r}: {error}: use {', '.join(parts)}"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        value = parse_user_json(read_user_text(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing: give the folder of a data set with meta/") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}: record the data set again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: a {type(value).__name__}: a JSON object is needed")
    return value


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [parse_user_json(line) for line in read_user_text(path).splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing: record the data set again") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not lines of JSON: {error}: record the data set again") from error
    return lines


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _table(path).to_pylist()
    return rows


def _table(path: Path) -> Any:
    arrow, parquet = load_pyarrow()
    if not path.is_file():
        raise DataError(f"{path}: missing: the episodes name it: copy the whole folder, or record again")
    try:
        return parquet.read_table(str(path))
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a parquet file that can be read: {error}: record again") from error
