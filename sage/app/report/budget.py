"""The table of the report that has who got the segments of a session's budget."""

from __future__ import annotations

from sage.app.report.markup import cells, table, text
from sage.app.terminal import figures
from sage.app.terminal.budget import BudgetFigures

_HEADINGS = ("segments", "share", "results", "ended", "trust")
_NOTE = (
    "Segments of the budget that prediction, puzzles, plans and imagination share, in the ticks stored one by"
    " one: docs/attention.md explains their order."
)


def budget_table(budget: BudgetFigures) -> str:
    """One row for the prediction, each stream and each device's work; empty where the prediction is alone."""
    if not (budget.streams or budget.work) or not budget.total:
        return ""
    alone = [(name, num, "", "", "") for name, num in (("prediction", budget.prediction), *budget.streams)]
    works = [
        (
            each.name,
            each.num_segments,
            figures.count(each.num_made),
            ", ".join(f"{word} {figures.count(num)}" for word, num in each.ended),
            figures.number(each.trust),
        )
        for each in budget.work
    ]
    rows = []
    for name, num, *rest in (*alone, *works):
        values = cells((figures.count(num), figures.percent(num / budget.total), *rest), _HEADINGS)
        rows.append(f'<tr><th scope="row">{text(name)}</th>{values}</tr>')
    found = table([("segments of", ""), *((heading, "n") for heading in _HEADINGS)], rows, "stack")
    return f'{found}<p class="note below">{_NOTE}</p>'
