"""The tour's steps of the runtime: a frame between processes, and the loop with a night of sleep.

Invariant: each leaves nothing behind: no shared memory, no state.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from sage.app.terminal.figures import number, percent

FRAME = (480, 640, 3)
_SENDER = """
import sys
from sage.mailbox import RealClock
from sage.mailbox.shared import SharedFocus
clock = RealClock()
mailbox = SharedFocus.attach(sys.argv[1], clock=clock)
for sequence in range(int(sys.argv[2])):
    loan = mailbox.loan((480, 640, 3), "uint8", timeout_secs=20.0)
    loan.array[:] = sequence
    loan.publish(stamp_ns=clock.now_ns(), sequence=sequence)
mailbox.close()
"""


def hand_over(is_quick: bool) -> str:
    """A process of its own writes frames into memory that this one reads where they lie."""
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
        f"{num_right} of {num_frames} frames of 640 x 480 arrived whole from another process, read in place; "
        f"median age {number(ages[len(ages) // 2] / 1e3, 0)} us"
    )


def run_and_sleep(is_quick: bool) -> str:
    """`sage run` on this machine's own readings, on a manual clock so that it does not wait, with a night in
    it.
    """
    with tempfile.TemporaryDirectory() as folder:
        ticks, first = (120, 3) if is_quick else (900, 25)
        command = [
            sys.executable,
            "-m",
            "sage",
            "run",
            "default",
            "--fast",
            "--ticks",
            str(ticks),
            "--json",
            "--no-live",
        ]
        command += ["--set", f"sleep.first_after_secs={first}", "--state-dir", folder]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(
            f"sage run ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
        )
    return _told(json.loads(done.stdout.strip().splitlines()[-1]))


def _told(summary: dict[str, Any]) -> str:
    coherence = summary["coherence"]["coherence"]
    skill = summary["skill"]["overall"]
    lines = [
        (
            f"{summary['num_ticks']} ticks; better than 'nothing changes' by {percent(skill, 1)}; coherence"
            f" {number(coherence)}"
        ),
        *(f"a night: {night['outcome']}" for night in summary["sleeps"]),
    ]
    return "\n".join(lines if summary["sleeps"] else [*lines, "no night began"])
