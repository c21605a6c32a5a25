"""The scene as MJCF text: a table, an arm with a gripper, and objects.

The arm turns on its base (yaw), lifts its upper arm (shoulder) and bends its forearm (elbow). A linkage keeps
the hand level, so that the gripper always points down. Lengths in m, masses in kg. Invariant: no shadows and
few shapes, so that rendering in software is cheap; no file is read.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOULDER_HEIGHT, UPPER_ARM, FOREARM, HAND = 0.18, 0.25, 0.25, 0.10
#: Half of the width between the fingers, open.
MAX_OPENING = 0.035
JOINTS = ("yaw", "shoulder", "elbow")
FINGERS = ("left_finger", "right_finger")
#: Sites with a touch sensor.
TOUCHES = ("left", "right", "palm")
TIMESTEP_SECS = 0.005

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """An object on or above the table.

    name: of its body; spaces become underscores.  size: half of a side, or the radius.
    is_free: it falls, is pushed and is held; else it is a mark that nothing touches.
    """

    name: str
    shape: str  # box, sphere or cylinder
    size: float
    rgb: Rgb
    mass: float = 0.05
    is_free: bool = False

    @property
    def body(self) -> str:
        return self.name.replace(" ", "_")


#: The objects of the tasks.
THINGS = (
    Thing(name="red ball", shape="sphere", size=0.022, rgb=(0.9, 0.1, 0.1)),
    Thing(name="green ball", shape="sphere", size=0.022, rgb=(0.1, 0.7, 0.2)),
    Thing(name="cube", shape="box", size=0.02, rgb=(0.15, 0.3, 0.9), is_free=True),
    Thing(name="pad", shape="pad", size=0.045, rgb=(0.95, 0.8, 0.1)),
)

#: Contacts: what is touched has type 1, the arm 2; the arm does not collide with itself.
_ARM = 'contype="2" conaffinity="1"'
_TOUCHABLE = 'contype="1" conaffinity="3"'
_NO_CONTACT = 'contype="0" conaffinity="0"'


def scene_xml(things: tuple[Thing, ...] = THINGS, *, pixels: int = 64) -> str:
    """The whole scene. pixels: side of the largest image that will be rendered."""
    return f"""
<mujoco model="arm">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP_SECS}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <visual>
    <quality shadowsize="0" offsamples="0"/>
    <headlight ambient="0.4 0.4 0.4" diffuse="0.5 0.5 0.5" specular="0 0 0"/>
    <global offwidth="{pixels}" offheight="{pixels}"/>
  </visual>
  <worldbody>
    <geom name="table" type="plane" size="0.7 0.7 0.05" rgba="0.75 0.7 0.65 1" {_TOUCHABLE}/>
    <body name="aim" pos="0.2 0 0.17"/>
    <camera name="view" pos="1.05 -0.35 0.75" mode="targetbody" target="aim" fovy="46"/>
    {arm_xml()}
    {"".join(thing_xml(thing) for thing in things)}
  </worldbody>
  <tendon>
    <fixed name="linkage">
      <joint joint="shoulder" coef="1"/> <joint joint="elbow" coef="1"/> <joint joint="wrist" coef="1"/>
    </fixed>
  </tendon>
  <equality>
    <tendon tendon1="linkage" solref="0.01 1"/>
    <joint joint1="left_finger" joint2="right_finger" polycoef="0 1 0 0 0" solref="0.01 1"/>
  </equality>
  <actuator>
    <position name="yaw" joint="yaw" kp="300" kv="9" forcerange="-60 60"/>
    <position name="shoulder" joint="shoulder" kp="500" kv="15" forcerange="-80 80"/>
    <position name="elbow" joint="elbow" kp="300" kv="8" forcerange="-60 60"/>
    <position name="left_finger" joint="left_finger" kp="150" kv="8" forcerange="-8 8"/>
    <position name="right_finger" joint="right_finger" kp="150" kv="8" forcerange="-8 8"/>
  </actuator>
  <sensor>
    {"".join(f'<touch name="{name}" site="touch_{name}"/>' for name in TOUCHES)}
  </sensor>
