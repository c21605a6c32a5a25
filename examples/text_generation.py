"""Text: a small causal HRM and a plain GPT of the same size learn to close brackets, then both generate.

python examples/text_generation.py
python examples/text_generation.py --steps 20            a quick look
python examples/text_generation.py --file book.txt       any text, byte by byte
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from stopping import Stopped, run_example

from sage import ModelConfig, TrainConfig, Trainer
from sage.hrm_core import TokenFront
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.text.baseline_comparison import BaselineComparison, train_plain
from sage.hrm_core.text.generation import Sampling, generate

PROMPTS = {"brackets": ("([{|", "[](([|", "(()[(|"), "text": ("The ", "It is ")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", help="train on this text file instead of brackets")
    options = parser.parse_args()

    task = make_task("text", path=options.file) if options.file else make_task("brackets", pairs=3)
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len)
    config = ModelConfig.preset("small", front=front, mixer="attention", is_causal=True)
    models = BaselineComparison.make(config, seed=options.seed)
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
    result = Trainer(models.hrm, task, training).train()
    if result.report is None:
        raise Stopped(f"stopped after step {result.step} of HRM; no text was generated")
    assert models.gpt is not None  # `make` builds both
    plain = train_plain(models.gpt, task, training)
    models.hrm.eval()

    sampling = Sampling(temperature=0.8) if options.file else Sampling()
    stop = "" if options.file else "\n"
    for prompt in PROMPTS["text" if options.file else "brackets"]:
        for use_hrm in (True, False):
            text = generate(models, prompt, use_hrm=use_hrm, stop=stop, sampling=sampling).text
            print(f"{'HRM' if use_hrm else 'GPT'}  {prompt!r} -> {text!r}")

    seconds, texts = [], []
    for use_cache in (True, False):
        started = time.perf_counter()
        texts.append(generate(models, "(", use_cache=use_cache).tokens)
        seconds.append(time.perf_counter() - started)
    if not options.file:
        print(f"HRM closes {result.report.exact:.1%} of 100 held-out lines exactly after {result.step} steps")
    summary = {
        "exact": result.report.exact,
        "hrm_cpu_secs": result.cpu_secs,
        "plain_cpu_secs": plain.cpu_secs,
        "cached_secs": seconds[0],
        "uncached_secs": seconds[1],
        "same_text": texts[0] == texts[1],
        "torch": torch.__version__,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    run_example(main)
