"""A small robot arm in MuJoCo (kind: mujoco): its scene, its limits, its camera and its tasks."""
