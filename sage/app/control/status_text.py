"""The status of a session as text."""

from __future__ import annotations

from typing import Any


def as_text(status: dict[str, Any]) -> str:
    """One line a fact. status: the result of the verb."""
    state = "paused" if status["is_paused"] else status.get("state", "starting")
    lines = [
        f"session    {status['name']}, {state}, process {status['pid']}, sage {status['sage']}",
        f"tick       {status['tick']:,}, the last {status['secs_since_tick']:.3g} s ago",
    ]
    if status.get("crisis"):
        lines.append(f"crisis     {status['crisis']}")
    if status.get("budget"):
        lines.append(f"budget     shrinks: {status['budget']}")
    service = status.get("service")
    if service is not None:
        reason = f": {service['reason']}" if service["reason"] else ""
        lines.append(f"service    {service['state']} for {service['secs']:,.0f} s{reason}")
    if "num_sources" in status:
        lines.append(f"sources    {status['num_sources_running']} of {status['num_sources']} running")
        lines.append(f"posture    {_posture(status['posture'])}")
    held = status["held"]
    free = [name for name in status["effectors"] if name not in held]
    lines += [f"effector   {name}: held: {reason}" for name, reason in held.items()]
    lines += [f"effector   {name}" for name in free]
    if status["num_effector_faults"]:
        lines.append(f"faults     {status['num_effector_faults']} of effectors")
    return "\n".join(lines)


def _posture(posture: dict[str, Any]) -> str:
    parts = [
        f"{name} {'undefined' if posture[name] is None else format(posture[name], '.2f')}"
        for name in ("confidence", "asymmetry", "breadth")
    ]
    starved = ", ".join(posture["starved"])
    return ", ".join([*parts, *([f"starved: {starved}"] if starved else [])])
