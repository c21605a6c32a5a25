"""What models compute in on this machine: the kept times of a segment, and their measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage.app.devices.finding import Finding

if TYPE_CHECKING:
    from sage.hrm_core.solving.forms import FormTimes

#: The structure that the papers train.
MEASURED = "hrm-27m"


def examine_forms(device: str) -> tuple[Finding, ...]:
    """Whether bf16 is considered, and what was chosen for each structure of a model that was measured."""
    from sage.hrm_core.model.precision import choose_dtype
    from sage.hrm_core.solving.forms import MIN_PARAMETERS, KeptTimes, choose_form, default_path

    choice = choose_dtype(device)
    is_considered = choice.dtype == "bfloat16"
    found = "float32, or bfloat16 where it was measured to be quicker" if is_considered else "float32"
    why = f"{choice.reason}; models below {MIN_PARAMETERS:,} weights compute in float32"
    kept = KeptTimes(default_path()).read()
    rows = [
        Finding(topic="inference", found=choose_form(times, 1.0).form, why=f"{key}: {_shown(times)}")
        for key, times in kept.items()
    ]
    if not rows:
        remedy = "sage doctor --measure; the first use of a large model measures it, too"
        rows = [Finding(topic="inference", found="not measured yet", why=remedy)]
    return (Finding(topic="--dtype auto", found=found, why=why), *rows)


def measure_paper_model() -> None:
    """Time a segment of HRM 27 M in every form, and keep the times."""
    import torch

    from sage.app.session.build import choose_device
    from sage.hrm_core.config.model import ModelConfig
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.forms import KeptTimes, default_path, key_of, measure_forms

    generator = torch.Generator().manual_seed(0)
    model = HRM(ModelConfig.preset(MEASURED), generator=generator).to(choose_device()).eval()
    KeptTimes(default_path()).add(key_of(model), measure_forms(model, is_compiled=True))


def _shown(times: FormTimes) -> str:
    shown = ", ".join(f"{form} {1e3 * secs:.0f} ms" for form, secs in times.segment_secs.items())
    compiling = "" if times.compile_secs is None else f", compiling once {times.compile_secs:.0f} s"
    return f"a segment of one row {shown}{compiling}"
