"""What a step of the proof says: one JSON object, as its last line, however many checks it made.

Invariant: a check that did not run is named with the reason, and is neither passed nor failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["passed", "failed", "absent"]


@dataclass(frozen=True)
class Check:
    """reason: of a failure, or why it could not run."""

    name: str
    outcome: Outcome
    secs: float
    reason: str = ""


@dataclass
class Verdict:
    """A step's checks and whatever else it has to show."""

    checks: list[Check] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self, name: str, work: Callable[[], object]) -> bool:
        """Do one check; any exception is its failure, an `Absent` its absence."""
        started = time.perf_counter()
        outcome, reason = "passed", ""
        try:
            work()
        except Absent as absent:
            outcome, reason = "absent", str(absent)
        except Exception as error:  # counted and shown: one broken check must not hide the others
            outcome, reason = "failed", f"{type(error).__name__}: {error} @ {_place(error)}"
        self.checks.append(Check(name, outcome, round(time.perf_counter() - started, 4), reason))  # type: ignore[arg-type]
        print(f"{outcome:>7}  {name}  {reason}", flush=True)
        return outcome == "passed"

    @property
    def outcome(self) -> Outcome:
        if any(check.outcome == "failed" for check in self.checks):
            return "failed"
        return "passed" if any(check.outcome == "passed" for check in self.checks) else "absent"

    def finish(self) -> None:
        """Print the last line and leave: 0 passed or absent, 1 failed."""
        whole = {
            "outcome": self.outcome,
            "checks": [asdict(check) for check in self.checks],
            "facts": self.facts,
        }
        print(json.dumps(whole), flush=True)
        sys.exit(1 if self.outcome == "failed" else 0)


class Absent(Exception):
    """This check cannot run here; the message says what is missing."""


def step_arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for what the step leaves behind")
    parser.add_argument("--fake", action="store_true", help="a fake device: the plumbing alone")
    parser.add_argument("--short", action="store_true", help="under a sanitizer: few rounds")
    return parser.parse_args()


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:]))
