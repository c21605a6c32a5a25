"""The kind of task that is a folder, as the catalogue lists it."""

from __future__ import annotations

from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.tasks.catalogue import TaskKind

FOLDER = TaskKind(
    name="folder",
    about="a data set folder in the published layout",
    config=FolderConfig,
    build=FolderTask,
    files=("path",),
)
