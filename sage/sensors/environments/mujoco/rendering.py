"""Rendering without a display: which GL library works on this machine, and a camera that uses it.

A GL library is only loaded in child processes: a missing or broken one may end the process, and Mesa's LLVM
and that of torch's compiler end one that loads both. The libraries are tried by a real render. MUJOCO_GL
decides where it is set: osmesa or egl is the only one that is tried, disable means no camera.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sage.sensors.contract import SensorError

BACKENDS = ("osmesa", "egl")
#: What the first probe found, for the child processes of a run: a backend, or a reason after "no: ".
FOUND = "SAGE_MUJOCO_GL"
_DISABLED = ("disable", "disabled", "off", "false", "0")
_PROBE_SECS = 60.0
_START_SECS, _RENDER_SECS = 60.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """backend: osmesa or egl, None where neither renders.  reason: why not, in one line."""

    backend: str | None
    reason: str = ""


def find_rendering() -> Rendering:
    """The library that renders on this machine; tried once, child processes use what was found."""
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted in _DISABLED:
        return Rendering(backend=None, reason=f"MUJOCO_GL is {wanted}")
    known = os.environ.get(FOUND, "")
    if known in BACKENDS:
        return Rendering(backend=known)
    if known.startswith("no: "):
        return Rendering(backend=None, reason=known.removeprefix("no: "))
    found = _probe((wanted,) if wanted in BACKENDS else BACKENDS)
    os.environ[FOUND] = found.backend or f"no: {found.reason}"
    return found


@cache
def _probe(backends: tuple[str, ...]) -> Rendering:
    for backend in backends:
        if _renders_in_a_child(backend):
            return Rendering(backend=backend)
    return Rendering(
        backend=None,
        reason=f"no GL library renders ({', '.join(backends)} tried): install libosmesa6 or libegl1",
    )


def _renders_in_a_child(backend: str) -> bool:
    arguments = _python_that_calls("try_to_render", backend)
    try:
        done = subprocess.run(
            arguments,
            env=_child_environment(backend),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _python_that_calls(function: str, *arguments: object) -> list[str]:
    """The command of a child that calls a function of `gl_worker`."""
    # The folder that the run is in may hold another package of the same name: this process's path decides.
    module = "sage.sensors.environments.mujoco.gl_worker"
    call = f"import {module} as worker; worker.{function}(*{arguments!r})"
    code = f"import sys; sys.path[:] = {sys.path!r}; {call}"
    return [sys.executable, "-c", code]


def _child_environment(backend: str) -> dict[str, str]:
    # A software renderer needs one thread for a small image.
    return {"LP_NUM_THREADS": "1", **os.environ, "MUJOCO_GL": backend}


class Camera:
    """Renders square images of the camera named "view", in a child process.

    xml: of the scene.  SensorError where the child ends or takes too long.
    """

    def __init__(self, xml: str, backend: str, pixels: int) -> None:
        self._backend = backend
        self._shape = (pixels, pixels, 3)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._child: subprocess.Popen[bytes] | None = subprocess.Popen(
            _python_that_calls("serve", backend, pixels, len(xml.encode())),
            env=_child_environment(backend),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._limit_secs = _START_SECS
        self._send(xml.encode())

    def render(self, model: Any, data: Any) -> np.ndarray:
        """(pixels, pixels, 3) uint8, a new array; the first row is the top."""
        state = (data.qpos, data.mocap_pos, data.mocap_quat, model.cam_pos)
        self._send(np.concatenate([part.reshape(-1) for part in state]).tobytes())
        image = bytearray()
        num = int(np.prod(self._shape))
        while len(image) < num:
            image += self._receive(num - len(image))
        self._limit_secs = _RENDER_SECS
        return np.frombuffer(image, np.uint8).reshape(self._shape)[::-1].copy()

    def close(self) -> None:
        """Safe to call twice."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout, self._errors):
            if stream is not None:
                stream.close()
        child.wait()

    def _send(self, message: bytes) -> None:
        if self._child is None:
            raise SensorError("the camera is closed")
        assert self._child.stdin is not None
        try:
            while message:
                message = message[self._child.stdin.write(message) :]
        except OSError:
            raise self._ended() from None

    def _receive(self, num: int) -> bytes:
        assert self._child is not None
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], self._limit_secs)[0]:
            raise SensorError(f"{self._backend} has not rendered within {self._limit_secs:g} s")
        part = self._child.stdout.read(num)
        if not part:
            raise self._ended()
        return part

    def _ended(self) -> SensorError:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return SensorError(f"the process that renders by {self._backend} has ended: {''.join(lines[-1:])}")
