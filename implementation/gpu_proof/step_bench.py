"""The bars of the CUDA mailboxes, measured. A bar that is missed is a result: it is shown, and fails nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from verdict import Absent, Verdict, step_arguments

BENCH = Path(__file__).resolve().parents[1] / "bench" / "mailbox_cuda.py"


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()

    def measures() -> None:
        done = subprocess.run([sys.executable, str(BENCH)], capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        if done.returncode:
            raise AssertionError(f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
        whole = json.loads(done.stdout.splitlines()[-1])
        (arguments.out / "mailbox_cuda.json").write_text(json.dumps(whole, indent=1) + "\n")
        verdict.facts["bars"], verdict.facts["results"] = whole["bars"], whole["results"]
        if "absent" in whole["results"]:
            raise Absent(whole["results"]["absent"])

    verdict.run("bench mailbox_cuda", measures)
    verdict.finish()


if __name__ == "__main__":
    main()
