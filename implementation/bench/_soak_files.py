"""Files that the soak's sources read: a table, a topic of an MCAP file, a ROS bag, a recording of a session.

Invariant: each is written once per folder, before the first life.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

START_NS, STEP_NS, NUM = 1_700_000_000_000_000_000, 50_000_000, 20_000
RECORDED_TICKS = 200


def write_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _table(folder / "table.csv")
    if find_spec("mcap"):
        _topic(folder / "topic.mcap")
        _recording(folder)
    if find_spec("rosbags"):
        _bag(folder / "bag.bag")


def sources(folder: Path) -> list[dict[str, Any]]:
    """Configurations of the sources that read what `write_files` wrote."""
    found: list[dict[str, Any]] = [
        {"kind": "table", "name": "table", "path": str(folder / "table.csv"), "time": "t", "loop": True}
    ]
    if (folder / "topic.mcap").exists():
        found.append({"kind": "mcap", "name": "topic", "path": str(folder / "topic.mcap"), "topic": "/v"})
        recorded = str(folder / "recorded.mcap")
        found.append({"kind": "recorded", "name": "again", "path": recorded, "source": "wave"})
    if (folder / "bag.bag").exists():
        found.append({"kind": "rosbag", "name": "bag", "path": str(folder / "bag.bag"), "topic": "/v"})
    return found


def _table(path: Path) -> None:
    if path.exists():
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("t", "x", "y"))
        writer.writerows((f"{at / 5:.1f}", np.sin(at / 9), np.cos(at / 7)) for at in range(500))


def _topic(path: Path) -> None:
    if path.exists():
        return
    from mcap.writer import Writer

    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        schema = writer.register_schema("V", "jsonschema", b'{"type":"object"}')
        channel = writer.register_channel("/v", "json", schema)
        for at in range(NUM):
            data = json.dumps({"x": np.sin(at / 9), "y": np.cos(at / 7)}).encode()
            at_ns = START_NS + at * STEP_NS
            writer.add_message(channel, log_time=at_ns, data=data, publish_time=at_ns)
        writer.finish()


def _bag(path: Path) -> None:
    if path.exists():
        return
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    name = "geometry_msgs/msg/Vector3"
    zero = store.types[name](x=0.0, y=0.0, z=0.0)
    with Writer(path) as writer:
        connection = writer.add_connection("/v", name, typestore=store)
        for at in range(NUM):
            message = dataclasses.replace(zero, x=float(np.sin(at / 5)), y=float(np.cos(at / 5)))
            writer.write(connection, START_NS + at * STEP_NS, store.serialize_ros1(message, name))


def _recording(folder: Path) -> None:
    path, config = folder / "recorded.mcap", folder / "recorded.yaml"
    if path.exists():
        return
    sensor = {"kind": "synthetic", "name": "wave", "shape": [3], "rate_hz": 20, "seed": 9}
    data = {"sensors": [sensor], "sleep": {"enabled": False}, "practice": {"enabled": False}}
    config.write_text(json.dumps(data))
    command = [sys.executable, "-m", "sage", "run", str(config), "--fast", "--no-live"]
    command += [
        "--ticks",
        str(RECORDED_TICKS),
        "--record",
        str(path),
        "--state-dir",
        str(folder / "recording"),
    ]
    subprocess.run(command, check=True, capture_output=True)
