"""The form of inference that costs least: its choice, its kept times, and what is never changed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.precision import DtypeChoice
from sage.hrm_core.solving import forms
from sage.hrm_core.solving.forms import (
    BFLOAT16,
    COMPILED,
    FLOAT32,
    FormTimes,
    KeptTimes,
    choose_form,
    in_best_form,
    key_of,
    measure_forms,
)

TIMES = FormTimes(segment_secs={FLOAT32: 0.2, BFLOAT16: 0.1, COMPILED: 0.08}, compile_secs=20.0)


@pytest.fixture
def model() -> HRM:
    front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
    return HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize(
    ("num", "form"), [(1, BFLOAT16), (999, BFLOAT16), (1001, COMPILED), (math.inf, COMPILED)]
)
def test_a_compiler_pays_from_so_many_segments_on(num: float, form: str) -> None:
    assert choose_form(TIMES, num).form == form
    plain = FormTimes(segment_secs={FLOAT32: 0.1, BFLOAT16: 0.2})
    assert choose_form(plain, num).form == FLOAT32


def test_a_structure_is_measured_once_and_a_damaged_file_is_as_none(
    model: HRM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MIN_PARAMETERS", 1)
    measured: list[HRM] = []

    def measure(each: HRM) -> FormTimes:
        measured.append(each)
        return TIMES

    monkeypatch.setattr(forms, "measure_forms", measure)
    path = tmp_path / "below" / "forms.json"
    fast, choice = in_best_form(model, path=path)
    assert (choice.form, fast.inner.H_init.dtype, len(measured)) == (BFLOAT16, torch.bfloat16, 1)
    assert model.inner.H_init.dtype == torch.float32  # a copy was cast
    assert in_best_form(model, path=path)[1] == choice
    assert len(measured) == 1
    assert in_best_form(fast, path=path)[0] is fast
    for damage in ("", "[]", "{", json.dumps({key_of(model): {"segment_secs": {FLOAT32: -1}}})):
        path.write_text(damage)
        in_best_form(model, path=path)
    assert len(measured) == 5
    assert set(KeptTimes(path).read()) == {key_of(model)}
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert in_best_form(model, path=blocked / "forms.json")[1] == choice  # not kept, and no error


def test_small_and_exported_models_keep_their_form(model: HRM, tmp_path: Path) -> None:
    path = tmp_path / "forms.json"
    assert in_best_form(model, path=path) == (model, in_best_form(model, path=path)[1])
    exported = object()
    assert in_best_form(exported, path=path)[0] is exported
    assert not path.exists()


def test_the_forms_that_the_machine_has_are_timed(
    model: HRM, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forms, "choose_dtype", lambda _: DtypeChoice(dtype=BFLOAT16, reason=""))
    times = measure_forms(model)
    assert set(times.segment_secs) == {FLOAT32, BFLOAT16}
    assert all(0 < secs < math.inf for secs in times.segment_secs.values())

    def fails(self: HRM, **_: object) -> None:
        for block in (block for net in self.inner.nets for block in net.layers):
            block.register_forward_pre_hook(_raise)

    monkeypatch.setattr(HRM, "compile_blocks", fails)
    assert set(measure_forms(model, is_compiled=True).segment_secs) == {FLOAT32, BFLOAT16}
    assert "no C++ compiler was found" in caplog.text


def _raise(*_: object) -> None:
    raise RuntimeError("no C++ compiler was found")
