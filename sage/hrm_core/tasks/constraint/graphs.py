"""Graphs as DIMACS colouring files have them.

Invariant: vertices count from 0 here and from 1 in a file; an edge is listed once, the smaller end first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sage.errors import InputError
from sage.hrm_core.tasks.constraint.formulas import whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Undirected, no loops."""

    num_vertices: int
    edges: tuple[tuple[int, int], ...]


def load_graphs(path: str | Path) -> tuple[Graph, ...]:
    """A .col file, or all of a folder by name."""
    path = Path(path)
    try:
        files = sorted(path.glob("*.col")) if path.is_dir() else [path]
        found = tuple(parse_graph(file.read_text("utf-8-sig"), str(file)) for file in files)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}: give a .col file or a folder of them") from error
    if not found:
        raise InputError(f"{path}: no .col file: give a .col file or a folder of them")
    return found


def parse_graph(text: str, where: str) -> Graph:
    """Comments, "p edge VERTICES EDGES" (also "p col"), "e LEFT RIGHT". Edges given both ways count once."""
    num_vertices, edges = -1, set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0] == "c":
            continue
        try:
            if words[0] == "p" and words[1] in ("edge", "col"):
                num_vertices = whole_number(words[2])
                continue
            left, right = (whole_number(word) - 1 for word in words[1:3])
            is_right = (
                words[0] == "e" and 0 <= left < num_vertices and 0 <= right < num_vertices and left != right
            )
        except (ValueError, IndexError):
            is_right = False
        if not is_right:
            raise InputError(
                f"{where}: line {number}: {line.strip()[:80]!r}: give 'p edge VERTICES EDGES', then 'e 1 2'"
                " with two vertices"
            )
        edges.add((min(left, right), max(left, right)))
    if num_vertices < 1:
        raise InputError(f"{where}: no line 'p edge VERTICES EDGES': add it before the edges")
    return Graph(num_vertices=num_vertices, edges=tuple(sorted(edges)))


def to_dimacs(graph: Graph) -> str:
    lines = [f"p edge {graph.num_vertices} {len(graph.edges)}"]
    return "\n".join(lines + [f"e {left + 1} {right + 1}" for left, right in graph.edges])
