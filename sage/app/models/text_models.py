"""Models of text by name or path."""

from __future__ import annotations

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import locate
from sage.hrm_core.text.baseline_comparison import BaselineComparison, load_plain
from sage.hrm_core.text.decoding import need_text_model


def load_text_model(name: str) -> BaselineComparison:
    """The model of a run's folder, a model's folder or a hub repository, with the plain GPT if one is stored
    beside it. InputError where it is not a model of text.
    """
    folder = locate(name)
    folder = folder / "model" if (folder / "model" / "config.json").is_file() else folder
    hrm = HRM.from_pretrained(folder).eval()
    return BaselineComparison(hrm=hrm, gpt=load_plain(folder, need_text_model(hrm)))
