"""`sage report`: a session as one self-contained HTML file that needs no network.

Invariant: everything from a session (names, messages, configuration) is text on the page, never markup: it is
escaped where it is written, and the page's policy allows no script but its own two.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from sage.app.config.state_dir import STORE_NAME
from sage.app.report.data import ReportData, collect
from sage.app.report.html import footer_html, header_html, main_html
from sage.app.report.markup import text
from sage.app.report.memories import read_memory_map
from sage.app.report.page_file import write_html
from sage.app.store.opening import open_to_read
from sage.app.terminal.skill import ALL_PHYSICAL, verdict
from sage.runtime.report import to_plain


def write_report(state_dir: Path, session: str | None = None, out: Path | None = None) -> Path:
    """Write the page of `session` (the latest when None) and return its path.

    out: by default `report-<session>.html` beside the store.  Raises UserError.
    """
    data = load_report(Path(state_dir), session)
    return write_page(data, out or Path(state_dir) / f"report-{data.session.id}.html")


def load_report(state_dir: Path, session: str | None = None) -> ReportData:
    """The data of `session`, the latest when None. Raises UserError without a store or such a session."""
    with open_to_read(state_dir / STORE_NAME) as store:
        record = store.session(session)
        return collect(store, record, memory=read_memory_map(state_dir, record))


def write_page(data: ReportData, path: Path) -> Path:
    """Raises UserError where `path` cannot be written."""
    return write_html(render(data), path)


def report_as_dict(data: ReportData) -> dict[str, Any]:
    """The figures of the page's tables, for `--json`: null where undefined."""
    total = data.skills.get(ALL_PHYSICAL)
    return {
        "session": data.session.id,
        "num_ticks": data.session.num_ticks,
        "verdict": verdict(total) if total else None,
        "skills": {name: to_plain(skill) for name, skill in data.skills.items()},
        "skips": to_plain(data.skips),
        "budget": to_plain(data.budget),
        "sleeps": to_plain(data.sleeps),
    }


def render(data: ReportData) -> str:
    """The whole page."""
    uplot, script = _static("uplot.min.js"), _static("report.js")
    sources = " ".join(f"'sha256-{_digest(code)}'" for code in (uplot, script))
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {sources}; base-uri 'none'; form-action"
        " 'none'"
    )
    return Template(_static("report.html")).substitute(
        policy=policy,
        title=text(f"{data.session.id} · SAGE"),
        uplot_css=_static("uplot.min.css"),
        css=_static("report.css"),
        header=header_html(data),
        main=main_html(data),
        footer=footer_html(data),
        data=_embedded(data),
        uplot_js=uplot,
        js=script,
    )


def _embedded(data: ReportData) -> str:
    """JSON without characters that could end its script element."""
    plain = {
        "times": [round(secs, 3) for secs in data.times_secs.tolist()],
        "sleeps": data.night_secs,
        "timeline": [
            {
                "label": label,
                "bands": [(round(band.start_secs, 3), round(band.end_secs, 3), band.state) for band in bands],
            }
            for label, bands in data.timeline
        ],
        "plots": [
            {
                "id": plot.id,
                "unit": plot.unit,
                "low": plot.low,
                "high": plot.high,
                "is_log": plot.is_log,
                "baseline": plot.baseline,
                "lines": [
                    {
                        "label": line.label,
                        "tone": line.tone,
                        "is_muted": line.is_muted,
                        "values": _rounded(line.values),
                    }
                    for line in plot.lines
                ],
            }
            for plot in data.plots
        ],
    }
    packed = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    return packed.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _rounded(values: np.ndarray) -> list[float | None]:
    """Four significant digits, which a plot can show, at half the bytes. null is a gap."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values.tolist()]


def _static(name: str) -> str:
    return resources.files("sage.app").joinpath("static", name).read_text(encoding="utf-8")


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
