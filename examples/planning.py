"""Planning: a model learns the towers of Hanoi and proposes whole plans for held-out states, and a verifier
checks each plan.

    python examples/planning.py
    python examples/planning.py --steps 20       a quick look

A plan is executed only when all its moves are legal and it reaches the goal. Otherwise the model gets more
segments, up to 16; without a verified plan it abstains. The exact planner is used for measurement only.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from stopping import Stopped, run_example

from sage import HRM, ModelConfig, TrainConfig, Trainer
from sage.hrm_core import Solver, TokenFront
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.tasks.hanoi import DONE, MOVE, NAMES, PEG, HanoiConfig, HanoiTask, plan


def describe(task: HanoiTask, puzzle: np.ndarray, answer: np.ndarray) -> list[str]:
    """The start, each move of the plan with the state after it, and the goal."""
    pegs = [int(cell) - PEG for cell in puzzle[: task.config.disks]]  # of each disk, the smallest first
    goal = "ABC"[int(puzzle[task.config.disks]) - PEG]
    lines = [f"Move all {len(pegs)} disks to {goal} (disk 1 is the smallest)", f"  start: {draw(pegs)}"]
    moves = [NAMES[int(cell) - MOVE] for cell in answer[task.config.disks + 1 :] if cell != DONE]
    for number, (source, target) in enumerate(moves, start=1):
        disk = pegs.index("ABC".index(source))  # the smallest disk of a peg is its top disk
        pegs[disk] = "ABC".index(target)
        lines.append(
            f"  {number}. move disk {disk + 1}, the top disk, from {source} to {target}: {draw(pegs)}"
        )
    return [*lines, f"  all disks are on {goal}" if len(set(pegs)) == 1 else "  the goal is not reached"]


def draw(pegs: list[int]) -> str:
    """Each peg with its disks, the bottom disk first."""
    towers = [[disk + 1 for disk in reversed(range(len(pegs))) if pegs[disk] == peg] for peg in range(3)]
    return ", ".join(
        f"{name} has {' '.join(map(str, tower)) or 'no disk'}" for name, tower in zip("ABC", towers)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("--steps", 600), ("--disks", 4), ("--seed", 0), ("--puzzles", 40)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()

    task = HanoiTask(HanoiConfig(disks=options.disks))
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len, positions="learned")
    model = HRM(ModelConfig.preset("small", front=front, halt_max_segments=2))
    training = TrainConfig(
        steps=options.steps,
        seed=options.seed,
        cross_entropy="softmax",
        clip_norm=1.0,
        ema_decay=0.98,
        eval_examples=1,
        optimizer=OptimizerConfig(
            kind="muon", lr=1e-2, warmup_steps=min(50, options.steps), min_lr_ratio=0.05
        ),
    )
    result = Trainer(model, task, training).train()
    if result.is_interrupted:
        raise Stopped(f"stopped after step {result.step}; no plan was made")

    unseen = task.held_out(options.puzzles)
    plans = Solver(model.eval(), task).solve(unseen.inputs, halt="verifier", max_segments=16, abstains=True)
    executed = np.flatnonzero(plans.is_verified)
    for row in executed[:2]:
        print("\n".join([*describe(task, unseen.inputs[row], plans.answers[row]), ""]))
    scores = task.scores(unseen, plans.answers)
    longest = max(
        len(plan([cell - PEG for cell in row[: options.disks]], row[options.disks] - PEG))
        for row in unseen.inputs.tolist()
    )
    num_abstained = int(plans.is_abstained.sum())
    num_wrong = int((scores["reaches_goal"][executed] < 1).sum())
    print(
        f"{len(executed)} of {len(unseen)} plans were verified and executed, {num_wrong} of"
        f" them wrong; {num_abstained} abstained; the longest optimal plan has {longest} moves"
    )
    summary = {
        "puzzles": len(unseen),
        "executed": len(executed),
        "abstained": num_abstained,
        "wrong_plans_executed": num_wrong,
        "longest_plan": longest,
        "mean_segments": float(plans.num_segments.mean()),
        "train_cpu_secs": result.cpu_secs,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    run_example(main)
