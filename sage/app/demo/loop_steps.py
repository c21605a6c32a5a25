"""Steps of `sage demo`: frames between processes, and the loop with a night of sleep.

Invariant: no shared memory and no state directory is left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from sage.app.terminal.figures import number, percent
from sage.exit_status import how_it_ended

FRAME = (480, 640, 3)
#: A small model and short blocks of memory, so that a night has enough to replay and to examine after 30 s.
_QUICK = (
    "sleep.first_after_secs=30",
    "sleep.block_secs=1",
    "sleep.min_examined=16",
    "memory.write_rate=1.0",
    "model.hidden_size=32",
    "model.num_heads=2",
    "model.H_cycles=1",
    "model.L_cycles=1",
    "budget.segments=1",
    "practice.every_ticks=8",
)
_SENDER = """
import sys
from sage.mailbox.clock import RealClock
from sage.mailbox.shared.focus.mailbox import SharedFocus
clock = RealClock()
mailbox = SharedFocus.attach(sys.argv[1], clock=clock)
for sequence in range(int(sys.argv[2])):
    loan = mailbox.loan((480, 640, 3), "uint8", timeout_secs=20.0)
    loan.array[:] = sequence
    loan.publish(stamp_ns=clock.now_ns(), sequence=sequence)
mailbox.close()
"""


def hand_over(is_quick: bool) -> str:
    """A second process writes frames into shared memory, and this one reads them without a copy."""
    from sage.mailbox.clock import RealClock
    from sage.mailbox.shared.focus.mailbox import SharedFocus

    num_frames, clock = 5 if is_quick else 50, RealClock()
    name, num_bytes = f"sage-demo-{os.getpid()}", FRAME[0] * FRAME[1] * FRAME[2]
    ages, num_right = [], 0
    with SharedFocus.create(name, clock=clock, slots=4, slot_bytes=num_bytes, policy="block") as mailbox:
        sender = subprocess.Popen([sys.executable, "-c", _SENDER, name, str(num_frames)])
        try:
            for sequence in range(num_frames):
                with mailbox.receive(timeout_secs=30.0) as lease:
                    ages.append(clock.now_ns() - lease.meta.stamp_ns)
                    num_right += bool((lease.array[::97, ::89] == sequence).all())
            sender.wait(timeout=30.0)
        finally:
            sender.kill()
            sender.wait()
            mailbox.unlink()
    ages.sort()
    return (
        f"{num_right} of {num_frames} frames of 640 x 480 received undamaged from another process, without a"
        f" copy; median age {number(ages[len(ages) // 2] / 1e3, 0)} us"
    )


def run_and_sleep(is_quick: bool) -> str:
    """`sage run --fast` on this machine's own figures, with a night of sleep."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "sage",
            "run",
            "default",
            "--fast",
            "--ticks",
            "660" if is_quick else "1300",
            "--json",
            "--no-live",
            "--state-dir",
            folder,
            *(f"--set={change}" for change in (_QUICK if is_quick else ())),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(
            f"sage run {how_it_ended(done.returncode)}:"
            f" {(done.stderr.strip().splitlines() or ['no output'])[-1]}"
        )
    return _described(json.loads(done.stdout.strip().splitlines()[-1]))


def _described(summary: dict[str, Any]) -> str:
    coherence = summary["coherence"]["coherence"]
    skill = summary["skill"]["overall"]
    lines = [
        (
            f"{summary['num_ticks']} ticks; prediction error {percent(skill, 1)} below that of 'nothing"
            f" changes'; coherence {number(coherence)}"
        ),
        *(
            f"a night of sleep: {night['outcome'].replace('_', ' ')}: {night['reason']}"
            for night in summary["sleeps"]
        ),
    ]
    return "\n".join(lines if summary["sleeps"] else [*lines, "no night of sleep"])
