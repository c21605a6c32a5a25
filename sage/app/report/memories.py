"""What a session remembers: recall entries by salience, and a map of them.

The map is a principal component analysis of the keys: near points are similar situations. Invariant: bounded,
at most MAX_POINTS entries are drawn, the most salient ones, and the page states how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.app.config.state_dir import MIND_NAME
from sage.app.memories.archive import Table, read_snapshot
from sage.app.report.markup import cells, legend, table, text
from sage.app.store.metrics_store import SessionRecord
from sage.app.terminal import figures
from sage.errors import SageError
from sage.runtime.snapshot import utc_text

MAX_POINTS = 600
NUM_BINS, NUM_TONES = 20, 8
#: A snapshot is of a session when it was saved so much after its end at most.
GRACE_NS = 120 * 10**9
_WIDTH, _HEIGHT, _MARGIN = 640.0, 360.0, 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMap:
    """Recall entries of the newest snapshot of a session, n of them.

    columns: as Table.columns, (n,) each.  places: (n, 2) components of the keys.  explained: share of the
    keys' variance that each of the two has.
    """

    saved_ns: int
    columns: dict[str, np.ndarray]
    places: np.ndarray
    explained: tuple[float, float]

    @property
    def contexts(self) -> list[int]:
        """The most frequent first."""
        found, counts = np.unique(self.columns["context"], return_counts=True)
        order = np.lexsort((found, -counts))
        return [int(each) for each in found[order]]


def read_memory_map(state_dir: Path, session: SessionRecord) -> MemoryMap | None:
    """None without a snapshot that was saved during the session and has recall entries."""
    newest: MemoryMap | None = None
    for folder in _snapshots(state_dir):
        try:
            about, states = read_snapshot(folder)
        except (SageError, OSError, ValueError, KeyError, TypeError):
            continue  # damaged, or replaced meanwhile: a run says so, a report shows what there is
        saved_ns, state = int(about.get("saved_ns", 0)), states.get("recall")
        ended_ns = saved_ns if session.ended_ns is None else session.ended_ns
        if state is None or not session.started_ns <= saved_ns <= ended_ns + GRACE_NS:
            continue
        slots = np.arange(len(state.arrays["times_ns"]))
        if len(slots) and (newest is None or saved_ns > newest.saved_ns):
            stored = Table(name="recall", state=state, slots=slots, epoch_ns=int(about.get("epoch_ns", 0)))
            newest = memory_map(stored, saved_ns)
    return newest


def _snapshots(state_dir: Path) -> list[Path]:
    found = sorted((state_dir / MIND_NAME).glob("[!.]*"))
    return [each for each in found if each.is_dir() and each.suffix not in (".damaged", ".old")]


def memory_map(stored: Table, saved_ns: int) -> MemoryMap:
    places, explained = principal_components(np.asarray(stored.state.arrays["keys"], float))
    return MemoryMap(saved_ns=saved_ns, columns=stored.columns(), places=places, explained=explained)


def principal_components(keys: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """(n, d) -> (n, 2), and the share of the variance that each has; zeros where there is none. The largest
    weight of each component is positive, so that equal memories give an equal map.
    """
    centred = keys - keys.mean(axis=0)
    _, sizes, components = np.linalg.svd(centred, full_matrices=False)
    two = np.zeros((2, keys.shape[1]))
    two[: min(2, len(components))] = components[:2]
    signs = np.sign(two[np.arange(2), np.abs(two).argmax(axis=1)])
    shares = np.zeros(2)
    shares[: min(2, len(sizes))] = sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
    return centred.dot((two * signs[:, None]).T), (float(shares[0]), float(shares[1]))


def memories_html(memory: MemoryMap) -> str:
    """A figure of the salience, one of the map, and a table by context."""
    num = len(memory.places)
    tones = {context: at % NUM_TONES for at, context in enumerate(memory.contexts)}
    names = [(f"context {context}", tone) for context, tone in list(tones.items())[:NUM_TONES]]
    drawn = f"The {MAX_POINTS} most salient of {num} entries." if num > MAX_POINTS else f"{num} entries."
    x, y = (figures.percent(share) for share in memory.explained)
    map_note = (
        f"{drawn} Near points are similar situations: the first two principal components of the keys, {x} and"
        f" {y} of their variance. A larger point is more salient; hover for its time and episode."
    )
    salience_note = f"Recall entries in the snapshot of {utc_text(memory.saved_ns)}."
    return (
        '<div class="pair">'
        f"{_figure('Memory by salience', salience_note, _histogram(memory, tones), legend(names))}"
        f"{_figure('Map of memories', map_note, _map(memory, tones), legend(names))}"
        f"</div>{_by_context(memory)}"
    )


def _figure(title: str, note: str, drawing: str, below: str) -> str:
    caption = f'<figcaption><h3>{text(title)}</h3><p class="note">{text(note)}</p></figcaption>'
    return f'<figure>{caption}<div class="drawing">{drawing}</div>{below}</figure>'


def _histogram(memory: MemoryMap, tones: dict[int, int]) -> str:
    """Bars of NUM_BINS intervals of salience, stacked by context; their numbers are HTML, so that they keep
    their size on a narrow screen.
    """
    edges = np.linspace(0.0, 1.0, NUM_BINS + 1)
    salience = np.clip(np.nan_to_num(memory.columns["salience"]), 0.0, 1.0)
    whole, _ = np.histogram(salience, edges)
    highest = max(int(whole.max()), 1)
    bars, base = [], np.zeros(NUM_BINS)
    for context, tone in tones.items():
        counts, _ = np.histogram(salience[memory.columns["context"] == context], edges)
        for at in np.flatnonzero(counts).tolist():
            height = 100.0 * counts[at] / highest
            title = f"salience {edges[at]:.2f} to {edges[at + 1]:.2f}, context {context}: {counts[at]}"
            bars.append(
                f'<rect x="{at * 5 + 0.3:.1f}" y="{100 - base[at] - height:.2f}" width="4.4"'
                f' height="{height:.2f}" fill="var(--tone-{tone})"><title>{text(title)}</title></rect>'
            )
            base[at] += height
    label = f"Histogram of the salience of {len(salience)} entries; the highest bar has {highest}"
    return (
        f'<p class="scale"><span>{figures.count(highest)} entries</span></p>'
        f'<svg role="img" aria-label="{text(label)}" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f"{''.join(bars)}</svg>"
        '<p class="scale axis"><span>0</span><span>salience</span><span>1</span></p>'
    )


def _map(memory: MemoryMap, tones: dict[int, int]) -> str:
    columns = memory.columns
    salience = np.clip(np.nan_to_num(columns["salience"]), 0.0, 1.0)
    chosen = np.argsort(-salience, kind="stable")[:MAX_POINTS]
    low, high = memory.places.min(axis=0), memory.places.max(axis=0)
    room = np.array([_WIDTH, _HEIGHT]) - 2 * _MARGIN
    scaled = _MARGIN + (memory.places - low) / np.maximum(high - low, 1e-12) * room
    points = []
    for at in chosen.tolist():  # the most salient lie below, as they are the largest
        parts = (
            f"id {columns['id'][at]}",
            f"episode {columns['episode'][at]}",
            f"context {columns['context'][at]}",
            utc_text(int(columns["time_ns"][at])),
            f"salience {figures.number(float(columns['salience'][at]))}",
            f"trust {figures.number(float(columns['trust'][at]))}",
        )
        points.append(
            f'<circle cx="{scaled[at, 0]:.1f}" cy="{_HEIGHT - scaled[at, 1]:.1f}"'
            f' r="{3 + 6 * salience[at]:.1f}" fill="var(--tone-{tones[int(columns["context"][at])]})">'
            f"<title>{text(', '.join(parts))}</title></circle>"
        )
    label = f"{len(points)} memories in two dimensions, coloured by context"
    return (
        f'<svg class="map" role="img" aria-label="{text(label)}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}">'
        f"{''.join(points)}</svg>"
    )


def _by_context(memory: MemoryMap) -> str:
    headings = ("entries", "episodes", "salience 10%", "50%", "90%", "oldest (UTC)", "newest (UTC)")
    rows = (
        f'<tr><th scope="row">context {context}</th>{cells(_context_values(memory, context), headings)}</tr>'
        for context in memory.contexts
    )
    return table([("recall", ""), *((heading, "n") for heading in headings)], rows, "stack")


def _context_values(memory: MemoryMap, context: int) -> tuple[str, ...]:
    columns = memory.columns
    own = columns["context"] == context

    def quantiles() -> Iterator[str]:
        for each in (0.1, 0.5, 0.9):
            yield figures.number(float(np.quantile(columns["salience"][own], each)))

    times = (columns["first_time_ns"][own].min(), columns["time_ns"][own].max())
    return (
        figures.count(int(own.sum())),
        figures.count(len(np.unique(columns["episode"][own]))),
        *quantiles(),
        *(utc_text(int(each)).removesuffix(" UTC") for each in times),
    )
