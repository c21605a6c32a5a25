"""compute-sanitizer over a short run of the ring's checks: memcheck (addresses) and racecheck (shared
memory).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from verdict import Absent, Verdict, step_arguments

MAILBOX = Path(__file__).with_name("step_mailbox.py")
FOUND = 99


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    for tool in ("memcheck", "racecheck"):
        verdict.run(tool, lambda tool=tool: _sanitize(tool, arguments.out, is_fake=arguments.fake))
    verdict.finish()


def _sanitize(tool: str, out: Path, *, is_fake: bool) -> None:
    sanitizer = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if sanitizer is None or is_fake:
        raise Absent("no compute-sanitizer here" if sanitizer is None else "nothing runs on a fake device")
    command = [
        sanitizer, "--tool", tool, "--error-exitcode", str(FOUND), "--report-api-errors", "no",
        "--kernel-name", "kernel_substring=ring_",
        sys.executable, str(MAILBOX), "--out", str(out), "--short",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (out / f"{tool}.log").write_text(done.stdout + done.stderr)
    if "Device not supported" in done.stdout + done.stderr:
        raise Absent("compute-sanitizer does not support this device (a sandboxed driver)")
    if done.returncode == FOUND:
        raise AssertionError(f"{tool} found something: {tool}.log")
    if "ERROR SUMMARY: 0 errors" not in done.stdout and "RACECHECK SUMMARY: 0 hazards" not in done.stdout:
        raise AssertionError(f"{tool} did not come to its summary (ended with {done.returncode}): {tool}.log")


if __name__ == "__main__":
    main()
