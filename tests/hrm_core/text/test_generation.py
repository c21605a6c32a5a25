"""Text written on: repeatable, within its limits, by either twin, in any alphabet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sage.hrm_core.text.baseline_comparison import BaselineComparison
from sage.hrm_core.text.generation import Sampling, generate
from sage.hrm_core.text.tokenizer import BYTES


class Letters:
    """A tokenizer of somebody else's: a = 0, b = 1, ..."""

    vocab_size = 26

    def encode(self, text: str) -> list[int]:
        return [ord(each) - ord("a") for each in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(chr(ord("a") + token) for token in tokens)


@pytest.mark.parametrize("use_hrm", [True, False])
def test_the_cache_changes_nothing_but_the_time(twins: BaselineComparison, use_hrm: bool) -> None:
    cached, plain = (
        generate(twins, "a(b", use_hrm=use_hrm, use_cache=is_cached) for is_cached in (True, False)
    )
    assert cached.tokens == plain.tokens
    assert (cached.num_new, len(cached.tokens), cached.stopped) == (21, 24, "length")


def test_the_twins_write_different_texts(twins: BaselineComparison) -> None:
    assert generate(twins, "abc").tokens != generate(twins, "abc", use_hrm=False).tokens


def test_the_seed_decides_what_is_drawn(twins: BaselineComparison) -> None:
    texts = [
        generate(twins, "abc", sampling=Sampling(temperature=1.0, seed=seed)).tokens for seed in (3, 3, 4)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_the_best_of_one_is_the_greedy_text(twins: BaselineComparison) -> None:
    assert (
        generate(twins, "abc", sampling=Sampling(temperature=0.7, top_k=1)).tokens
        == generate(twins, "abc").tokens
    )


def test_text_ends_at_the_stop_and_at_the_length(twins: BaselineComparison) -> None:
    whole = generate(twins, "abc", max_length=12)
    assert (len(whole.tokens), whole.stopped) == (12, "length")
    first = BYTES.decode(whole.tokens[3:4])
    ended = generate(twins, "abc", max_length=12, stop=first)
    assert (ended.text, ended.num_new, ended.stopped) == (first, 1, "stop")


def test_another_tokenizer_is_welcome(twins: BaselineComparison) -> None:
    """Its 26 symbols are the model's first; what the untrained model says beyond them is its own affair."""
    written = generate(twins, "abc", Letters(), max_length=5)
    assert written.tokens[:3] == (0, 1, 2)


def test_bytes_come_back_as_the_text_they_were() -> None:
    text = "a(b) café\n"
    assert BYTES.decode(BYTES.encode(text)) == text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "x" * 24}, "the prompt has 24 tokens, max_length is 24: give a shorter prompt"),
        ({"max_length": 99}, "max_length is 99: this model takes at most 24 tokens"),
        ({"num_segments": 0}, "num_segments is 0: give 1 to 256"),
    ],
)
def test_what_cannot_be_written_is_refused(
    twins: BaselineComparison, options: dict[str, object], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        generate(twins, **{"prompt": "abc", **options})  # type: ignore[arg-type]


def test_sampling_is_checked() -> None:
    with pytest.raises(ValueError, match="temperature is -1"):
        Sampling(temperature=-1)
    with pytest.raises(ValueError, match="top_k is 0"):
        Sampling(top_k=0)


def test_an_alphabet_larger_than_the_models_is_refused(twins: BaselineComparison) -> None:
    class Wide(Letters):
        vocab_size = 257

    with pytest.raises(ValueError, match="the tokenizer has 257 symbols, the model 256"):
        generate(twins, "abc", Wide())


def test_use_hrm_must_be_of_the_model_that_is_given(twins: BaselineComparison) -> None:
    with pytest.raises(ValueError, match="use_hrm is False and the model is HRM"):
        generate(twins.hrm, "abc", use_hrm=False)
    with pytest.raises(ValueError, match="the plain twin was not trained"):
        generate(BaselineComparison(hrm=twins.hrm), "abc", use_hrm=False)
