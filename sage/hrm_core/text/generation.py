"""A text written on: greedily, or drawn.

Invariant: what comes out is a function of the model, the prompt, the settings and the seed; the cache changes
only the time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.text.baseline_comparison import BaselineComparison
from sage.hrm_core.text.decoding import (
    CachedGPT,
    CachedHRM,
    Decoder,
    UncachedGPT,
    UncachedHRM,
    need_text_model,
)
from sage.hrm_core.text.gpt import PlainGPT
from sage.hrm_core.text.tokenizer import BYTES, Tokenizer

#: Models that were trained with up to 8 segments are read after as many.
DEFAULT_SEGMENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """temperature: 0 takes the likeliest symbol.  top_k: draw among so many; None: among all.  seed: of the
    draws.
    """

    temperature: float = 0.0
    top_k: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise InputError(f"temperature is {self.temperature}: give 0 to 100")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k is {self.top_k}: give 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """text: what was added to the prompt.  tokens: the whole.  secs: wall time.  stopped: "stop", or
    "length".
    """

    text: str
    tokens: tuple[int, ...]
    num_new: int
    secs: float
    stopped: str


def generate(
    model: HRM | PlainGPT | BaselineComparison,
    prompt: str,
    tokenizer: Tokenizer = BYTES,
    max_length: int | None = None,
    *,
    use_hrm: bool = True,
    stop: str = "",
    sampling: Sampling | None = None,
    num_segments: int | None = None,
    use_cache: bool = True,
) -> Generated:
    """Write on after `prompt`.

    max_length: tokens of prompt and answer together, at most (and by default) what the model takes.  use_hrm:
    of BaselineComparison, HRM or the plain GPT.  stop: end once the answer ends with it.  num_segments: HRM's
    thinking for each token; by default what its training allowed, at most 8.
    """
    chosen = model.chosen(use_hrm=use_hrm) if isinstance(model, BaselineComparison) else model
    if not isinstance(model, BaselineComparison) and isinstance(chosen, HRM) != use_hrm:
        raise InputError(
            f"use_hrm is {use_hrm} and the model is {type(chosen).__name__}: give BaselineComparison, or the"
            " other one"
        )
    sampling = sampling or Sampling()
    tokens = _checked_prompt(chosen, prompt, tokenizer)
    limit = _front(chosen).seq_len if max_length is None else max_length
    _check_limit(chosen, len(tokens), limit)
    decoder = make_decoder(chosen, num_segments=num_segments, use_cache=use_cache)
    generator = torch.Generator().manual_seed(sampling.seed)
    whole, reason, started = list(tokens), "length", time.perf_counter()
    fresh = tokens
    while len(whole) < limit:
        logits_V = decoder.extend(torch.tensor([fresh], dtype=torch.int32, device=_device(chosen)))[0]
        fresh = [_drawn(logits_V, sampling, generator)]
        whole += fresh
        if stop and tokenizer.decode(whole[len(tokens) :]).endswith(stop):
            reason = "stop"
            break
    return Generated(
        text=tokenizer.decode(whole[len(tokens) :]),
        tokens=tuple(whole),
        num_new=len(whole) - len(tokens),
        secs=time.perf_counter() - started,
        stopped=reason,
    )


def make_decoder(
    model: HRM | PlainGPT, *, num_segments: int | None = None, use_cache: bool = True, num_rows: int = 1
) -> Decoder:
    """The text in progress of either model."""
    if isinstance(model, PlainGPT):
        return CachedGPT(model, num_rows=num_rows) if use_cache else UncachedGPT(model, num_rows=num_rows)
    config = need_text_model(model)
    segments = min(config.halt_max_segments, DEFAULT_SEGMENTS) if num_segments is None else num_segments
    if not 1 <= segments <= 256:
        raise InputError(f"num_segments is {segments}: give 1 to 256")
    if use_cache:
        return CachedHRM(model, num_segments=segments, num_rows=num_rows)
    return UncachedHRM(model, num_segments=segments, num_rows=num_rows)


def _checked_prompt(model: HRM | PlainGPT, prompt: str, tokenizer: Tokenizer) -> list[int]:
    tokens = tokenizer.encode(prompt)
    if not tokens:
        raise InputError("the prompt is empty: give at least one symbol to go on from")
    vocab_size = _front(model).vocab_size
    if tokenizer.vocab_size > vocab_size or not 0 <= min(tokens) <= max(tokens) < vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} symbols, the model {vocab_size}: give the one it"
            " learned with"
        )
    return tokens


def _check_limit(model: HRM | PlainGPT, num_prompt: int, limit: int) -> None:
    longest = _front(model).seq_len
    if limit > longest:
        raise InputError(f"max_length is {limit}: this model takes at most {longest} tokens, prompt included")
    if num_prompt >= limit:
        raise InputError(f"the prompt has {num_prompt} tokens, max_length is {limit}: give a shorter prompt")


def _drawn(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature == 0:
        return int(logits_V.argmax())  # sync: the next token depends on it
    scaled = (
        logits_V.float().cpu() / sampling.temperature
    )  # sync: drawn on the host, so that a seed is good on any device
    if sampling.top_k is not None and sampling.top_k < len(scaled):
        least = scaled.topk(sampling.top_k).values[-1]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    return int(torch.multinomial(scaled.softmax(-1), 1, generator=generator))


def _front(model: HRM | PlainGPT) -> TokenFront:
    front = model.config.front
    assert isinstance(front, TokenFront)
    return front


def _device(model: HRM | PlainGPT) -> torch.device:
    return next(model.parameters()).device
