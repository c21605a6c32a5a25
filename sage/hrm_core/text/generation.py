"""Text generation: greedy decoding or sampling.

Invariant: the text is a function of the model, the prompt, the settings and the seed; the cache changes only
the time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
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

#: Default number of segments per token, where the model's halt_max_segments allows it.
DEFAULT_SEGMENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """temperature: 0 is greedy decoding.  top_k: sample among the k likeliest symbols; None: among all.
    seed: random seed of the sampling.
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
    """text: the answer, without the prompt.  tokens: prompt and answer.  secs: wall time.  stopped: "stop" or
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
    """Continue `prompt`.

    max_length: maximum number of tokens, prompt included; at most (and by default) the model's seq_len.
    use_hrm: which model of a BaselineComparison, HRM or the GPT baseline.  stop: end once the answer ends
    with this text.  num_segments: HRM's segments per token; default: halt_max_segments, at most 8.
    Raises InputError for settings or a prompt that the model cannot take.
    """
    steps = generate_stream(
        model,
        prompt,
        tokenizer,
        max_length,
        use_hrm=use_hrm,
        stop=stop,
        sampling=sampling,
        num_segments=num_segments,
        use_cache=use_cache,
    )
    return deque(steps, maxlen=1)[0]


def generate_stream(
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
) -> Iterator[Generated]:
    """What `generate` returns, so far, after each token; `stopped` is "length" until the text ended with
    `stop`. InputError before the first token, as `generate`.
    """
    chosen = model.chosen(use_hrm=use_hrm) if isinstance(model, BaselineComparison) else model
    if not isinstance(model, BaselineComparison) and isinstance(chosen, HRM) != use_hrm:
        raise InputError(
            f"use_hrm is {use_hrm}, but the model is {type(chosen).__name__}: give a BaselineComparison, or"
            f" set use_hrm={not use_hrm}"
        )
    sampling = sampling or Sampling()
    tokens = _checked_prompt(chosen, prompt, tokenizer)
    limit = _front(chosen).seq_len if max_length is None else max_length
    _check_limit(chosen, len(tokens), limit)
    decoder = make_decoder(chosen, num_segments=num_segments, use_cache=use_cache)
    generator = torch.Generator().manual_seed(sampling.seed)
    whole, started = list(tokens), time.perf_counter()
    new, is_stopped = tokens, False
    while len(whole) < limit and not is_stopped:
        logits_V = decoder.extend(torch.tensor([new], dtype=torch.int32, device=_device(chosen)))[0]
        new = [_sample(logits_V, sampling, generator)]
        whole += new
        text = tokenizer.decode(whole[len(tokens) :])
        is_stopped = bool(stop) and text.endswith(stop)
        yield Generated(
            text=text,
            tokens=tuple(whole),
            num_new=len(whole) - len(tokens),
            secs=time.perf_counter() - started,
            stopped="stop" if is_stopped else "length",
        )


def make_decoder(
    model: HRM | PlainGPT, *, num_segments: int | None = None, use_cache: bool = True, num_rows: int = 1
) -> Decoder:
    """A decoder of either model, with an empty text."""
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
    try:
        tokens = tokenizer.encode(prompt)
    except UnicodeEncodeError as error:
        raise InputError(f"the prompt is not UTF-8 at character {error.start}: correct it") from None
    if not tokens:
        raise InputError("the prompt is empty: give at least one symbol")
    vocab_size = _front(model).vocab_size
    if tokenizer.vocab_size > vocab_size or not 0 <= min(tokens) <= max(tokens) < vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} symbols, the model {vocab_size}: give the tokenizer"
            " of its training"
        )
    return tokens


def _check_limit(model: HRM | PlainGPT, num_prompt: int, limit: int) -> None:
    longest = _front(model).seq_len
    if limit > longest:
        raise InputError(f"max_length is {limit}: this model takes at most {longest} tokens, prompt included")
    if num_prompt >= limit:
        raise InputError(f"the prompt has {num_prompt} tokens, max_length is {limit}: give a shorter prompt")


def _sample(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature == 0:
        return int(logits_V.argmax())  # sync: the next token depends on it
    # sync: sampled on the host, so that a seed gives the same text on every device
    logits = logits_V.double().cpu()
    scaled = ((logits - logits.max()) / sampling.temperature).float()  # the likeliest: 0, not NaN
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
