"""The simulator behind the arm: one model, its state, and what is read from it.

Invariant: equal calls from one `reset` on give equal states. Lengths in m, angles in rad, forces in N.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sage.sensors.contract import SensorError, SensorUnavailable
from sage.sensors.environments.mujoco.rendering import Camera
from sage.sensors.environments.mujoco.scene import (
    FINGERS,
    JOINTS,
    MAX_OPENING,
    THINGS,
    TIMESTEP_SECS,
    TOUCHES,
    Thing,
    scene_xml,
)

#: Numbers of the model that `Simulation.perturb` changes.
_PERTURBED = (
    "body_mass",
    "body_inertia",
    "dof_damping",
    "geom_friction",
    "actuator_gainprm",
    "actuator_biasprm",
)


def load_mujoco(name: str) -> Any:
    """The package. SensorUnavailable with a remedy where it is missing or cannot be loaded."""
    try:
        import mujoco
    except ImportError:
        raise SensorUnavailable(
            f"{name}: mujoco is not installed: pip install 'sage-runtime[robot]'"
        ) from None
    except Exception as error:  # the GL library that MUJOCO_GL names is missing
        raise SensorUnavailable(
            f"{name}: mujoco cannot be loaded: {type(error).__name__}: {error}: unset MUJOCO_GL"
        ) from None
    return mujoco


class Simulation:
    """The arm and `things` on a table. Used by one thread.

    model: mujoco's, whose numbers may be changed between episodes.  data: its state.
    """

    def __init__(self, name: str, things: tuple[Thing, ...] = THINGS, *, pixels: int = 64) -> None:
        self._mujoco = mujoco = load_mujoco(name)
        self._name = name
        self._pixels = pixels
        self._xml = scene_xml(things, pixels=pixels)
        self.model: Any = mujoco.MjModel.from_xml_string(self._xml)
        self.data: Any = mujoco.MjData(self.model)
        self._qpos = [int(self.model.joint(joint).qposadr[0]) for joint in (*JOINTS, *FINGERS)]
        self._qvel = [int(self.model.joint(joint).dofadr[0]) for joint in (*JOINTS, *FINGERS)]
        self._wrist = int(self.model.joint("wrist").qposadr[0])
        self._touches = [int(self.model.sensor(touch).adr[0]) for touch in TOUCHES]
        self._tip = int(self.model.site("tip").id)
        self._bodies = {thing.name: int(self.model.body(thing.body).id) for thing in things}
        self._free = {
            thing.name: int(self.model.joint(thing.body).qposadr[0]) for thing in things if thing.is_free
        }
        self._free_speeds = {
            thing.name: int(self.model.joint(thing.body).dofadr[0]) for thing in things if thing.is_free
        }
        self._mocap = {
            thing.name: int(self.model.body(thing.body).mocapid[0]) for thing in things if not thing.is_free
        }
        warnings = mujoco.mjtWarning
        self._bad = [
            int(kind) for kind in (warnings.mjWARN_BADQPOS, warnings.mjWARN_BADQVEL, warnings.mjWARN_BADQACC)
        ]
        self._usual = {name: getattr(self.model, name).copy() for name in _PERTURBED}
        self._camera: Camera | None = None

    def reset(self, joints: np.ndarray, places: dict[str, np.ndarray]) -> None:
        """The arm at rest at `joints` (3,) with the gripper open; each object at its place (3,)."""
        self._mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._qpos] = [*joints, MAX_OPENING, MAX_OPENING]
        self.data.qpos[self._wrist] = -joints[1] - joints[2]
        self.data.ctrl[:] = [*joints, MAX_OPENING, MAX_OPENING]
        for thing, place in places.items():
            if thing in self._free:
                first = self._free[thing]
                self.data.qpos[first : first + 7] = [*place, 1.0, 0.0, 0.0, 0.0]
            else:
                self.data.mocap_pos[self._mocap[thing]] = place
        self._mujoco.mj_forward(self.model, self.data)

    def perturb(self, random: np.random.Generator, amount: float) -> None:
        """Before `reset`: masses with their inertia, friction, damping and the joints' gains, each times a
        factor between 1 / (1 + amount) and 1 + amount of what the scene has.
        """
        model, usual = self.model, self._usual
        limit = math.log1p(amount)
        mass, damping, gain = (
            np.exp(random.uniform(-limit, limit, num)) for num in (model.nbody, model.nv, model.nu)
        )
        friction = np.exp(random.uniform(-limit, limit))
        model.body_mass[:] = usual["body_mass"] * mass
        model.body_inertia[:] = usual["body_inertia"] * mass[:, None]
        model.dof_damping[:] = usual["dof_damping"] * damping
        model.geom_friction[:] = usual["geom_friction"] * friction
        model.actuator_gainprm[:, 0] = usual["actuator_gainprm"][:, 0] * gain
        model.actuator_biasprm[:, 1:3] = usual["actuator_biasprm"][:, 1:3] * gain[:, None]
        self._mujoco.mj_setConst(model, self.data)

    def put(self, places: dict[str, np.ndarray]) -> None:
        """Put objects that fall at other places (3,), at rest. KeyError for one that does not fall."""
        for thing, place in places.items():
            first, speeds = self._free[thing], self._free_speeds[thing]
            self.data.qpos[first : first + 7] = [*place, 1.0, 0.0, 0.0, 0.0]
            self.data.qvel[speeds : speeds + 6] = 0.0
        self._mujoco.mj_forward(self.model, self.data)

    def advance(self, joints: np.ndarray, opening: float, secs: float) -> None:
        """Simulate `secs` while the joints move evenly to the targets `joints` (3,), and the fingers to
        `opening`, 0 to 1. SensorError where the state is not finite.
        """
        before = self.data.ctrl[:3].copy()
        num = max(1, round(secs / TIMESTEP_SECS))
        self.data.ctrl[3:] = opening * MAX_OPENING
        for step in range(1, num + 1):
            self.data.ctrl[:3] = before + (joints - before) * (step / num)
            self._mujoco.mj_step(self.model, self.data)
        # The state after a step, as its sensors have it.
        self._mujoco.mj_forward(self.model, self.data)
        if any(self.data.warning[kind].number for kind in self._bad):
            raise SensorError(f"{self._name}: the simulated state is not finite: the episode starts again")

    @property
    def joints(self) -> np.ndarray:
        """(3,) yaw, shoulder, elbow."""
        angles: np.ndarray = self.data.qpos[self._qpos[:3]].copy()
        return angles

    @property
    def speeds(self) -> np.ndarray:
        """(3,) of the joints, rad/s."""
        speeds: np.ndarray = self.data.qvel[self._qvel[:3]].copy()
        return speeds

    @property
    def opening(self) -> float:
        """Of the gripper, 0 to 1."""
        return float(np.clip(self.data.qpos[self._qpos[3:]].mean() / MAX_OPENING, 0.0, 1.0))

    @property
    def touch(self) -> np.ndarray:
        """(3,) force on the left finger, the right finger and the palm."""
        force: np.ndarray = self.data.sensordata[self._touches].copy()
        return force

    @property
    def tip(self) -> np.ndarray:
        """(3,) between the fingers."""
        place: np.ndarray = self.data.site_xpos[self._tip].copy()
        return place

    def place_of(self, thing: str) -> np.ndarray:
        """(3,) the middle of an object."""
        place: np.ndarray = self.data.xpos[self._bodies[thing]].copy()
        return place

    def open_camera(self, backend: str) -> None:
        """Start the process that renders. Nothing where it runs."""
        if self._camera is None:
            self._camera = Camera(self._xml, backend, self._pixels)

    def render(self) -> np.ndarray:
        """(pixels, pixels, 3) uint8. SensorError without a camera."""
        if self._camera is None:
            raise SensorError(f"{self._name}: render without a camera: call open_camera() first")
        return self._camera.render(self.model, self.data)

    def close(self) -> None:
        """End the process that renders; safe to call twice."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def rest_height(thing: Thing) -> float:
    """Of the middle of an object that lies on the table."""
    return thing.size if thing.is_free else 0.001
