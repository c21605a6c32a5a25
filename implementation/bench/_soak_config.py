"""Configurations of the soak's lives: the tiny preset with every built-in source and environment that needs
no device and no service.

On a manual clock everything runs in the session's own process. A life with processes runs on the real clock:
its isolated sensors, its environments, its trainer and its nights are processes. Left out: `groot`, `remote`
and `totality` with their effectors, which need another program.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _soak_files import sources

from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument

RATE_HZ, PROCESS_RATE_HZ = 20, 40
REPORTERS = ("first", "second", "contrary")
ALLOW = {"decision": "allow", "reason": "nothing outside changes"}
ISOLATED, WORLDS = ("far", "film"), ("room", "blocks", "cart", "arm")


def config_of(
    faults: list[list[dict[str, Any]]], folder: Path, *, has_processes: bool, imu: Path | None = None
) -> SageConfig:
    """faults: of each synthetic source.  folder: with the files.  imu: a serial line."""
    rate_hz = PROCESS_RATE_HZ if has_processes else RATE_HZ
    sensors: list[dict[str, Any]] = [
        {"kind": "synthetic", "name": f"s{index}", "shape": [3], "rate_hz": 20, "seed": index, "faults": each}
        for index, each in enumerate(faults)
    ]
    sensors += [
        {"kind": "host", "name": "cpu", "read": ["cpu"], "period_secs": 1, "optional": True},
        {"kind": "host", "name": "ram", "read": ["memory"], "period_secs": 1, "optional": True},
        {"kind": "clock", "name": "clock", "cycles_secs": [60, 3600, 86400]},
        {"kind": "memory", "name": "recall"},
        *sources(folder),
        *(_reporter(name) for name in REPORTERS[: 1 if has_processes else None]),
        *_media(has_processes),
    ]
    if has_processes:
        sensors.append(
            {"kind": "synthetic", "name": "far", "shape": [3], "rate_hz": 20, "seed": 7, "isolate": True}
        )
    if imu is not None:
        sensors.append({"kind": "imu", "name": "imu", "port": str(imu), "rate_hz": 40, "optional": True})
    first_secs, every_secs = (8, 15) if has_processes else (30, 90)
    data = {
        "tick": {"rate_hz": rate_hz, "rest_rate_hz": rate_hz, "dream_rate_hz": rate_hz},
        "model": {"hidden_size": 8, "num_heads": 1, "H_cycles": 1, "L_cycles": 1},
        "practice": {"every_ticks": 64, "batch_size": 2, "window_ticks": 4, "burn_in_ticks": 1},
        "memory": {"num_experiences": 64, "num_recall": 64, "num_transitions": 128},
        "sleep": {
            "first_after_secs": first_secs, "every_secs": every_secs, "num_steps": 2, "batch_size": 2,
            "block_secs": 1,
        },
        "solving": {
            "segments": 2, "rows": 2, "max_segments": 2, "preset": "tiny", "hidden_size": 16,
            "num_checked": 2,
        },
        "solver_training": {
            "batch_size": 4, "min_puzzles": 4, "num_replayed": 64, "night_steps": 2, "inline_every": 32,
            "num_asked": 16, "max_asked": 32, "min_examined": 32,
        },
        "budget": {"segments": 1, "practice_steps": 1},
        "guards": {"min_free_bytes": 0, "min_available_bytes": 0},
        "sensors": sensors,
        "environments": _environments(),
        "effectors": [
            {"kind": "recording", "name": "record"},
            {"kind": "null", "name": "nothing"},
            {"kind": "journal", "name": "journal", "path": str(folder / "journal.jsonl")},
        ],
        "policy": {
            "rules": [
                {**ALLOW, "effect": "record", "target": "self"},
                {**ALLOW, "effect": "cognitive", "target": "puzzle"},
                {**ALLOW, "effect": "simulated", "target": "world"},
            ]
        },
    }  # fmt: skip
    return build_config(YamlDocument(data=data, source="soak"))


def _reporter(name: str) -> dict[str, Any]:
    return {
        "kind": "language", "name": name, "backend": "function", "returns_at_once": True,
        "function": f"sage.sensors.language.reporters:{name}", "embedder": "hashing", "period_secs": 2,
        "prompt": "The first processor is busy {cpu[cpu0]:.0%} of the time. How busy is the computer?",
        "calls_a_minute": 600,
    }  # fmt: skip


def _media(has_processes: bool) -> list[dict[str, Any]]:
    """Generated pictures and sound; with processes the pictures come from one of them."""
    if not find_spec("av"):
        return []
    film = {"kind": "video", "name": "film", "lavfi": "testsrc2=size=16x12:rate=5", "isolate": has_processes}
    return [film, {"kind": "audio", "name": "tone", "lavfi": "sine=frequency=440"}]


def _environments() -> list[dict[str, Any]]:
    environments: list[dict[str, Any]] = [
        {"kind": "key_door", "name": "room"},
        {
            "kind": "puzzles",
            "name": "puzzles",
            "levels": [
                {"task": "sudoku", "options": {"size": 4}},
                {"task": "maze", "options": {"size": 6, "difficulty": "easy"}},
            ],
            "teacher": "after",
        },
        {"kind": "table", "name": "blocks", "tables": 2, "teacher": "after"},
    ]
    if find_spec("gymnasium"):
        channels = ["position", "speed", "angle", "turn"]
        environments.append({"kind": "gymnasium", "name": "cart", "id": "CartPole-v1", "channels": channels})
    if find_spec("mujoco"):
        environments.append(
            {
                "kind": "mujoco", "name": "arm", "instructions": ["reach the red ball"], "gripper": False,
                "camera": 0, "rate_hz": 20, "max_steps": 25, "max_speed": 2.0, "success_radius": 0.05,
            }
        )  # fmt: skip
    return environments
