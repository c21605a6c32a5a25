"""One recording as two data sets: OUT/v2.1 with GR00T's modality file, and OUT/v3.0.

v2.1 has a parquet file and videos for each episode; v3.0 has files with all episodes, and tables of episodes
and tasks. Invariant: both have the same rows and frames, and a folder is whole only when `close` has
returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.dataset import layout
from sage.gr00t_integration.dataset.layout import ACTION, CHUNK_SIZE, STATE, V21, V30, video_key
from sage.gr00t_integration.dataset.packages import load_pyarrow
from sage.gr00t_integration.dataset.stats import ImageStats, column_stats
from sage.gr00t_integration.dataset.tables import data_table, episodes_table, tasks_table
from sage.gr00t_integration.dataset.video import VideoWriter, check_size
from sage.gr00t_integration.embodiment import Embodiment


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """columns: name -> (length, ...).  start: index of its first row.  stats: by feature."""

    task: str
    columns: dict[str, np.ndarray]
    start: int
    stats: dict[str, Any]

    @property
    def length(self) -> int:
        return len(self.columns["index"])


class DatasetWriter:
    """Give frames with `add`, end each episode with `end_episode`, then `close`.

    folder: new or empty.  fps: frames a second.  robot: its type, for meta/info.json.
    """

    def __init__(self, folder: Path, embodiment: Embodiment, *, fps: int, robot: str | None = None) -> None:
        if fps < 1:
            raise InputError(f"fps is {fps}: give 1 or more")
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder}: not empty: give a new folder")
        load_pyarrow()
        self._folder = folder
        self._embodiment = embodiment
        self._fps = fps
        self._robot = robot or embodiment.name
        self._sizes: dict[str, tuple[int, int]] = {}
        self._episodes: list[EpisodeRecord] = []
        self._tasks: dict[str, int] = {}
        self._all_images = {view: ImageStats() for view in embodiment.video.views}
        self._images: dict[str, ImageStats] = {}
        self._single: dict[str, VideoWriter] = {}
        self._joined: dict[str, VideoWriter] = {}
        self._rows: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_rows = 0

    @property
    def num_episodes(self) -> int:
        return len(self._episodes)

    @property
    def num_frames(self) -> int:
        return self._num_rows + len(self._rows)

    def add(self, images: dict[str, np.ndarray], state: np.ndarray, action: np.ndarray) -> None:
        """One frame. images: view -> (height, width, 3) uint8.  state, action: the embodiment's, joined.

        InputError for a frame that does not fit; nothing of it is written then.
        """
        sizes = (sum(self._embodiment.state.dims.values()), self._embodiment.action_size)
        if (state.size, action.size) != sizes or set(images) != set(self._embodiment.video.views):
            raise InputError(
                f"a frame has {state.size} states, {action.size} actions and the views {', '.join(images)}:"
                f" {self._embodiment.name} has {sizes[0]}, {sizes[1]} and {', '.join(self._all_images)}"
            )
        if not (np.isfinite(state).all() and np.isfinite(action).all()):
            raise InputError("a frame has NaN or infinity in its state or action: leave it out")
        for view, image in images.items():
            self._check_image(view, image)
        for view, image in images.items():
            self._writer(self._single, view, self._episode_video(view), image).write(image)
            self._writer(self._joined, view, self._joined_video(view), image).write(image)
            self._images.setdefault(view, ImageStats()).add(image)
            self._all_images[view].add(image)
        self._rows.append((state.astype(np.float32).reshape(-1), action.astype(np.float32).reshape(-1)))

    def end_episode(self, task: str) -> None:
        """Write the episode; nothing without frames. task: the instruction."""
        if not self._rows:
            return
        for writer in self._single.values():
            writer.close()
        self._single = {}
        task_index = self._tasks.setdefault(task, len(self._tasks))
        length, number = len(self._rows), len(self._episodes)
        frames = np.arange(length, dtype=np.int64)
        columns = {
            STATE: np.stack([state for state, _ in self._rows]),
            ACTION: np.stack([action for _, action in self._rows]),
            "timestamp": (frames / self._fps).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(length, number, dtype=np.int64),
            "index": frames + self._num_rows,
            "task_index": np.full(length, task_index, dtype=np.int64),
        }
        stats = {name: column_stats(values) for name, values in columns.items()}
        stats |= {video_key(view): images.plain() for view, images in self._images.items()}
        self._episodes.append(EpisodeRecord(task=task, columns=columns, start=self._num_rows, stats=stats))
        self._write_table(self._episode_data(number), data_table(columns))
        self._num_rows += length
        self._rows = []
        self._images = {}

    def close(self) -> None:
        """Write the metadata. InputError without an episode, and where one was not ended: its frames are in
        the videos already, so that it can only be ended.
        """
        if self._rows:
            raise InputError(f"{len(self._rows)} frames are in no episode: call end_episode, then close")
        for writer in (*self._single.values(), *self._joined.values()):
            writer.close()
        if not self._episodes:
            raise InputError("nothing was recorded: no frame had every image, state and action")
        columns = {
            name: np.concatenate([episode.columns[name] for episode in self._episodes])
            for name in self._episodes[0].columns
        }
        stats = {name: column_stats(values) for name, values in columns.items()}
        stats |= {video_key(view): images.plain() for view, images in self._all_images.items()}
        for version in (V21, V30):
            meta = self._folder / version / "meta"
            layout.write_json(meta / "info.json", self._info(version))
            layout.write_json(meta / "stats.json", stats)
            layout.write_json(meta / "modality.json", layout.modality_of(self._embodiment))
        self._close_v21()
        self._close_v30(columns)

    def _close_v21(self) -> None:
        meta = self._folder / V21 / "meta"
        episodes = list(enumerate(self._episodes))
        layout.write_lines(
            meta / "episodes.jsonl",
            [{"episode_index": i, "tasks": [each.task], "length": each.length} for i, each in episodes],
        )
        layout.write_lines(
            meta / "episodes_stats.jsonl",
            [{"episode_index": i, "stats": each.stats} for i, each in episodes],
        )
        tasks = [{"task_index": index, "task": task} for task, index in self._tasks.items()]
        layout.write_lines(meta / "tasks.jsonl", tasks)

    def _close_v30(self, columns: dict[str, np.ndarray]) -> None:
        home = self._folder / V30
        self._write_table(home / "data/chunk-000/file-000.parquet", data_table(columns))
        rows = [
            {
                "episode_index": number,
                "tasks": [episode.task],
                "length": episode.length,
                "dataset_from_index": episode.start,
                "dataset_to_index": episode.start + episode.length,
                "stats": episode.stats,
            }
            for number, episode in enumerate(self._episodes)
        ]
        views = [video_key(view) for view in self._embodiment.video.views]
        self._write_table(
            home / "meta/episodes/chunk-000/file-000.parquet", episodes_table(rows, views, self._fps)
        )
        self._write_table(home / "meta/tasks.parquet", tasks_table(list(self._tasks)))

    def _info(self, version: str) -> dict[str, Any]:
        num, num_views = len(self._episodes), len(self._embodiment.video.views)
        info: dict[str, Any] = {
            "codebase_version": version,
            "robot_type": self._robot,
            "total_episodes": num,
            "total_frames": self._num_rows,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK_SIZE,
            "fps": self._fps,
            "splits": {"train": f"0:{num}"},
            **layout.PATHS[version],
            "features": layout.features_of(self._embodiment, self._sizes, self._fps),
        }
        if version == V21:
            info["total_videos"] = num * num_views
            info["total_chunks"] = (num + CHUNK_SIZE - 1) // CHUNK_SIZE
        else:
            info["data_files_size_in_mb"] = 100
            info["video_files_size_in_mb"] = 200
        return info

    def _check_image(self, view: str, image: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
            raise InputError(f"{view}: {image.dtype.name} of shape {image.shape}: give (H, W, 3) uint8")
        size = image.shape[0], image.shape[1]
        check_size(view, *size)
        if size != self._sizes.get(view, size):
            raise InputError(
                f"{view}: a frame of {size[0]} x {size[1]} follows frames of"
                f" {' x '.join(map(str, self._sizes[view]))}: keep one size"
            )

    def _writer(
        self, writers: dict[str, VideoWriter], view: str, path: Path, image: np.ndarray
    ) -> VideoWriter:
        if view not in writers:
            height, width = image.shape[:2]
            self._sizes[view] = (height, width)
            writers[view] = VideoWriter(path, fps=self._fps, height=height, width=width)
        return writers[view]

    def _episode_data(self, number: int) -> Path:
        path = layout.PATHS[V21]["data_path"]
        return self._folder / V21 / path.format(episode_chunk=number // CHUNK_SIZE, episode_index=number)

    def _episode_video(self, view: str) -> Path:
        path, number = layout.PATHS[V21]["video_path"], len(self._episodes)
        chunk = number // CHUNK_SIZE
        return (
            self._folder
            / V21
            / path.format(episode_chunk=chunk, video_key=video_key(view), episode_index=number)
        )

    def _joined_video(self, view: str) -> Path:
        path = layout.PATHS[V30]["video_path"]
        return self._folder / V30 / path.format(video_key=video_key(view), chunk_index=0, file_index=0)

    def _write_table(self, path: Path, table: Any) -> None:
        _, parquet = load_pyarrow()
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, str(path))
