"""Names and metadata that both layouts share: features, columns and the modality file.

Invariant: every column of a data set is a feature of meta/info.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sage.gr00t_integration.embodiment import Embodiment

STATE, ACTION = "observation.state", "action"
#: Columns beside state and action -> dtype.
INDEX_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
V21, V30 = "v2.1", "v3.0"
CHUNK_SIZE = 1000
PATHS = {
    V21: {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    },
    V30: {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    },
}


def video_key(view: str) -> str:
    return f"observation.images.{view}"


def modality_of(embodiment: Embodiment) -> dict[str, Any]:
    """The content of GR00T's meta/modality.json."""
    return {
        "state": _ranges(embodiment.state.dims),
        "action": _ranges({name: key.dim for name, key in embodiment.action.keys.items()}),
        "video": {view: {"original_key": video_key(view)} for view in embodiment.video.views},
        "annotation": {
            embodiment.language.removeprefix("annotation."): {"original_key": "task_index"},
        },
    }


def features_of(
    embodiment: Embodiment, sizes: dict[str, tuple[int, int]], fps: int
) -> dict[str, dict[str, Any]]:
    """meta/info.json's features. sizes: view -> (height, width)."""
    state_names = [f"{name}.{i}" for name, dim in embodiment.state.dims.items() for i in range(dim)]
    features: dict[str, dict[str, Any]] = {
        STATE: {"dtype": "float32", "shape": [len(state_names)], "names": state_names},
        ACTION: {
            "dtype": "float32",
            "shape": [embodiment.action_size],
            "names": list(embodiment.action_channels),
        },
    }
    for view, (height, width) in sizes.items():
        features[video_key(view)] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.fps": fps,
                "video.height": height,
                "video.width": width,
                "video.channels": 3,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "has_audio": False,
            },
        }
    for name, dtype in INDEX_COLUMNS.items():
        features[name] = {"dtype": dtype, "shape": [1], "names": None}
    return features


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_lines(path: Path, values: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def _ranges(dims: dict[str, int]) -> dict[str, dict[str, int]]:
    found, start = {}, 0
    for name, dim in dims.items():
        found[name] = {"start": start, "end": start + dim}
        start += dim
    return found
