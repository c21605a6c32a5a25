"""`sage report`: a session as one HTML file that needs nothing else, for a browser without a network.

Invariant: whatever a session holds (names, messages, config) is text on the page, never markup: it is escaped
where it is written, and the page's own policy allows no script but the two written here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from sage.app.config.state_dir import STORE_NAME
from sage.app.report.data import ReportData, collect
from sage.app.report.html import footer_html, header_html, main_html, text
from sage.app.store.metrics_store import MetricsStore
from sage.app.terminal.errors import UserError


def write_report(state_dir: Path, session: str | None = None, out: Path | None = None) -> Path:
    """Write the page of `session` (the latest when None) and return its path.

    out: by default `report-<session>.html` beside the store.  Raises UserError: no store, no such session, no
    room.
    """
    with MetricsStore(Path(state_dir) / STORE_NAME, must_exist=True) as store:
        data = collect(store, store.session(session))
    path = Path(out) if out is not None else Path(state_dir) / f"report-{data.session.id}.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(data), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: cannot write the report ({error.strerror}): give another place with --out"
        ) from error
    return path


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
    """JSON that cannot end the element it stands in."""
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
    """Four digits that count: what a plot can show, at half the bytes. null is a gap."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values.tolist()]


def _static(name: str) -> str:
    return resources.files("sage.app").joinpath("static", name).read_text(encoding="utf-8")


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
