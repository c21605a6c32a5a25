"""How fast the reasoning models are on this card, beside the published forward written plainly."""

from __future__ import annotations

from bench_run import check_bench
from training import missing_packages
from verdict import Absent, Verdict, step_arguments


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    if missing := missing_packages():
        verdict.run("bench hrm_cuda", lambda: _lacks(missing))
    else:
        check_bench(verdict, "hrm_cuda", arguments.out, "--quick")
    verdict.finish()


def _lacks(packages: list[str]) -> None:
    raise Absent(f"it needs {', '.join(packages)}")


if __name__ == "__main__":
    main()