</mujoco>
"""


def arm_xml() -> str:
    """The body of the arm, for the worldbody of a scene; `scene_xml` has its actuators and constraints."""
    return f"""
    <geom name="foot" type="cylinder" size="0.06 0.03" pos="0 0 0.03" rgba="0.3 0.3 0.3 1" {_NO_CONTACT}/>
    <body name="column" pos="0 0 {SHOULDER_HEIGHT}" gravcomp="1">
      <joint name="yaw" axis="0 0 1" damping="0.5" armature="0.02"/>
      <geom type="cylinder" size="0.03 0.06" pos="0 0 -0.06" mass="1" rgba="0.5 0.5 0.5 1" {_NO_CONTACT}/>
      <body name="upper_arm" gravcomp="1">
        <joint name="shoulder" axis="0 -1 0" damping="0.5" armature="0.02"/>
        <geom type="capsule" size="0.022" fromto="0 0 0 {UPPER_ARM} 0 0" mass="0.6"
              rgba="0.85 0.85 0.85 1" {_NO_CONTACT}/>
        <body name="forearm" pos="{UPPER_ARM} 0 0" gravcomp="1">
          <joint name="elbow" axis="0 -1 0" damping="0.4" armature="0.02"/>
          <geom type="capsule" size="0.018" fromto="0 0 0 {FOREARM} 0 0" mass="0.4"
                rgba="0.65 0.65 0.7 1" {_NO_CONTACT}/>
          <body name="hand" pos="{FOREARM} 0 0" gravcomp="1">
            <joint name="wrist" axis="0 -1 0" damping="0.1" armature="0.005"/>
            <geom name="palm" type="box" size="0.016 0.045 0.01" pos="0 0 -0.02" mass="0.15"
                  rgba="0.2 0.2 0.2 1" {_ARM}/>
            <site name="touch_palm" type="box" size="0.017 0.046 0.012" pos="0 0 -0.022" rgba="0 0 0 0"/>
            <site name="tip" pos="0 0 -{HAND}" size="0.005" rgba="0 0 0 0"/>
            {_finger_xml("left", 1)}{_finger_xml("right", -1)}
          </body>
        </body>
      </body>
    </body>"""


def _finger_xml(side: str, sign: int) -> str:
    """A finger whose inner face is at the joint's value from the middle."""
    return f"""
            <body name="{side}_finger" pos="0 {sign * 0.006} -0.07" gravcomp="1">
              <joint name="{side}_finger" type="slide" axis="0 {sign} 0" range="0 {MAX_OPENING}" damping="1"
                     armature="0.01"/>
              <geom name="{side}_finger" type="box" size="0.012 0.006 0.04" mass="0.03"
                    friction="1.5 0.02 0.001" condim="4" rgba="0.25 0.25 0.3 1" {_ARM}/>
              <site name="touch_{side}" type="box" size="0.014 0.008 0.042" rgba="0 0 0 0"/>
            </body>"""


def thing_xml(thing: Thing) -> str:
    """The body of an object at the origin: free with contacts, or a mark that the simulation places."""
    r, g, b = thing.rgb
    if thing.shape == "pad":
        shape = f'type="box" size="{thing.size} {thing.size} 0.001"'
    else:
        size = f"{thing.size}" if thing.shape == "sphere" else " ".join([f"{thing.size}"] * 3)
        shape = f'type="{thing.shape}" size="{size}"'
    if not thing.is_free:
        return f"""
    <body name="{thing.body}" mocap="true">
      <geom name="{thing.body}" {shape} rgba="{r} {g} {b} 1" {_NO_CONTACT}/>
    </body>"""
    return f"""
    <body name="{thing.body}">
      <freejoint name="{thing.body}"/>
      <geom name="{thing.body}" {shape} mass="{thing.mass}" friction="0.8 0.02 0.001" condim="4"
            rgba="{r} {g} {b} 1" {_TOUCHABLE}/>
    </body>"""
