"""Graph colouring: a colour for each vertex so that no edge joins two alike. Random graphs, or DIMACS ones.

Invariant: a label is the first colouring in the order of the vertices, a new colour only where no old one fits; answers
are judged by the edges. Cells form the adjacency matrix: 0 pad, 1 blank, 2 no edge, 3 edge, 4.. colours on the diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.graphs import Graph, load_graphs, parse_graph, to_dimacs
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys, without_ids

BLANK, NO_EDGE, EDGE, COLOUR = 1, 2, 3, 4
MAX_STEPS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ColouringConfig:
    """vertices, colours; density: the share of edges, drawn evenly from this range.  instances: a .col file or a folder of
    them to evaluate on, those that fit into `vertices` and can be coloured."""

    vertices: int = 8
    colours: int = 3
    density: tuple[float, float] = (0.2, 0.6)
    instances: str | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.vertices <= 512:
            raise ValueError(f"vertices is {self.vertices}: give 2 to 512")
        if not 2 <= self.colours <= self.vertices:
            raise ValueError(f"colours is {self.colours}: give 2 to {self.vertices}, the vertices")
        if not 0 <= self.density[0] <= self.density[1] <= 1:
            raise ValueError(f"density is {self.density[0]} to {self.density[1]}: give two shares of 0 to 1, the lower one first")


class ColouringTask(Generated):
    """Random graphs, kept where the colours suffice."""

    def __init__(self, config: ColouringConfig | None = None) -> None:
        super().__init__()
        self.config = config or ColouringConfig()
        self._given: tuple[Graph, ...] = ()
        if self.config.instances:
            graphs = load_graphs(self.config.instances)
            self._given = tuple(graph for graph in graphs if graph.num_vertices <= self.config.vertices)
            if not self._given:
                least = min(graph.num_vertices for graph in graphs)
                raise ValueError(
                    f"{self.config.instances}: the smallest graph has {least} vertices: give vertices {least} or more"
                )

    @property
    def spec(self) -> TaskSpec:
        size = self.config.vertices
        return TaskSpec(name="colouring", vocab_size=COLOUR + self.config.colours, seq_len=size**2, grid=(size, size))

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        size = self.config.vertices
        density = rng.uniform(*self.config.density, size=(num, 1, 1))
        upper = np.triu(rng.random((num, size, size)) < density, k=1)
        edges = upper | upper.transpose(0, 2, 1)
        edges = edges[are_held_out(row_keys(edges.reshape(num, size**2))) == is_held_out]
        return self._solved(edges, np.full(len(edges), size))

    def _solved(self, edges: np.ndarray, num_vertices: np.ndarray) -> Examples:
        """Of graphs (N, V, V) bool, the rest of the vertices being padding: those that can be coloured."""
        from sage.hrm_core.tasks import search_kernel

        size = self.config.vertices
        colours = np.zeros((len(edges), size), np.int64)
        found = search_kernel.first_colourings(edges.astype(np.int64), self.config.colours, colours, MAX_STEPS)
        edges, colours, num_vertices = edges[found == 1], colours[found == 1], num_vertices[found == 1]
        is_there = np.arange(size) < num_vertices[:, None]  # (N, V)
        inputs = np.where(edges, EDGE, NO_EDGE) * (is_there[:, :, None] & is_there[:, None, :])
        labels, diagonal = np.full(inputs.shape, IGNORED), np.arange(size)
        inputs[:, diagonal, diagonal] = BLANK * is_there
        labels[:, diagonal, diagonal] = np.where(is_there, colours + COLOUR - 1, IGNORED)
        return without_ids(inputs.reshape(-1, size**2), labels.reshape(-1, size**2))

    def held_out(self, num: int) -> Examples:
        if not self._given:
            return super().held_out(num)
        size, given = self.config.vertices, self._given[:num]
        edges = np.zeros((len(given), size, size), bool)
        for row, graph in zip(edges, given):
            for left, right in graph.edges:
                row[left, right] = row[right, left] = True
        return self._solved(edges, np.array([graph.num_vertices for graph in given], np.int64))

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._share_kept(inputs, answers) == 1.0
        return found

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        return {"edges_kept": self._share_kept(examples.inputs, answers)}

    def _share_kept(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) the share of the edges whose ends differ; 0 where a vertex has no colour."""
        size = self.config.vertices
        grids, diagonal = inputs.reshape(-1, size, size), np.arange(size)
        is_there, is_edge = grids[:, diagonal, diagonal] != 0, np.triu(grids == EDGE, k=1)
        colours = answers.reshape(-1, size, size)[:, diagonal, diagonal]
        is_coloured = (~is_there | ((colours >= COLOUR) & (colours < COLOUR + self.config.colours))).all(axis=1)
        is_kept = is_edge & (colours[:, :, None] != colours[:, None, :])
        share = (is_kept.sum(axis=(1, 2)) + 1e-12) / (is_edge.sum(axis=(1, 2)) + 1e-12)
        return np.where(is_coloured, share, 0.0)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        """Each vertex takes the first colour that no neighbour before it has, the last colour where all are taken."""
        size = self.config.vertices
        answers, is_edge = np.array(inputs, np.int32), inputs.reshape(-1, size, size) == EDGE
        diagonal = answers[:, np.arange(size) * (size + 1)]  # (N, V)
        for vertex in range(size):
            taken = [
                (is_edge[:, vertex, :vertex] & (diagonal[:, :vertex] == COLOUR + c)).any(axis=1)
                for c in range(self.config.colours)
            ]
            first = np.argmin(np.stack([*taken[:-1], np.zeros(len(answers), bool)], axis=1), axis=1)
            diagonal[:, vertex] = np.where(diagonal[:, vertex] == 0, 0, COLOUR + first)
        answers[:, np.arange(size) * (size + 1)] = diagonal
        return Baseline(name="greedy in the order of the vertices", answers=answers)

    def encode(self, text: str) -> np.ndarray:
        """DIMACS."""
        graph, size = parse_graph(text, "the graph"), self.config.vertices
        if graph.num_vertices > size:
            raise ValueError(f"the graph has {graph.num_vertices} vertices: this task takes {size}")
        edges = np.zeros((1, size, size), bool)
        for left, right in graph.edges:
            edges[0, left, right] = edges[0, right, left] = True
        examples = self._solved(edges, np.array([graph.num_vertices]))
        if not len(examples):
            raise ValueError(f"the graph cannot be coloured with {self.config.colours} colours, or no way was found: give more")
        cells: np.ndarray = examples.inputs[0]
        return cells

    def decode(self, cells: np.ndarray) -> str:
        return to_dimacs(self._graph(cells))

    def _graph(self, cells: np.ndarray) -> Graph:
        size = self.config.vertices
        grid = np.asarray(cells).reshape(size, size)
        edges = tuple((int(left), int(right)) for left, right in np.argwhere(np.triu(grid == EDGE, k=1)))
        return Graph(num_vertices=int((np.diagonal(grid) != 0).sum()), edges=edges)

    def render(self, cells: np.ndarray) -> str:
        """A line a vertex: its colour and its neighbours."""
        size, graph = self.config.vertices, self._graph(cells)
        lines = []
        for vertex in range(graph.num_vertices):
            colour = int(cells[vertex * (size + 1)]) - COLOUR + 1
            joined = [str(sum(edge) - vertex + 1) for edge in graph.edges if vertex in edge]
            lines.append(f"{vertex + 1}: {colour if colour > 0 else '?'}  joined to {', '.join(joined) or 'none'}")
        return "\n".join(lines)
