"""The table of the report that has tick times during nights beside those of waking."""

from __future__ import annotations

from sage.app.report.markup import cells, table, text
from sage.app.terminal import figures
from sage.app.terminal.tick_times import NightTicks

_HEADINGS = ("ticks", "99th percentile")
_NOTE = "Whole ticks, of those that are stored one by one: a tick during a night has the state dream."


def night_ticks_table(ticks: NightTicks) -> str:
    """One row for the ticks during nights and one for the others; empty without a night."""
    if not ticks.num_night:
        return ""
    rows = [
        f'<tr><th scope="row">{text(name)}</th>'
        f"{cells((figures.count(num), figures.millis(p99_ns)), _HEADINGS)}</tr>"
        for name, num, p99_ns in (
            ("during a night", ticks.num_night, ticks.night_p99_ns),
            ("while none ran", ticks.num_waking, ticks.waking_p99_ns),
        )
    ]
    found = table([("tick time", ""), *((heading, "n") for heading in _HEADINGS)], rows, "stack")
    return f'{found}<p class="note below">{_NOTE}</p>'
