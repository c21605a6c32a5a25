"""The parquet tables of a data set: rows of frames, and v3.0's episodes and tasks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from sage.gr00t_integration.dataset.layout import ACTION, INDEX_COLUMNS, STATE
from sage.gr00t_integration.dataset.packages import load_pyarrow


def data_table(columns: dict[str, np.ndarray]) -> Any:
    """State and action as lists of float32, the others as numbers."""
    arrow, _ = load_pyarrow()
    arrays = {
        name: arrow.array(list(columns[name]), type=arrow.list_(arrow.float32())) for name in (STATE, ACTION)
    }
    arrays |= {
        name: arrow.array(columns[name], type=arrow.type_for_alias(kind))
        for name, kind in INDEX_COLUMNS.items()
    }
    return arrow.table(arrays)


def episodes_table(rows: list[dict[str, Any]], video_keys: list[str], fps: int) -> Any:
    """v3.0's meta/episodes: where the rows and frames of each episode are, and its statistics.

    rows: maps with episode_index, tasks, length, dataset_from_index, dataset_to_index, stats.
    """
    arrow, _ = load_pyarrow()
    flat = []
    for row in rows:
        stats = row["stats"]
        one = {name: value for name, value in row.items() if name != "stats"}
        one |= {"data/chunk_index": 0, "data/file_index": 0}
        for key in video_keys:
            one |= {
                f"videos/{key}/chunk_index": 0,
                f"videos/{key}/file_index": 0,
                f"videos/{key}/from_timestamp": row["dataset_from_index"] / fps,
                f"videos/{key}/to_timestamp": row["dataset_to_index"] / fps,
            }
        one |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        for feature, values in stats.items():
            one |= {f"stats/{feature}/{name}": value for name, value in values.items()}
        flat.append(one)
    return arrow.Table.from_pylist(flat)


def tasks_table(tasks: list[str]) -> Any:
    """v3.0's meta/tasks.parquet: task_index, with the text as the index of a pandas frame."""
    arrow, _ = load_pyarrow()
    table = arrow.table(
        {"task_index": arrow.array(range(len(tasks)), type=arrow.int64()), "__index_level_0__": tasks}
    )
    column = {"name": None, "field_name": "__index_level_0__", "metadata": None}
    pandas = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [
            {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object",
             "metadata": {"encoding": "UTF-8"}}
        ],
        "columns": [
            {"name": "task_index", "field_name": "task_index", "pandas_type": "int64",
             "numpy_type": "int64", "metadata": None},
            {**column, "pandas_type": "unicode", "numpy_type": "object"},
        ],
        "creator": {"library": "pyarrow", "version": arrow.__version__},
        "pandas_version": "2.2.0",
    }  # fmt: skip
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
