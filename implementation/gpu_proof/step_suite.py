"""The mailboxes' own test suite on this machine: its backend `cuda` is there where a card is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import numpy as np
from verdict import Absent, Verdict, step_arguments

NEEDED = ("pytest", "pytest_timeout", "hypothesis", "torch", "msgpack")

#: All but the proof's own tests: they would start it again.
SUITE = ("tests/mailbox", "-k", "cuda and not shared", "--ignore=tests/mailbox/cuda/test_gpu_proof.py")


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()

    def passes() -> None:
        missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
        if missing:
            raise Absent(f"the suite needs {', '.join(missing)}")
        what = ["tests/mailbox/cuda/test_order.py"] if arguments.fake else [*SUITE, *_left_out(verdict)]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", *what]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:  # as it comes: a suite that is cut off shows how far it was
                print(line, end="", flush=True)
                lines.append(line)
        summary = lines[-1].strip() if lines else "it said nothing"
        verdict.facts["suite"] = summary
        if process.returncode:
            failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", "".join(lines), re.MULTILINE)
            raise AssertionError(f"{summary}: {', '.join(failed[:8])}")

    verdict.run("tests/mailbox on the backend cuda", passes)
    verdict.finish()


def _left_out(verdict: Verdict) -> list[str]:
    if hasattr(np, "row_stack"):
        return []
    verdict.facts["left_out"] = (
        f"test_numba_ring.py: numba-cuda compiles nothing beside numpy {np.__version__}"
    )
    return ["--ignore=tests/mailbox/cuda/test_numba_ring.py"]


if __name__ == "__main__":
    main()
