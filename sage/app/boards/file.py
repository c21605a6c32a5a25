"""A data set as one HTML file that needs no server: `sage data view`.

Invariant: the file makes no request, and is at most MAX_BYTES long.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from string import Template

from sage import durable
from sage.app.boards.dataset import MAX_PAGE, Choice, DatasetView
from sage.app.report.markup import text
from sage.errors import InputError
from sage.hrm_core.datasets.layout import SIDES

MAX_BYTES = 32 << 20
MAX_EXAMPLES = 5000
_SCRIPTS = ("board.js", "dataset.js", "dataset_file.js")
_JOINT = re.compile(r"^import .*;$|^export ", re.MULTILINE)


def write_file(folder: Path, out: Path, *, num: int = 200) -> int:
    """Write the first `num` examples of train and of test. Returns the size of the file in bytes. DataError
    where the folder is no data set, InputError where `num` is out of range or the file would be too large.
    """
    if not 1 <= num <= MAX_EXAMPLES:
        raise InputError(f"num is {num}: give 1 to {MAX_EXAMPLES}")
    page = render(DatasetView(folder.resolve()), num=num).encode()
    if len(page) > MAX_BYTES:
        raise InputError(
            f"{out}: the file would have {len(page) >> 20} MiB, more than {MAX_BYTES >> 20}: give a smaller"
            " --num"
        )
    durable.write_file(out, page)
    return len(page)


def render(view: DatasetView, *, num: int) -> str:
    """The whole page."""
    script = "\n".join(_JOINT.sub("", _static(name)) for name in _SCRIPTS)
    css = _static("sage.css")
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(css)}'; script-src 'sha256-{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_static("dataset_file.html")).substitute(
        policy=policy, title=text(f"{view.name} · SAGE"), css=css, script=script, data=_embedded(view, num)
    )


def _embedded(view: DatasetView, num: int) -> str:
    """JSON without characters that could end its script element."""
    examples = {}
    for side in SIDES:
        starts = range(0, num, MAX_PAGE)
        pages = (Choice(side=side, start=start, num=min(MAX_PAGE, num - start)) for start in starts)
        examples[side] = [each for page in pages for each in view.examples(page)["examples"]]
    plain = {"dataset": view.describe(), "examples": examples}
    packed = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    return packed.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _static(name: str) -> str:
    return resources.files("sage.app").joinpath("static", name).read_text(encoding="utf-8")


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
