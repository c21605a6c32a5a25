"""`sage memory inspect` shows who was right, from the snapshot's learned state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sage.app.memories.archive import Mind
from sage.app.memories.inspect import entities_of, render_entities
from sage.memory.stores.entities import EntityMemory
from sage.memory.stores.journal_file import JournalContents
from sage.runtime.snapshot import STATE


def mind_of(folder: Path | None) -> Mind:
    return Mind(key="key", folder=folder, about={}, contents=JournalContents(), tables=())


def test_who_was_right_is_read_from_the_snapshot(tmp_path: Path) -> None:
    entities = EntityMemory(2)
    for _ in range(20):
        entities.judge(["gps", "imu"], np.array([0.0, 1.0]), context=1)
    save_file(
        {f"entities.{name}": array for name, array in entities.state().items()} | {"trust.x": np.ones(1)},
        tmp_path / STATE,
    )
    assert entities_of(mind_of(tmp_path)) == entities.records()
    text = render_entities(entities.records())
    assert text.index("gps") < text.index("imu")
    assert "1: " in text


def test_no_snapshot_or_an_older_one_has_none(tmp_path: Path) -> None:
    assert entities_of(mind_of(None)) == []
    assert entities_of(mind_of(tmp_path)) == []
    save_file({"trust.x": np.ones(1)}, tmp_path / STATE)
    assert entities_of(mind_of(tmp_path)) == []
