"""Text: a small causal HRM and its plain twin learn to close brackets, then both write.

python examples/text_generation.py
python examples/text_generation.py --steps 20            a first look
python examples/text_generation.py --file book.txt       any text, byte by byte
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.text.baseline_comparison import BaselineComparison, train_plain
from sage.hrm_core.text.generation import Sampling, generate
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.trainer import Trainer

PROMPTS = {"brackets": ("([{|", "[](([|", "(()[(|"), "text": ("The ", "It is ")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", help="a text file, in place of brackets")
    options = parser.parse_args()

    task = make_task("text", path=options.file) if options.file else make_task("brackets", pairs=3)
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len)
    config = ModelConfig.preset("small", front=front, mixer="attention", is_causal=True)
    twins = BaselineComparison.make(config, seed=options.seed)
    training = TrainConfig(
        steps=options.steps,
        seed=options.seed,
        cross_entropy="softmax",
        clip_norm=1.0,
        ema_decay=0.99 if options.steps > 200 else None,
        eval_examples=100,
        eval_segments=(1, 8),
        optimizer=OptimizerConfig(
            kind="muon", lr=1e-2, warmup_steps=min(50, options.steps), min_lr_ratio=0.05
        ),
    )
    result = Trainer(twins.hrm, task, training).train()
    assert twins.gpt is not None
    plain = train_plain(twins.gpt, task, training)
    twins.hrm.eval()

    sampling = Sampling(temperature=0.8) if options.file else Sampling()
    for prompt in PROMPTS["text" if options.file else "brackets"]:
        for use_hrm in (True, False):
            written = generate(
                twins, prompt, use_hrm=use_hrm, stop="" if options.file else "\n", sampling=sampling
            )
            print(f"{'HRM' if use_hrm else 'GPT'}  {prompt + written.text!r}")

    seconds = []
    for use_cache in (True, False):
        started = time.perf_counter()
        tokens = generate(twins, "(", use_cache=use_cache).tokens
        seconds.append((time.perf_counter() - started, tokens))
    same = seconds[0][1] == seconds[1][1]
    assert result.report is not None
    told = {"exact": result.report.exact, "hrm_cpu_secs": result.cpu_secs, "plain_cpu_secs": plain.cpu_secs}
    told |= {
        "cached_secs": seconds[0][0],
        "uncached_secs": seconds[1][0],
        "same_text": same,
        "torch": torch.__version__,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
