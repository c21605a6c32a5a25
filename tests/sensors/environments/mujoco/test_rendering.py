"""Which GL library renders is found by a render in a child process; without one there is a reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sage.sensors.contract import SensorError
from sage.sensors.environments.mujoco import rendering
from sage.sensors.environments.mujoco.arm import HOME
from sage.sensors.environments.mujoco.rendering import FOUND, Camera, Rendering, find_rendering
from sage.sensors.environments.mujoco.simulation import Simulation

pytest.importorskip("mujoco")


@pytest.fixture(autouse=True)
def fresh_probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(FOUND, "")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    rendering._probe.cache_clear()
    yield
    rendering._probe.cache_clear()


def test_a_camera_whose_process_ends_is_one_fault() -> None:
    camera = Camera("<mujoco/>", "no_such_library", 48)
    simulation = Simulation("arm", pixels=48)
    with pytest.raises(
        SensorError, match=r"renders by no_such_library has ended: .*no_such_library"
    ) as caught:
        camera.render(simulation.model, simulation.data)
    assert "\n" not in str(caught.value)
    camera.close()
    with pytest.raises(SensorError, match="closed"):
        camera.render(simulation.model, simulation.data)


def test_this_process_loads_no_gl_library() -> None:
    found = find_rendering()
    if found.backend is None:
        pytest.skip(found.reason)
    simulation = Simulation("arm", pixels=48)
    simulation.open_camera(found.backend)
    simulation.reset(HOME, {})
    simulation.render()
    simulation.close()
    assert "libgallium" not in Path("/proc/self/maps").read_text()


def test_it_is_tried_in_order_and_child_processes_use_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def renders(backend: str) -> bool:
        tried.append(backend)
        return backend == "egl"

    monkeypatch.setattr(rendering, "_renders_in_a_child", renders)
    assert find_rendering() == find_rendering() == Rendering(backend="egl")
    assert tried == ["osmesa", "egl"]
    assert os.environ[FOUND] == "egl"


def test_a_child_that_crashes_is_a_library_that_does_not_render(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "BACKENDS", ("no_such_library",))
    found = find_rendering()
    assert found.backend is None
    assert "no GL library renders (no_such_library tried): install" in found.reason
    assert find_rendering() == found  # from the variable that child processes read


def test_mujoco_gl_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    assert find_rendering() == Rendering(backend=None, reason="MUJOCO_GL is disable")
    tried: list[str] = []
    monkeypatch.setattr(rendering, "_renders_in_a_child", lambda backend: bool(tried.append(backend)))
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert find_rendering().backend is None
    assert tried == ["osmesa"]


def test_a_camera_sees_what_moves_and_is_closed_twice() -> None:
    found = find_rendering()
    if found.backend is None:
        pytest.skip(found.reason)
    simulation = Simulation("arm", pixels=48)
    simulation.open_camera(found.backend)
    images = []
    for y in (-0.2, -0.2, 0.2):
        simulation.reset(HOME, {"red ball": np.array([0.3, y, 0.1])})
        images.append(simulation.render())
    simulation.close()
    simulation.close()
    assert images[0].shape == (48, 48, 3)
    assert images[0].std() > 5
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()
