"""The bars of the CUDA mailboxes, measured."""

from __future__ import annotations

from bench_run import check_bench
from verdict import Verdict, step_arguments


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    check_bench(verdict, "mailbox_cuda", arguments.out)
    verdict.finish()


if __name__ == "__main__":
    main()
