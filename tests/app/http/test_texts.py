"""/v1/generate: text after a prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from sage.app.http.guard import Access
from sage.app.http.models import ServedModels
from sage.app.http.routes import create_app
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.text.baseline_comparison import BaselineComparison
from sage.hrm_core.text.generation import generate


@pytest.fixture
def writer() -> BaselineComparison:
    front = TokenFront(vocab_size=256, seq_len=16, positions="rope")
    config = ModelConfig.preset("tiny", front=front, mixer="attention", is_causal=True, num_heads=2)
    made = BaselineComparison.make(config, seed=1)
    with torch.no_grad():
        made.hrm.inner.lm_head.weight.mul_(3.0)
    return made


@pytest.fixture
def asker(models: ServedModels, writer: BaselineComparison, caller: Any) -> Any:
    access = Access(token="a-token-for-the-tests-alone")
    return type(caller)(create_app(models, access, text_models={"writer": writer}))


def test_text_is_generated_whole_or_token_by_token(asker: Any, writer: BaselineComparison) -> None:
    assert asker.ask("GET", "/v1/text_models").json["models"][0]["max_length"] == 16
    asked = {"prompt": "ab", "max_length": 8, "segments": 1}
    direct = generate(writer, "ab", max_length=8, num_segments=1)
    whole = asker.ask("POST", "/v1/generate", said=asked).json
    assert whole == {"prompt": "ab", "text": direct.text, "num_new": 6, "stopped": "length"}
    streamed = asker.ask("POST", "/v1/generate", said={**asked, "stream": True})
    assert streamed.headers["content-type"] == "application/x-ndjson"
    steps = [json.loads(line) for line in streamed.body.splitlines()]
    assert [step["num_new"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1] == whole


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, "prompt is missing"),
        ({"prompt": 1}, "give text"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "x" * 16}, "give a shorter prompt"),
        ({"prompt": "x", "max_length": 17}, "at most 16 tokens"),
        ({"prompt": "x", "max_length": 1.5}, "max_length: give a whole number"),
        ({"prompt": "x", "temperature": "0"}, "temperature: give a number"),
        ({"prompt": "x", "temperature": -1}, "temperature is -1"),
        ({"prompt": "x", "top_k": 0}, "top_k is 0"),
        ({"prompt": "x", "segments": 0}, "num_segments is 0"),
        ({"prompt": "x", "stream": "yes"}, "stream: give true or false"),
        ({"prompt": "x", "model": "writr"}, "did you mean writer?"),
        ({"prompt": "x", "promt": "x"}, "did you mean prompt?"),
    ],
)
def test_what_is_wrong_is_one_line(said: Any, fault: str, asker: Any) -> None:
    found = asker.ask("POST", "/v1/generate", said=said)
    assert found.status == 422
    assert fault in found.fault


def test_a_generation_ends_when_its_client_is_gone(asker: Any) -> None:
    reply = asker.ask("POST", "/v1/generate", said={"prompt": "ab", "segments": 1}, hangs_up=True)
    assert (reply.status, reply.fault) == (400, "the client disconnected")
    for _ in range(4):  # its place is free again
        assert asker.ask("POST", "/v1/generate", said={"prompt": "ab", "segments": 1}).status == 200


def test_without_a_model_the_remedy_is_shown(caller: Any) -> None:
    assert "sage serve --text RUN" in caller.ask("POST", "/v1/generate", said={"prompt": "x"}).fault
