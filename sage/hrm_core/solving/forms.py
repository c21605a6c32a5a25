"""The form of inference that costs least on this machine: fp32, bf16, or bf16 compiled.

Invariant: a form is chosen from times that were measured once, on this machine, with this structure of a
model; a file keeps them. Nothing is compiled in order to choose: `measure_forms` does that when asked to.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sage.durable import write_file
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.precision import choose_dtype, processor_name

FLOAT32, BFLOAT16, COMPILED = FORMS = ("float32", "bfloat16", "bfloat16 compiled")
#: Models with fewer weights stay as they are: measuring would take longer than it saves, and small models
#: have loops of their own for fp32 (`sage.hrm_core.model.lines`). A search of theirs solves less in bf16.
MIN_PARAMETERS = 4_000_000
ROUNDS = 3
FILE_NAME = "forms.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormTimes:
    """segment_secs: wall time of one segment by form, the least of ROUNDS.  compile_secs: of the
    compiled form's first segment; None where it was not measured.
    """

    segment_secs: dict[str, float]
    compile_secs: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormChoice:
    """form: of FORMS, or "" where the model keeps its own."""

    form: str
    reason: str


def default_path() -> Path:
    """$XDG_CACHE_HOME/sage/forms.json, usually below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sage" / FILE_NAME


def in_best_form(
    model: Any, *, num_segments: float = 1.0, path: Path | None = None
) -> tuple[Any, FormChoice]:
    """The model in the form that costs least, and why. num_segments: of a batch that the caller will run,
    which decides whether a compiler pays; math.inf for a server.  path: of the kept times.

    The first call for a structure measures fp32 and bf16, a few segments of one row each: which of them is
    quicker does not depend on the rows (HRM 27 M at 1 and 16 rows: `sage bench hrm`). A model below
    MIN_PARAMETERS, one that is already cast, and an exported file are returned as they are.
    """
    reason = _why_kept(model)
    if reason:
        return model, FormChoice(form="", reason=reason)
    kept = KeptTimes(path or default_path())
    key = key_of(model)
    times = kept.read().get(key)
    if times is None:
        times = measure_forms(model)
        kept.add(key, times)
    choice = choose_form(times, num_segments)
    if choice.form == FLOAT32:
        return model, choice
    return model.to_inference(torch.bfloat16, is_compiled=choice.form == COMPILED), choice


def choose_form(times: FormTimes, num_segments: float) -> FormChoice:
    """The form with the least total time of `num_segments` segments, compiling included."""
    totals = {
        form: secs * num_segments if math.isfinite(num_segments) else secs
        for form, secs in times.segment_secs.items()
    }
    if COMPILED in totals and math.isfinite(num_segments):
        totals[COMPILED] += times.compile_secs or 0.0
    best = min(totals, key=totals.__getitem__)
    shown = ", ".join(f"{form} {1e3 * secs:.1f} ms" for form, secs in times.segment_secs.items())
    return FormChoice(form=best, reason=f"a segment takes {shown}")


@torch.inference_mode()
def measure_forms(model: HRM, *, is_compiled: bool = False) -> FormTimes:
    """Time a segment of one row in each form, in turns. is_compiled: also of the compiled form, which takes
    up to a minute of compiling; a machine without a compiler for C++ leaves it out.
    """
    forms: dict[str, HRM] = {FLOAT32: model}
    if choose_dtype(model.inner.H_init.device.type).dtype == BFLOAT16:
        forms[BFLOAT16] = model.to_inference(torch.bfloat16)
    if is_compiled and BFLOAT16 in forms:
        forms[COMPILED] = model.to_inference(torch.bfloat16, is_compiled=True)
    compile_secs = None
    for form in tuple(forms):
        try:
            first_secs = _segment_secs(forms[form])  # also allocates
        except Exception as error:  # torch's compiler raises many kinds
            if form != COMPILED:
                raise
            _log.warning("the compiled form is not measured: torch cannot compile it here: %s", _line(error))
            del forms[form]
            continue
        if form == COMPILED:
            compile_secs = first_secs
    times = {form: math.inf for form in forms}
    for _ in range(ROUNDS):
        for form, each in forms.items():
            times[form] = min(times[form], _segment_secs(each))
    return FormTimes(segment_secs=times, compile_secs=compile_secs)


def key_of(model: HRM) -> str:
    """The machine, torch, its threads and the model's structure: what the time of a segment depends on."""
    config = model.config
    front = config.front
    assert isinstance(front, TokenFront)
    device = model.inner.H_init.device
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    shape = (
        f"{config.hidden_size} wide, {config.H_layers}+{config.L_layers} blocks,"
        f" {config.H_cycles}x{config.L_cycles} cycles, {front.num_tokens} tokens"
    )
    threads = torch.get_num_threads()
    system = f"{where or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {threads} threads"
    return f"{shape}; {system}; torch {torch.__version__}"


class KeptTimes:
    """Times by key, in one JSON file. A file that is damaged or cannot be written is as none: times are
    measured again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, FormTimes]:
        try:
            plain = json.loads(self._path.read_text(encoding="utf-8"))
            return {key: _read_times(each) for key, each in plain.items()}
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return {}

    def add(self, key: str, times: FormTimes) -> None:
        known: Mapping[str, FormTimes] = {**self.read(), key: times}
        text = json.dumps({name: asdict(each) for name, each in known.items()}, indent=1)
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, f"{text}\n".encode())


def _read_times(plain: Mapping[str, Any]) -> FormTimes:
    secs = {form: float(plain["segment_secs"][form]) for form in FORMS if form in plain["segment_secs"]}
    if FLOAT32 not in secs or not all(0 < each < math.inf for each in secs.values()):
        raise ValueError("times are missing, or are not positive numbers")
    compile_secs = plain.get("compile_secs")
    return FormTimes(segment_secs=secs, compile_secs=None if compile_secs is None else float(compile_secs))


def _why_kept(model: Any) -> str:
    """Why the model keeps its form, or ""."""
    if not isinstance(model, HRM):
        return "an exported model has its own"
    if model.inner.H_init.dtype != torch.float32:
        return f"the model is in {str(model.inner.H_init.dtype).removeprefix('torch.')} already"
    num = sum(weight.numel() for weight in model.parameters())
    return f"{num:,} weights: fewer than {MIN_PARAMETERS:,} stay in fp32" if num < MIN_PARAMETERS else ""


def _segment_secs(model: HRM) -> float:
    front, device = model.config.front, model.inner.H_init.device
    assert isinstance(front, TokenFront)
    cells = torch.ones(1, front.seq_len, dtype=torch.int32, device=device)
    ids = torch.zeros(1, dtype=torch.int32, device=device)
    carry = model.initial_carry(1)
    _wait(device)
    started = time.perf_counter()
    model.segment(carry, TokenBatch(inputs=cells, labels=cells, puzzle_ids=ids))
    _wait(device)
    return time.perf_counter() - started


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
