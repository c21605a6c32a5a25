"""Text generation: repeatable, within its limits, with either model and any tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sage.hrm_core.text.baseline_comparison import BaselineComparison
from sage.hrm_core.text.generation import Sampling, generate
from sage.hrm_core.text.tokenizer import BYTES


class Letters:
    """A user's tokenizer: a = 0, b = 1, ..."""

    vocab_size = 26

    def encode(self, text: str) -> list[int]:
        return [ord(each) - ord("a") for each in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(chr(ord("a") + token) for token in tokens)


@pytest.mark.parametrize("use_hrm", [True, False])
def test_the_cache_changes_nothing_but_the_time(comparison: BaselineComparison, use_hrm: bool) -> None:
    cached, plain = (
        generate(comparison, "a(b", use_hrm=use_hrm, use_cache=is_cached) for is_cached in (True, False)
    )
    assert cached.tokens == plain.tokens
    assert (cached.num_new, len(cached.tokens), cached.stopped) == (21, 24, "length")


def test_hrm_and_the_baseline_write_different_texts(comparison: BaselineComparison) -> None:
    assert generate(comparison, "abc").tokens != generate(comparison, "abc", use_hrm=False).tokens


def test_the_seed_decides_the_sampled_text(comparison: BaselineComparison) -> None:
    texts = [
        generate(comparison, "abc", sampling=Sampling(temperature=1.0, seed=seed)).tokens
        for seed in (3, 3, 4)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_top_1_sampling_is_greedy(comparison: BaselineComparison) -> None:
    assert (
        generate(comparison, "abc", sampling=Sampling(temperature=0.7, top_k=1)).tokens
        == generate(comparison, "abc").tokens
    )


@pytest.mark.parametrize("top_k", [None, 3])
def test_sampling_at_the_lowest_temperature_is_greedy(
    comparison: BaselineComparison, top_k: int | None
) -> None:
    sampling = Sampling(temperature=1e-300, top_k=top_k)
    assert generate(comparison, "abc", sampling=sampling).tokens == generate(comparison, "abc").tokens


def test_text_ends_at_the_stop_text_and_at_the_maximum_length(comparison: BaselineComparison) -> None:
    whole = generate(comparison, "abc", max_length=12)
    assert (len(whole.tokens), whole.stopped) == (12, "length")
    first = BYTES.decode(whole.tokens[3:4])
    ended = generate(comparison, "abc", max_length=12, stop=first)
    assert (ended.text, ended.num_new, ended.stopped) == (first, 1, "stop")


def test_another_tokenizer_can_be_used(comparison: BaselineComparison) -> None:
    """Its 26 symbols are the model's first 26; the untrained model may also generate others."""
    written = generate(comparison, "abc", Letters(), max_length=5)
    assert written.tokens[:3] == (0, 1, 2)


def test_encoding_and_decoding_bytes_returns_the_text() -> None:
    text = "a(b) café\n"
    assert BYTES.decode(BYTES.encode(text)) == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "ab\udcff"}, "the prompt is not UTF-8 at character 2: correct it"),
        ({"prompt": "x" * 24}, "the prompt has 24 tokens, max_length is 24: give a shorter prompt"),
        ({"max_length": 99}, "max_length is 99: this model takes at most 24 tokens"),
        ({"num_segments": 0}, "num_segments is 0: give 1 to 256"),
    ],
)
def test_wrong_arguments_are_refused(
    comparison: BaselineComparison, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        generate(comparison, **{"prompt": "abc", **options})  # type: ignore[arg-type]


def test_sampling_is_checked() -> None:
    with pytest.raises(ValueError, match="temperature is -1"):
        Sampling(temperature=-1)
    with pytest.raises(ValueError, match="top_k is 0"):
        Sampling(top_k=0)


def test_a_tokenizer_with_more_symbols_than_the_model_is_refused(comparison: BaselineComparison) -> None:
    class Wide(Letters):
        vocab_size = 257

    with pytest.raises(ValueError, match="the tokenizer has 257 symbols, the model 256"):
        generate(comparison, "abc", Wide())


def test_use_hrm_must_match_the_given_model(comparison: BaselineComparison) -> None:
    with pytest.raises(ValueError, match="use_hrm is False, but the model is HRM"):
        generate(comparison.hrm, "abc", use_hrm=False)
    with pytest.raises(ValueError, match="the GPT baseline was not trained"):
        generate(BaselineComparison(hrm=comparison.hrm), "abc", use_hrm=False)
