"""How fast the reasoning models are on this card, beside the published forward written plainly; no bar, so nothing can fail
but the benchmark itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from training import missing_packages
from verdict import Absent, Verdict, step_arguments

BENCH = Path(__file__).resolve().parents[1] / "bench" / "hrm_cuda.py"


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()

    def measures() -> None:
        if missing := missing_packages():
            raise Absent(f"it needs {', '.join(missing)}")
        done = subprocess.run([sys.executable, str(BENCH), "--quick"], capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        if done.returncode:
            raise AssertionError(f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
        whole = json.loads(done.stdout.splitlines()[-1])
        (arguments.out / "hrm_cuda.json").write_text(json.dumps(whole, indent=1) + "\n")
        verdict.facts["results"] = whole["results"]
        if "absent" in whole["results"]:
            raise Absent(whole["results"]["absent"])

    verdict.run("bench hrm_cuda", measures)
    verdict.finish()


if __name__ == "__main__":
    main()
