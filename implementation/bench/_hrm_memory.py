"""Peak memory of one way of doing the work, in a process of its own: what it holds at most beyond what it
imports.

Run as a script it prints one JSON line; `peaks` runs each way so.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

NUM_THREADS = 2
REFERENCE_FP32, REFERENCE_BF16, OURS_BF16 = "reference fp32", "reference bf16", "ours bf16"
WAYS = (REFERENCE_FP32, REFERENCE_BF16, OURS_BF16)
WORKS = ("segment, batch 1", "segment, batch 16", "training step, batch 8")


def peaks() -> dict[str, dict[str, int | None]]:
    """Bytes by work and way. Two processes at a time: one does not see the other."""
    chosen = [(work, way) for work in WORKS for way in WAYS]
    with ThreadPoolExecutor(max_workers=2) as pool:
        report = dict(zip(chosen, pool.map(lambda each: _peak_apart(*each), chosen)))
    return {work: {way: report[work, way] for way in WAYS} for work in WORKS}


def no_peaks() -> dict[str, dict[str, int | None]]:
    """The same keys for a run that has no time for it."""
    return {work: dict.fromkeys(WAYS) for work in WORKS}


def _peak_apart(work: str, way: str) -> int:
    command = [sys.executable, __file__, work, way]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return int(json.loads(report)["peak_bytes"])


def measure(work: str, way: str) -> int:
    """In this process, which must have done nothing before."""
    prepare: Mapping[str, Callable[[str], Callable[[], object]]] = {
        WORKS[0]: lambda way: _segment(way, 1),
        WORKS[1]: lambda way: _segment(way, 16),
        WORKS[2]: _training_step,
    }
    # All that the work below imports. A torch optimizer imports torch._dynamo, 140 MiB, when it is made.
    import _hrm_training  # noqa: F401
    import torch._dynamo

    torch.ones(64, 64) @ torch.ones(64, 64)  # the libraries' own buffers
    before = _peak_bytes()
    run = prepare[work](way)
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # how the model came to be is not counted: the peak starts at what is held now
    for _ in range(2):
        run()
    return _peak_bytes() - before


def _segment(way: str, num_rows: int) -> Callable[[], object]:
    from _hrm_models import batch_of, our_model, puzzles, reference_of

    inputs, model = puzzles(num_rows), our_model()
    if way == OURS_BF16:
        fast, batch = model.to_inference(torch.bfloat16, is_in_place=True), batch_of(inputs)
        return torch.inference_mode()(lambda: fast.segment(fast.initial_carry(num_rows), batch))
    reference = reference_of(model, torch.bfloat16 if way == REFERENCE_BF16 else torch.float32)
    del model
    return torch.inference_mode()(lambda: reference.solve(inputs, 1))


def _training_step(way: str) -> Callable[[], object]:
    from _hrm_models import our_model, puzzles, reference_of
    from _hrm_training import BATCH_SIZE, ReferenceTrainer, our_step

    inputs, labels = puzzles(BATCH_SIZE), puzzles(BATCH_SIZE, seed=1)
    if way == OURS_BF16:
        return our_step(inputs, labels)
    reference = reference_of(our_model(), torch.bfloat16 if way == REFERENCE_BF16 else torch.float32)
    trainer = ReferenceTrainer(reference, BATCH_SIZE)
    return lambda: trainer.step(inputs, labels)


def _peak_bytes() -> int:
    """Of this program. Not getrusage's: that one is inherited from the process that started it."""
    match = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError("/proc/self/status tells no VmHWM: peak memory is measured on Linux alone")
    return int(match.group(1)) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("way", choices=WAYS)
    arguments = parser.parse_args()
    torch.set_num_threads(NUM_THREADS)
    print(json.dumps({"peak_bytes": measure(arguments.work, arguments.way)}))
