"""Whether a data set is whole: files, lengths, indices, times, values, videos, statistics, names.

Invariant: `check_dataset` returns facts only where everything holds; else DataError with the first fault and
its remedy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sage.errors import DataError
from sage.gr00t_integration.dataset.layout import ACTION, STATE
from sage.gr00t_integration.dataset.metadata import is_number
from sage.gr00t_integration.dataset.reader import Dataset, Episode, open_dataset
from sage.gr00t_integration.dataset.video import VideoFacts, video_facts
from sage.gr00t_integration.embodiment import Embodiment

#: Of a frame's time to frame_index / fps, in frames; of a statistic to its value, as a part of the range.
MAX_TIME_ERROR, MAX_STATS_ERROR = 0.1, 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    folder: str
    version: str
    num_episodes: int
    num_frames: int
    fps: float
    state_size: int
    action_size: int
    views: tuple[str, ...]
    tasks: tuple[str, ...]
    embodiment: str

    def lines(self) -> list[str]:
        fits = f", fits {self.embodiment}" if self.embodiment else ""
        return [
            f"{self.folder}: good: {self.version}{fits}",
            f"{self.num_episodes} episodes, {self.num_frames} frames at {self.fps:g} a second",
            f"{self.state_size} states, {self.action_size} actions",
            f"cameras: {', '.join(self.views) or 'none'}",
            f"tasks: {'; '.join(self.tasks)}",
        ]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def check_dataset(folder: Path, embodiment: Embodiment | None = None) -> DatasetFacts:
    """Read everything. DataError with the first thing that is wrong."""
    dataset = open_dataset(folder)
    if not dataset.episodes:
        raise DataError(f"{folder}: no episode: record one")
    start = 0
    for position, episode in enumerate(sorted(dataset.episodes, key=lambda each: each.index)):
        _check_rows(dataset, episode, position, start)
        start += episode.length
    _check_totals(dataset, start)
    _check_values(dataset)
    _check_videos(dataset)
    if embodiment is not None:
        _check_embodiment(dataset, embodiment)
    features = dataset.info["features"]
    return DatasetFacts(
        folder=str(folder),
        version=dataset.version,
        num_episodes=len(dataset.episodes),
        num_frames=start,
        fps=dataset.fps,
        state_size=int(features[STATE]["shape"][0]),
        action_size=int(features[ACTION]["shape"][0]),
        views=dataset.video_keys,
        tasks=tuple(dataset.tasks[index] for index in sorted(dataset.tasks)),
        embodiment="" if embodiment is None else embodiment.name,
    )


def _check_rows(dataset: Dataset, episode: Episode, position: int, start: int) -> None:
    where, columns = f"{episode.source}: episode {episode.index}", episode.columns
    if episode.index != position:
        raise DataError(f"{where}: its index is not {position}: number the episodes from 0 without gaps")
    num = len(columns["index"])
    if num != episode.length or num == 0:
        raise DataError(f"{where}: {num} rows, its metadata has length {episode.length}: correct the length")
    frames = np.arange(num)
    for name, wanted in (("frame_index", frames), ("index", frames + start)):
        wrong = np.flatnonzero(columns[name][:, 0] != wanted)
        if wrong.size:
            row = int(wrong[0])
            raise DataError(
                f"{where}: {name} of row {row} is {columns[name][row, 0]:g}, not {wanted[row]}: sort or"
                " renumber the rows"
            )
    if (columns["episode_index"] != episode.index).any():
        raise DataError(f"{where}: rows with another episode_index: move them to their episode")
    late = np.abs(columns["timestamp"][:, 0] * dataset.fps - frames)
    if not (late <= MAX_TIME_ERROR).all():
        row = int(np.argmax(np.nan_to_num(late, nan=np.inf)))
        raise DataError(
            f"{where}: timestamp of row {row} is {columns['timestamp'][row, 0]:g} s, not"
            f" {row / dataset.fps:g} at {dataset.fps:g} frames a second: resample, or correct fps"
        )
    unknown = sorted(set(columns["task_index"][:, 0].astype(int)) - set(dataset.tasks))
    if unknown:
        raise DataError(f"{where}: task_index {unknown[0]} is not in the tasks: add its instruction")


def _check_totals(dataset: Dataset, num_frames: int) -> None:
    wanted = {
        "total_episodes": len(dataset.episodes),
        "total_frames": num_frames,
        "total_tasks": len(dataset.tasks),
    }
    for key, value in wanted.items():
        if dataset.info.get(key) != value:
            raise DataError(
                f"{dataset.folder}/meta/info.json: {key} is {dataset.info.get(key)}, the files have {value}:"
                " correct it"
            )


def _check_values(dataset: Dataset) -> None:
    for name in (STATE, ACTION):
        for episode in dataset.episodes:
            bad = np.argwhere(~np.isfinite(episode.columns[name]))
            if len(bad):
                row, column = bad[0]
                raise DataError(
                    f"{episode.source}: episode {episode.index}: {name}[{column}] of row {row} is NaN or"
                    " infinite: remove the frame, or record again"
                )
        values = np.concatenate([episode.columns[name] for episode in dataset.episodes])
        _check_stats(dataset, name, values)


def _check_stats(dataset: Dataset, name: str, values: np.ndarray) -> None:
    given, where = dataset.stats.get(name), f"{dataset.folder}/meta/stats.json: {name}"
    measured = {
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "min": values.min(axis=0),
        "max": values.max(axis=0),
    }
    scale = np.maximum(measured["max"] - measured["min"], 1e-3)
    for key, wanted in measured.items():
        found = given.get(key) if isinstance(given, dict) else None
        if not isinstance(found, list) or len(found) != len(wanted):
            raise DataError(f"{where}: no {key} of {len(wanted)} numbers: compute the statistics again")
        odd = next((number for number, value in enumerate(found) if not is_number(value)), None)
        if odd is not None:
            raise DataError(
                f"{where}: {key}[{odd}] is {found[odd]!r:.40}, no number: compute the statistics again"
            )
        error = np.abs(np.array(found, dtype=np.float64) - wanted) / scale
        if not (error <= MAX_STATS_ERROR).all():
            channel = int(np.argmax(np.nan_to_num(error, nan=np.inf)))
            raise DataError(
                f"{where}: {key}[{channel}] is {found[channel]:g}, the rows have {wanted[channel]:g}: compute"
                " the statistics again"
            )


def _check_videos(dataset: Dataset) -> None:
    read: dict[Path, VideoFacts] = {}
    used: dict[Path, int] = {}
    for episode in dataset.episodes:
        for key, video in episode.videos.items():
            if not video.path.is_file():
                raise DataError(f"{video.path}: missing: copy the whole folder, or record again")
            if video.path not in read:
                read[video.path] = video_facts(video.path)
            if video.num != episode.length:
                raise DataError(
                    f"{video.path}: episode {episode.index} has {video.num} frames of {episode.length} rows:"
                    " correct its timestamps in meta/episodes"
                )
            used[video.path] = used.get(video.path, 0) + video.num
            _check_video(dataset, key, video.path, read[video.path])
    for path, num in used.items():
        if read[path].num_frames != num:
            raise DataError(
                f"{path}: {read[path].num_frames} frames, its episodes have {num} rows: encode it again"
            )


def _check_video(dataset: Dataset, key: str, path: Path, facts: VideoFacts) -> None:
    wanted = tuple(dataset.info["features"][key].get("shape") or ())[:2]
    if wanted != (facts.height, facts.width):
        raise DataError(
            f"{path}: frames of {facts.height} x {facts.width}, meta/info.json has"
            f" {' x '.join(map(str, wanted))}: correct the shape"
        )
    if abs(facts.fps - dataset.fps) > 0.01 * dataset.fps:
        raise DataError(f"{path}: {facts.fps:g} frames a second, not {dataset.fps:g}: encode it again")


def _check_embodiment(dataset: Dataset, embodiment: Embodiment) -> None:
    where = f"{dataset.folder}: not the embodiment {embodiment.name}"
    wanted = {
        STATE: sum(embodiment.state.dims.values()),
        ACTION: embodiment.action_size,
    }
    for name, size in wanted.items():
        found = int(dataset.info["features"][name]["shape"][0])
        if dataset.modality is None and found != size:
            raise DataError(f"{where}: {name} has {found} numbers, not {size}: give another embodiment")
    if dataset.modality is None:
        return
    dims = {
        "state": embodiment.state.dims,
        "action": {name: key.dim for name, key in embodiment.action.keys.items()},
        "video": dict.fromkeys(embodiment.video.views, 0),
    }
    for group, keys in dims.items():
        given = dataset.modality.get(group) or {}
        for name, dim in keys.items():
            if name not in given:
                raise DataError(f"{where}: no {group}.{name} in modality.json: give another embodiment")
            size = given[name].get("end", 0) - given[name].get("start", 0)
            if dim and size != dim:
                raise DataError(f"{where}: {group}.{name} has {size} numbers, not {dim}: correct one of them")
