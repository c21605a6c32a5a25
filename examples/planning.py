"""Planning: a model learns the towers of Hanoi, proposes whole plans for states it never saw, and a verifier
plays them out.

    python examples/planning.py
    python examples/planning.py --steps 20       a first look

A plan is only carried out when every move in it is legal and it reaches the goal; else the planner thinks
longer, then abstains and says so. The exact planner is there to measure against, never to help.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.hanoi import DONE, MOVE, NAMES, PEG, HanoiConfig, HanoiTask, plan
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.trainer import Trainer


def play(task: HanoiTask, puzzle: np.ndarray, answer: np.ndarray) -> list[str]:
    """Each move of a plan and where the disks then stand, the smallest first."""
    pegs = [int(cell) - PEG for cell in puzzle[: task.config.disks]]
    told = []
    for cell in answer[task.config.disks + 1 :]:
        if cell == DONE:  # rests come first: a plan ends in the last cell
            continue
        name = NAMES[int(cell) - MOVE]
        pegs[pegs.index("ABC".index(name[0]))] = "ABC".index(
            name[1]
        )  # the smallest disk there is the topmost
        told.append(f"{name}: {''.join('ABC'[peg] for peg in pegs)}")
    return told


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

    unseen = task.held_out(options.puzzles)
    plans = Solver(model.eval(), task).solve(unseen.inputs, halt="verifier", max_segments=16, abstains=True)
    carried_out = np.flatnonzero(plans.is_verified)
    for row in carried_out[:2]:
        print(task.render(unseen.inputs[row]))
        print("\n".join(play(task, unseen.inputs[row], plans.answers[row])))
    scores = task.scores(unseen, plans.answers)
    longest = max(
        len(plan([cell - PEG for cell in row[: options.disks]], row[options.disks] - PEG))
        for row in unseen.inputs.tolist()
    )
    told = {
        "puzzles": len(unseen),
        "carried_out": len(carried_out),
        "abstained": int(plans.is_abstained.sum()),
    }
    told |= {
        "wrong_plans_carried_out": int((scores["reaches_goal"][carried_out] < 1).sum()),
        "longest_plan": longest,
    }
    print(
        json.dumps(
            {**told, "mean_segments": float(plans.num_segments.mean()), "train_cpu_secs": result.cpu_secs}
        )
    )


if __name__ == "__main__":
    main()
