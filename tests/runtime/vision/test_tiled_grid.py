"""Tiles of a frame: what changes gets focus, none waits too long, trust makes predictions useful."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.model.attention import AttentionName
from sage.runtime.channels.layout import Layout
from sage.runtime.channels.maps import LuminanceGrid, observation_map
from sage.runtime.vision.focus import FocusAttention
from sage.runtime.vision.tiled_grid import TiledGrid

GRID, TILE = (6, 8), 24
SHAPE = (GRID[0] * TILE, GRID[1] * TILE)
NUM_TILES = 48


def place(tile: int) -> tuple[slice, slice]:
    row, column = divmod(tile, GRID[1])
    return slice(row * TILE, (row + 1) * TILE), slice(column * TILE, (column + 1) * TILE)


def still(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, SHAPE, dtype=np.uint8)


def test_a_tile_that_changes_gets_focus_at_once_and_alone() -> None:
    view, frame = TiledGrid(SHAPE, GRID, 2), still()
    for _ in range(6):
        view(frame)
        assert not len(view.focus)
    for tile in (5, 41):
        frame = frame.copy()
        frame[place(tile)] = 255 - frame[place(tile)]
        view(frame)
        assert view.focus.tolist() == [tile]


@pytest.mark.parametrize("focus_tiles", [1, 5])
def test_no_tile_waits_longer_than_its_limit(focus_tiles: int) -> None:
    """Six tiles move all the time."""
    view, frame, generator = TiledGrid(SHAPE, GRID, focus_tiles), still(), np.random.default_rng(0)
    seen = np.zeros(NUM_TILES)
    for _ in range(260):
        frame = frame.copy()
        for tile in range(6):
            frame[place(tile)] = generator.integers(0, 255, (TILE, TILE))
        view(frame)
        assert len(view.focus) <= focus_tiles
        seen[view.focus] += 1
        assert view.attention.waited.max() <= 4 * NUM_TILES / focus_tiles + 1
    assert seen.min() >= 1


def useful_predictions(*, uses_trust: bool) -> tuple[int, np.ndarray]:
    """Of 10 tiles with a drifting pattern, 10 of noise and 28 still ones, 4 in focus: how often the pixels of
    a tile's last focus predict it better than its mean does, and how often each tile had focus.
    """
    view = TiledGrid(SHAPE, GRID, 4, uses_trust=uses_trust)
    generator, frame = np.random.default_rng(1), still()
    across = np.arange(TILE)
    remembered: dict[int, np.ndarray] = {}
    num_useful, visits = 0, np.zeros(NUM_TILES)
    for tick in range(150):
        frame = frame.copy()
        for tile in range(10):
            frame[place(tile)] = 128 + 60 * np.sin(2 * np.pi * across / TILE + 0.22 * tick + tile)
        for tile in range(10, 20):
            frame[place(tile)] = generator.integers(0, 255, (TILE, TILE))
        for tile in range(20):
            now = frame[place(tile)].astype(float)
            if tick >= 30 and tile in remembered:
                num_useful += ((now - remembered[tile]) ** 2).mean() < now.var()
        view(frame)
        visits[view.focus] += 1
        remembered |= {int(tile): frame[place(tile)].astype(float) for tile in view.focus}
    return num_useful, visits


def test_useful_predictions_rise_where_trust_points() -> None:
    with_trust, visits = useful_predictions(uses_trust=True)
    without, visits_without = useful_predictions(uses_trust=False)
    assert visits[:10].sum() > 2 * visits[10:20].sum()
    assert visits_without[:10].sum() < visits_without[10:20].sum()
    assert with_trust > 1.5 * without


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_attention_runs_on_the_focus_tiles_alone(backend: AttentionName) -> None:
    focus, frame = FocusAttention((TILE, TILE), GRID, backend), still()
    tiles, trust = np.array([3, 30]), np.array([1.0, 0.5])
    before = focus.summary(frame, tiles, trust)
    assert before == pytest.approx(FocusAttention((TILE, TILE), GRID).summary(frame, tiles, trust), abs=1e-5)
    for tile, is_other in ((7, False), (30, True)):
        changed = frame.copy()
        changed[place(tile)] = 10
        assert bool(np.abs(focus.summary(changed, tiles, trust) - before).max() > 1e-3) is is_other
    assert not focus.summary(frame, tiles[:0], trust[:0]).any()


def test_an_image_source_has_tiles_where_they_are_asked_for(spec) -> None:
    camera = spec("camera", 1)
    colour = type(camera.tensor)(shape=(*SHAPE, 3), dtype="uint8")
    image = type(camera)(
        name="camera", modality="physical", tensor=colour, period_ns=1, observes=("light", "1")
    )
    assert isinstance(observation_map(image), LuminanceGrid)
    layout = Layout.of(
        [
            image,
            camera.__class__(
                name="b", modality="physical", tensor=camera.tensor, period_ns=1, observes=("x", "1")
            ),
        ],
        4,
    )
    assert layout.dims.tolist() == [64, 1]
    frame = np.repeat(still()[..., None], 3, axis=2)
    observed = layout.maps[0](frame)
    assert observed.shape == (64,)
    assert observed[:NUM_TILES] == pytest.approx(observation_map(image)(frame), abs=1.0)


@pytest.mark.parametrize(("shape", "focus_tiles"), [(SHAPE, 49), ((24, 32), 2)])
def test_tiles_that_are_too_many_or_too_small_are_refused(shape: tuple[int, int], focus_tiles: int) -> None:
    with pytest.raises(InputError, match="focus_tiles"):
        TiledGrid(shape, GRID, focus_tiles)
