"""The mailboxes' own test suite on this machine: its backend `cuda` is there where a card is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

from verdict import Absent, Verdict, step_arguments

NEEDED = ("pytest", "pytest_timeout", "hypothesis", "torch", "msgpack")


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()

    def passes() -> None:
        missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
        if missing:
            raise Absent(f"the suite needs {', '.join(missing)}")
        what = ["tests/mailbox/cuda/test_order.py"] if arguments.fake else ["tests/mailbox", "-k", "cuda and not shared"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *what]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout)
        summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-300:]
        verdict.facts["suite"] = summary
        if done.returncode:
            failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
            raise AssertionError(f"{summary}: {', '.join(failed[:8])}")

    verdict.run("tests/mailbox on the backend cuda", passes)
    verdict.finish()


if __name__ == "__main__":
    main()
