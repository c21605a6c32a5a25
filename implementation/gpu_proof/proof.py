"""Prove on a machine with an NVIDIA GPU what elsewhere is only built: every step with its own verdict, one
document at the end.

Needs no network. Uses what is there (torch, CuPy, numba-cuda, compute-sanitizer) and names what is absent.
Ends with 0 when nothing failed, 1 when something did, 2 for wrong arguments, 3 when there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from steps import STEPS, TOTAL_SECS, Step

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NO_GPU = 3


def main() -> int:
    arguments = _arguments()
    out = Path(os.environ.get("OUT") or "gpu_proof_out").resolve()
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder))
        if not arguments.fake and (reason := _why_no_gpu(environment)) is not None:
            print(
                f"gpu_proof: {reason}; it needs a machine with an NVIDIA GPU, its driver and a python3 with"
                " numpy and msgpack"
            )
            return NO_GPU
        out.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        verdicts = {}
        for step in STEPS:
            if not arguments.steps or step.name in arguments.steps:
                left_secs = TOTAL_SECS - (time.monotonic() - started)
                verdicts[step.name] = _run(step, out, environment, left_secs, is_fake=arguments.fake)
    whole = {
        "proof": "fake" if arguments.fake else "gpu",
        "commit": _commit(),
        "wall_secs": round(time.monotonic() - started, 1),
        "outcomes": {name: verdict["outcome"] for name, verdict in verdicts.items()},
        "steps": verdicts,
    }
    (out / "proof.json").write_text(json.dumps(whole, indent=1) + "\n")
    print(json.dumps(whole), flush=True)
    return 1 if "failed" in whole["outcomes"].values() else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "steps", nargs="*", help=f"which, of {', '.join(step.name for step in STEPS)}; all without"
    )
    parser.add_argument(
        "--fake", action="store_true", help="run the plumbing on a fake device: proves nothing about a GPU"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.steps) - {step.name for step in STEPS})
    if unknown:
        parser.error(f"no step {unknown[0]!r}: give some of {', '.join(step.name for step in STEPS)}")
    return arguments


def _environment(folder: Path) -> dict[str, str]:
    """`sage` from this checkout, without putting the checkout's own folder on the path."""
    (folder / "sage").symlink_to(ROOT / "sage", target_is_directory=True)
    paths = [str(folder), str(ROOT / "implementation" / "bench"), os.environ.get("PYTHONPATH", "")]
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _why_no_gpu(environment: dict[str, str]) -> str | None:
    code = "from sage.mailbox.cuda import why_no_cuda; print(why_no_cuda() or '')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    return done.stdout.strip() or None


def _run(
    step: Step, out: Path, environment: dict[str, str], left_secs: float, *, is_fake: bool
) -> dict[str, Any]:
    script = HERE / f"step_{step.name}.py"
    print(f"== {step.name}: {step.wants}", flush=True)
    if not script.exists():
        print(f"   absent: {script.name} is not there", flush=True)
        return {"outcome": "absent", "reason": f"{script.name} is not there", "checks": []}
    if left_secs < 5:
        return {"outcome": "absent", "reason": f"no time left of {TOTAL_SECS} s", "checks": []}
    limit_secs = min(float(step.limit_secs), left_secs)
    command = [sys.executable, str(script), "--out", str(out), *(["--fake"] if is_fake else [])]
    log, started = out / f"{step.name}.log", time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, start_new_session=True
        )  # fmt: skip
        try:
            code: int | None = process.wait(limit_secs)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)  # its own session: the step and what it started
            process.wait()
    verdict = _last_line(log, code, limit_secs)
    verdict["wall_secs"] = round(time.monotonic() - started, 2)
    print(f"   {verdict['outcome']} in {verdict['wall_secs']} s{_shown(verdict)}", flush=True)
    return verdict


def _last_line(log: Path, code: int | None, limit_secs: float) -> dict[str, Any]:
    lines = log.read_text(errors="replace").splitlines()
    tail = "\n".join(lines[-12:])
    if code is None:
        return {
            "outcome": "failed",
            "reason": f"not done within {limit_secs:.0f} s",
            "tail": tail,
            "checks": [],
        }
    try:
        verdict: dict[str, Any] = json.loads(lines[-1])
        return {"outcome": verdict["outcome"], "checks": verdict["checks"], "facts": verdict["facts"]}
    except (IndexError, KeyError, TypeError, ValueError):
        return {
            "outcome": "failed",
            "reason": f"ended with {code} and without a verdict",
            "tail": tail,
            "checks": [],
        }


def _shown(verdict: dict[str, Any]) -> str:
    """What did not pass, one a line."""
    if "reason" in verdict:
        return f": {verdict['reason']}\n{verdict.get('tail', '')}".rstrip()
    wrong = [check for check in verdict["checks"] if check["outcome"] != "passed"]
    return "".join(f"\n     {check['outcome']}: {check['name']}: {check['reason']}" for check in wrong)


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
