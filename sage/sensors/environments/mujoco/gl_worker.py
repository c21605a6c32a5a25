"""The process that renders: the only one that loads a GL library. `Camera` starts it.

Invariant: it ends when its standard input ends; an image is written for each state that was read, in order.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

PROBE_XML = (
    "<mujoco><worldbody><light pos='0 0 2'/><geom size='0.2' rgba='1 0 0 1'/>"
    "<camera name='view' pos='0 -1 0' xyaxes='1 0 0 0 0 1'/></worldbody></mujoco>"
)


def try_to_render(backend: str) -> None:
    """Render a red ball; raises, or ends the process, where that does not work."""
    image = Renderer(PROBE_XML, backend, 32).render()
    if image[16, 16, 0] <= image[16, 16, 2]:
        raise ValueError(f"{backend} renders a wrong picture: a red ball has the colour {image[16, 16]}")


def serve(backend: str, pixels: int, num_xml: int) -> None:
    """The scene, then states, from standard input; images, the last row first, to standard output."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    xml = _take(source, num_xml)
    if xml is None:
        return
    renderer = Renderer(xml.decode(), backend, pixels)
    while (state := _take(source, renderer.num_state * 8)) is not None:
        renderer.put(np.frombuffer(state, np.float64))
        sink.write(renderer.render().tobytes())
        sink.flush()


class Renderer:
    """One model and its GL context. num_state: float64 numbers of a state: joint positions, then positions
    and orientations of mocap bodies, then positions of cameras.
    """

    def __init__(self, xml: str, backend: str, pixels: int) -> None:
        import mujoco

        self._mujoco: Any = mujoco
        self._model = mujoco.MjModel.from_xml_string(xml)
        self._data = mujoco.MjData(self._model)
        self._context: Any = import_module(f"mujoco.{backend}").GLContext(pixels, pixels)
        self._context.make_current()
        self._scene = mujoco.MjvScene(self._model, maxgeom=200)
        self._option, self._perturb, self._view = mujoco.MjvOption(), mujoco.MjvPerturb(), mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = self._model.camera("view").id
        self._target = mujoco.MjrContext(self._model, int(mujoco.mjtFontScale.mjFONTSCALE_100))
        mujoco.mjr_setBuffer(int(mujoco.mjtFramebuffer.mjFB_OFFSCREEN), self._target)
        self._rect = mujoco.MjrRect(0, 0, pixels, pixels)
        self._image = np.zeros((pixels, pixels, 3), dtype=np.uint8)
        model, data = self._model, self._data
        self._parts = (data.qpos, data.mocap_pos, data.mocap_quat, model.cam_pos)
        self.num_state = sum(part.size for part in self._parts)

    def put(self, state: np.ndarray) -> None:
        """Take a state (num_state,)."""
        first = 0
        for part in self._parts:
            part[...] = state[first : first + part.size].reshape(part.shape)
            first += part.size

    def render(self) -> np.ndarray:
        """(pixels, pixels, 3) uint8, the last row first; overwritten by the next call."""
        mujoco, model, data = self._mujoco, self._model, self._data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        every = int(mujoco.mjtCatBit.mjCAT_ALL)
        mujoco.mjv_updateScene(model, data, self._option, self._perturb, self._view, every, self._scene)
        mujoco.mjr_render(self._rect, self._scene, self._target)
        mujoco.mjr_readPixels(self._image, None, self._rect, self._target)
        return self._image


def _take(source: BinaryIO, num: int) -> bytes | None:
    """`num` bytes; None at the end."""
    taken = source.read(num)
    return taken if len(taken) == num else None
