"""A benchmark as a step of the proof. A bar that is missed is a result: it is shown, and fails nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from verdict import Absent, Verdict

BENCHES = Path(__file__).resolve().parents[1] / "bench"


def check_bench(verdict: Verdict, name: str, out: Path, *options: str) -> None:
    """Run it in a process of its own, keep its document in `out`, and its bars and results among the
    facts.
    """

    def measures() -> None:
        command = [sys.executable, str(BENCHES / f"{name}.py"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        if done.returncode:
            raise AssertionError(f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
        whole: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        (out / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
        verdict.facts["bars"], verdict.facts["results"] = whole["bars"], whole["results"]
        if "absent" in whole["results"]:
            raise Absent(whole["results"]["absent"])

    verdict.run(f"bench {name}", measures)
