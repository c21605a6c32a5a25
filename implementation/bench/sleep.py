"""Sleep: what nights add to learning one task after another, beside the continual learners of Avalanche.

Suite digits: 8x8 digits, an MLP 64-256-256-10, five split tasks (two new classes each, one head) and five
permuted ones; M memories. Ours: a naive or a DER++ wake of about 200 steps a task, then 300 steps of
rehearsal with the package's own night: examined on 64 digits held out from training, committed or rolled
back. Fewer than 64 examined digits: no night, so a split run has three. Avalanche's methods run in the same
call with the same network, optimizer (Adam, 1e-3), batches and steps, in an environment of their own
(scripts/avalanche_env). Rows "equal steps" take no more steps than Avalanche's. Bytes are those of memories,
examined digits included, or of the earlier weights that a method keeps.

Suite recordings: flight, xio and host recordings through the whole loop, with three nights and with practice
alone at equal steps; skill on the last quarter, with an interval over blocks of 2 s and seeds. "model used"
is the share of readings there that the model predicts: it is left out where it has not gained, and nights
cannot show. --set changes the configuration, as in `sage run`.

The digits are digits.csv.gz of scikit-learn, which Avalanche's environment contains. --runs FILE records
every run; the same command continues from the file.
"""

from __future__ import annotations

import os
import subprocess
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import harness
import torch
from _sleep_digits import EPOCHS, make_tasks
from _sleep_injected import Injected, cut_nights, inject_all
from _sleep_learners import Learner
from _sleep_recordings import RECORDINGS, PairFile, run_recordings
from _sleep_runs import DER_SLEEP, MEMORIES, Record, run_own, run_peers
from _sleep_table import Cells, gains_table, injected_table, make_bars, table_of

from sage.runtime.sleep.rehearsal import RehearsalPlan

PEER_PYTHON = harness.ROOT / ".venv-avalanche" / "bin" / "python"
DIGITS_OF = "import sklearn; print(sklearn.__path__[0] + '/datasets/data/digits.csv.gz')"
REMEDY = "make it with ./scripts/avalanche_env, or give its Python to --avalanche, or a file to --digits"
QUICK_SHARE = 0.1
INJECTED_PLAN = RehearsalPlan(num_steps=100, learning_rate=2e-3)
NUM_CUTS, NUM_QUICK_CUTS = 20, 4


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--suite", default="digits", choices=("digits", "recordings"), help="which suite")
    parser.add_argument(
        "--seeds", type=harness.seeds_of, default="0,1,2,3,4", help="numbers separated by commas"
    )
    parser.add_argument("--recordings", default=",".join(RECORDINGS), help="names separated by commas")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of the configuration"
    )
    parser.add_argument("--avalanche", type=Path, default=PEER_PYTHON, help="Python of its environment")
    parser.add_argument("--digits", type=Path, help="digits.csv.gz (default: that of scikit-learn)")
    parser.add_argument("--runs", type=Path, help="file that records the runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    (run_digits if arguments.suite == "digits" else run_nights)(arguments)


def run_nights(arguments: Namespace) -> None:
    os.environ.setdefault("SAGE_DATA", str(harness.ROOT.parent / "shared" / "data"))
    names = arguments.recordings.split(",")
    unknown = [name for name in names if name not in RECORDINGS]
    if unknown:
        raise SystemExit(f"sleep: --recordings {','.join(unknown)}: give some of {', '.join(RECORDINGS)}")
    seeds = (0,) if arguments.quick else arguments.seeds
    file = PairFile(None if arguments.quick else arguments.runs)
    found, tables = run_recordings(names, seeds, arguments.set, file, is_quick=arguments.quick)
    results = {"suite": "recordings", "seeds": seeds, "set": arguments.set, "recordings": found}
    bench = f"sleep_recordings_{names[0]}" if len(names) == 1 else "sleep_recordings"
    whole = harness.document(bench, results | {"calibration": harness.calibrate()}, [])
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


def run_digits(arguments: Namespace) -> None:
    digits = arguments.digits or find_digits(arguments.avalanche)
    if digits is None:
        raise SystemExit(f"sleep: no digits: no scikit-learn by {arguments.avalanche}: {REMEDY}")
    if not digits.is_file():
        raise SystemExit(f"sleep: --digits {digits}: no such file: {REMEDY}")
    seeds = (0,) if arguments.quick else arguments.seeds
    memories = MEMORIES[:1] if arguments.quick else MEMORIES
    record = Record(None if arguments.quick else arguments.runs)
    run_own(record, digits, seeds, memories, share=QUICK_SHARE if arguments.quick else 1.0)
    absent = "left out of a quick run" if arguments.quick else ""
    if not absent and not arguments.avalanche.exists():
        absent = f"no {arguments.avalanche}: {REMEDY}"
    absent = absent or run_peers(record, digits, arguments.avalanche, seeds, memories)
    injected, cuts = injected_nights(digits, arguments.quick)
    cells = Cells(record, seeds)
    bars = make_bars(cells, injected, cuts, num_seeds=len(seeds))
    results: dict[str, Any] = {
        "suite": "digits",
        "seeds": seeds,
        "avalanche_absent": absent or None,
        "runs": [asdict(run) for run in record.runs.values() if run.seed in seeds],
        "injected": [asdict(each) for each in injected],
        "cut_nights": {"num": cuts[0], "num_old_weights": cuts[1]},
        "calibration": harness.calibrate(),
    }
    tables = [table_of(cells), gains_table(cells), injected_table(injected), harness.bars_table(bars)]
    if absent:
        tables.append(harness.TextTable(title=f"Avalanche: {absent}", columns=("peer",), rows=()))
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(
        harness.document("sleep_digits", results, bars), tables, is_saved=arguments.save, notes=notes
    )


def find_digits(python: Path) -> Path | None:
    """digits.csv.gz of the scikit-learn in that environment; None where there is none."""
    try:
        found = subprocess.run([str(python), "-c", DIGITS_OF], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    path = Path(found.stdout.strip())
    return path if path.is_file() else None


def injected_nights(digits: Path, is_quick: bool) -> tuple[list[Injected], tuple[int, int]]:
    """Bad nights, and nights cut at a step, of a learner of the permuted digits."""
    tasks = make_tasks(digits, "permuted", 0)[:1]
    learner = Learner(DER_SLEEP, tasks, "permuted", max(MEMORIES), 0)
    learner.live(0, tasks[0], EPOCHS["permuted"])
    num_cuts = NUM_QUICK_CUTS if is_quick else NUM_CUTS
    return inject_all(learner, INJECTED_PLAN), cut_nights(learner, INJECTED_PLAN, num_cuts)


if __name__ == "__main__":
    main()
