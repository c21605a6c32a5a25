"""What a session earned in the worlds it acted in: the returns of episodes over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sage.app.report.markup import cells, table, text
from sage.app.report.plots import Line, Plot
from sage.app.store.episodes import EpisodeHistory
from sage.app.terminal import figures

SECTION = "Worlds"
#: Episodes that a median is of.
NUM_EPISODES = 20


def world_plots(worlds: Sequence[EpisodeHistory], ticks: np.ndarray) -> tuple[Plot, ...]:
    """One plot for each world, since the scales of their rewards differ. ticks: (N,) of the page's points."""
    returns = (
        Plot(
            id=f"returns-{number}",
            section=SECTION,
            title=f"Return of an episode, {world.world}",
            note=f"Sum of rewards: median and 10% to 90% of the last {NUM_EPISODES} episodes.",
            lines=(
                Line(label="median", values=world.trailing(ticks, NUM_EPISODES), tone=number),
                *(
                    Line(
                        label=f"{quantile:.0%}",
                        values=world.trailing(ticks, NUM_EPISODES, quantile),
                        tone=number,
                        is_muted=True,
                    )
                    for quantile in (0.1, 0.9)
                ),
            ),
        )
        for number, world in enumerate(worlds)
    )
    successes = tuple(
        Line(label=world.world, values=100 * world.trailing_success(ticks, NUM_EPISODES), tone=number)
        for number, world in enumerate(worlds)
        if world.states_success
    )
    reached = Plot(
        id="success",
        section=SECTION,
        title="Episodes that reached their goal",
        note=f"Of the last {NUM_EPISODES}, in worlds that state it.",
        lines=successes,
        unit="%",
        low=0.0,
        high=100.0,
    )
    return (*returns, *((reached,) if successes else ()))


def world_table(worlds: Sequence[EpisodeHistory]) -> str:
    headings = (
        "episodes",
        f"first {NUM_EPISODES}",
        f"last {NUM_EPISODES}",
        "best",
        "cut off",
        "reached the goal",
    )
    rows = []
    for world in worlds:
        values = (
            figures.count(len(world.returns)),
            figures.number(world.first_median(NUM_EPISODES)),
            figures.number(world.last_median(NUM_EPISODES)),
            figures.number(float(world.returns.max())),
            figures.percent(float(world.is_cut.mean())),
            figures.percent(float(world.success.mean())) if world.states_success else figures.DASH,
        )
        rows.append(f'<tr><th scope="row">{text(world.world)}</th>{cells(values, headings)}</tr>')
    found = table([("median return", ""), *((heading, "n") for heading in headings)], rows, "stack")
    return found + '<p class="note below"></p>'
