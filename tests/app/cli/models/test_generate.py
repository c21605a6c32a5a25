"""`sage generate` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sage.app.cli.main import invoke
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.text.baseline_comparison import BaselineComparison, save_plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with an untrained HRM and its GPT baseline."""
    front = TokenFront(vocab_size=256, seq_len=16)
    config = ModelConfig.preset("tiny", front=front, mixer="attention", is_causal=True, halt_max_segments=2)
    comparison = BaselineComparison.make(config)
    assert comparison.gpt is not None
    comparison.hrm.save_pretrained(tmp_path / "run" / "model")
    save_plain(comparison.gpt, tmp_path / "run" / "model")
    return tmp_path / "run"


def test_the_output_starts_with_the_prompt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["generate", str(folder), "ab", "--max-length", "5"]) == 0
    assert capsys.readouterr().out.startswith("ab")


def test_both_models_write_and_json_has_the_number_of_new_symbols(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for more in ([], ["--plain"]):
        assert invoke(["generate", str(folder), "ab", "--max-length", "9", "--json", *more]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["prompt"], document["num_new"], document["stopped"]) == ("ab", 7, "length")
        texts.append(document["text"])
    assert texts[0] != texts[1]


def test_what_is_wrong_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model" / "plain.safetensors").unlink()
    HRM(ModelConfig.preset("tiny"), generator=torch.Generator().manual_seed(0)).save_pretrained(
        tmp_path / "sudoku"
    )
    wrong = [
        ([str(folder), "ab", "--plain"], "the GPT baseline was not trained"),
        ([str(folder), "ab", "--temperature", "-1"], "temperature is -1"),
        ([str(folder), "a" * 16], "the prompt has 16 tokens, max_length is 16"),
        ([str(tmp_path / "sudoku"), "ab"], "is_causal is False"),
    ]
    for typed, message in wrong:
        assert invoke(["generate", *typed]) == 2
        error = capsys.readouterr().err
        assert error.startswith("sage: generate: ")
        assert message in error
        assert error.count("\n") == 1
