"""Graph colouring: a colour for each vertex so that no edge joins two alike. Random graphs, or DIMACS ones.

Invariant: a label is the first colouring in the order of the vertices, a new colour only where no old one
fits; answers are judged by the edges. A row of cells a vertex: its colour, then its row of the adjacency
matrix in hexadecimal, the lowest bit first. Cells: 0 pad, 1 blank, 2..17 the digits, 18.. colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.constraint.graphs import Graph, load_graphs, parse_graph, to_dimacs
from sage.hrm_core.tasks.constraint.merging import merged_edges, new_names
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import HELD_OUT_SEED, Generated, are_held_out, row_keys, without_ids

BLANK, DIGIT, COLOUR = 1, 2, 18
NUM_BITS = 4
MAX_STEPS = 2_000_000
MOST_PIECES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ColouringConfig:
    """vertices, colours; density: the share of edges, drawn evenly from this range.  instances: a .col file
    or a folder of them to evaluate on, those that fit into `vertices` and can be coloured.  pieces: so many
    connected pieces of `vertices` vertices of each larger one too."""

    vertices: int = 8
    colours: int = 3
    density: tuple[float, float] = (0.2, 0.6)
    instances: str | None = None
    pieces: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.vertices <= 512:
            raise InputError(f"vertices is {self.vertices}: give 2 to 512")
        if not 2 <= self.colours <= self.vertices:
            raise InputError(f"colours is {self.colours}: give 2 to {self.vertices}, the vertices")
        if not 0 <= self.density[0] <= self.density[1] <= 1:
            raise InputError(
                f"density is {self.density[0]} to {self.density[1]}: give two shares of 0 to 1, the lower one"
                " first"
            )
        if not 0 <= self.pieces <= MOST_PIECES or (self.pieces and not self.instances):
            raise InputError(
                f"pieces is {self.pieces}: give 0 to {MOST_PIECES:,}, and the instances to cut them from"
            )


class ColouringTask(Generated):
    """Random graphs, kept where the colours suffice."""

    def __init__(self, config: ColouringConfig | None = None) -> None:
        super().__init__()
        self.config = config or ColouringConfig()
        self._given: tuple[Graph, ...] = ()
        if self.config.instances:
            graphs = load_graphs(self.config.instances)
            self._given = _that_fit(graphs, self.config.vertices, self.config.pieces)
            if not self._given:
                least = min(graph.num_vertices for graph in graphs)
                raise InputError(
                    f"{self.config.instances}: the smallest graph has {least} vertices: give vertices {least}"
                    " or more"
                )

    @property
    def spec(self) -> TaskSpec:
        size, width = self.config.vertices, self._width
        return TaskSpec(
            name="colouring",
            vocab_size=COLOUR + self.config.colours,
            seq_len=size * width,
            grid=(size, width),
            blank=BLANK,
        )

    @property
    def _width(self) -> int:
        """Cells of a vertex."""
        return 1 + -(-self.config.vertices // NUM_BITS)

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        size = self.config.vertices
        density = rng.uniform(*self.config.density, size=(num, 1, 1))
        upper = np.triu(rng.random((num, size, size)) < density, k=1)
        edges = upper | upper.transpose(0, 2, 1)
        edges = edges[are_held_out(row_keys(edges.reshape(num, size**2))) == is_held_out]
        return self._solved(edges, np.full(len(edges), size))

    def _solved(self, edges: np.ndarray, num_vertices: np.ndarray) -> Examples:
        """Of graphs (N, V, V) bool, the rest of the vertices being padding: those that can be coloured."""
        from sage.hrm_core.tasks.constraint import kernel as search_kernel

        size, width = self.config.vertices, self._width
        colours = np.zeros((len(edges), size), np.int64)
        found = search_kernel.first_colourings(
            edges.astype(np.int64), self.config.colours, colours, MAX_STEPS
        )
        edges, colours, num_vertices = edges[found == 1], colours[found == 1], num_vertices[found == 1]
        is_there = np.arange(size) < num_vertices[:, None]  # (N, V)
        inputs = self._packed(edges, is_there)
        labels = np.full((len(edges), size, width), IGNORED)
        labels[:, :, 0] = np.where(is_there, colours + COLOUR - 1, IGNORED)
        return without_ids(inputs, labels.reshape(-1, size * width))

    def _packed(self, edges: np.ndarray, is_there: np.ndarray) -> np.ndarray:
        """(N, L) puzzles of graphs (N, V, V) bool with the vertices that is_there (N, V): the reverse of
        `_edges`.
        """
        size, width = self.config.vertices, self._width
        bits = np.zeros((len(edges), size, (width - 1) * NUM_BITS), np.int64)
        bits[:, :, :size] = edges
        cells = np.full((len(edges), size, width), BLANK)
        cells[:, :, 1:] = DIGIT + (
            bits.reshape(len(edges), size, width - 1, NUM_BITS) << np.arange(NUM_BITS)
        ).sum(axis=3)
        cells *= is_there[:, :, None]
        return cells.reshape(-1, size * width)

    def draw_held_out(self, num: int, seed: Sequence[int], without: Examples) -> Examples:
        """None where the evaluation set was given: there are no others."""
        return without.take(slice(0)) if self._given else super().draw_held_out(num, seed, without)

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
        is_there, is_edge = self._colours(inputs) != 0, np.triu(self._edges(inputs), k=1)
        colours = self._colours(answers)
        is_coloured = (~is_there | ((colours >= COLOUR) & (colours < COLOUR + self.config.colours))).all(
            axis=1
        )
        is_kept = is_edge & (colours[:, :, None] != colours[:, None, :])
        share = (is_kept.sum(axis=(1, 2)) + 1e-12) / (is_edge.sum(axis=(1, 2)) + 1e-12)
        return np.where(is_coloured, share, 0.0)

    def _colours(self, cells: np.ndarray) -> np.ndarray:
        """(N, V) the cells that say them."""
        found: np.ndarray = cells[:, :: self._width]
        return found

    def _edges(self, inputs: np.ndarray) -> np.ndarray:
        """(N, V, V) bool."""
        size = self.config.vertices
        digits = np.maximum(inputs.reshape(len(inputs), size, self._width)[:, :, 1:] - DIGIT, 0)
        bits = digits[:, :, :, None] >> np.arange(NUM_BITS) & 1
        found: np.ndarray = bits.reshape(len(inputs), size, -1)[:, :, :size] > 0
        return found

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N,) bool: choices are colours of vertices, and no edge joins two of the same colour."""
        colours = self._colours(partial)
        is_chosen = (colours >= COLOUR) & (colours < COLOUR + self.config.colours)
        is_right = (is_chosen | (colours == BLANK) | (self._colours(inputs) == 0)).all(axis=1)
        keeps = ((inputs == BLANK) | (inputs == partial)).all(axis=1)
        is_same = is_chosen[:, :, None] & (colours[:, :, None] == colours[:, None, :])
        may: np.ndarray = is_right & keeps & ~(is_same & self._edges(inputs)).any(axis=(1, 2))
        return may

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """A graph without colours that can be coloured exactly where the choices can be completed: see
        `merging`. A model reads a graph as in training, with more edges. Its answer may give the chosen
        vertices other colours: `complete` and `choice_log_probs` rename them.
        """
        edges = merged_edges(self._edges(inputs), self._chosen(partial))
        return self._packed(edges, self._colours(inputs) != 0).astype(np.int32)

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The chosen colours; the answer's for the rest, renamed so that it has the chosen ones too."""
        whole, chosen = np.array(inputs, np.int32), self._chosen(partial)
        given = self._colours(answers) - COLOUR  # (N, V)
        is_colour = (given >= 0) & (given < self.config.colours)
        scores = is_colour[:, :, None] & (given[:, :, None] == np.arange(self.config.colours))
        renamed = np.take_along_axis(new_names(scores, chosen), np.where(is_colour, given, 0), axis=1)
        renamed = np.where(is_colour, COLOUR + renamed, self._colours(answers))
        is_there = self._colours(inputs) != 0
        self._colours(whole)[:] = np.where(chosen >= 0, COLOUR + chosen, np.where(is_there, renamed, 0))
        return whole

    def choice_log_probs(self, inputs: np.ndarray, partial: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
        """Those of colours, renamed as in `complete`, by the log-probabilities of the chosen vertices."""
        found, colours = np.array(log_probs, np.float64), slice(COLOUR, COLOUR + self.config.colours)
        there = found[:, :: self._width, colours]  # (N, V, C)
        names = new_names(there, self._chosen(partial))
        found[:, :: self._width, colours] = np.take_along_axis(
            there, np.argsort(names, axis=1)[:, None, :], axis=2
        )
        return found

    def _chosen(self, partial: np.ndarray) -> np.ndarray:
        """(N, V) the number of the colour, from 0; -1 where none is chosen."""
        colours = self._colours(partial).astype(np.int64)
        return np.where(colours >= COLOUR, colours - COLOUR, -1)

    def with_givens(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N, L) int32: the colours of answers, and the graphs."""
        return np.where(inputs == BLANK, answers, inputs).astype(np.int32)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        """Each vertex takes the first colour that no neighbour before it has, the last colour where all are
        taken.
        """
        answers, is_edge = np.array(inputs, np.int32), self._edges(inputs)
        colours = self._colours(answers)  # (N, V), a view
        for vertex in range(self.config.vertices):
            taken = [
                (is_edge[:, vertex, :vertex] & (colours[:, :vertex] == COLOUR + c)).any(axis=1)
                for c in range(self.config.colours)
            ]
            first = np.argmin(np.stack([*taken[:-1], np.zeros(len(answers), bool)], axis=1), axis=1)
            colours[:, vertex] = np.where(colours[:, vertex] == 0, 0, COLOUR + first)
        return Baseline(name="greedy in the order of the vertices", answers=answers)

    def encode(self, text: str) -> np.ndarray:
        """DIMACS."""
        graph, size = parse_graph(text, "the graph"), self.config.vertices
        if graph.num_vertices > size:
            raise InputError(f"the graph has {graph.num_vertices} vertices: this task takes {size}")
        edges = np.zeros((1, size, size), bool)
        for left, right in graph.edges:
            edges[0, left, right] = edges[0, right, left] = True
        examples = self._solved(edges, np.array([graph.num_vertices]))
        if not len(examples):
            raise InputError(
                f"the graph cannot be coloured with {self.config.colours} colours, or no way was found: give"
                " more"
            )
        cells: np.ndarray = examples.inputs[0]
        return cells

    def decode(self, cells: np.ndarray) -> str:
        """The graph of a puzzle; of an answer a line "l VERTEX COLOUR" for each vertex, from 1."""
        colours = self._colours(np.asarray(cells)[None])[0].tolist()
        lines = [f"l {at} {each - COLOUR + 1}" for at, each in enumerate(colours, start=1) if each >= COLOUR]
        return "\n".join(lines) if lines else to_dimacs(self._graph(cells))

    def _graph(self, cells: np.ndarray) -> Graph:
        cells = np.asarray(cells)[None]
        edges = tuple(
            (int(left), int(right)) for left, right in np.argwhere(np.triu(self._edges(cells)[0], k=1))
        )
        return Graph(num_vertices=int((self._colours(cells) != 0).sum()), edges=edges)

    def render(self, cells: np.ndarray) -> str:
        """A line a vertex: its colour and its neighbours."""
        graph = self._graph(cells)
        lines = []
        for vertex in range(graph.num_vertices):
            colour = int(cells[vertex * self._width]) - COLOUR + 1
            joined = [str(sum(edge) - vertex + 1) for edge in graph.edges if vertex in edge]
            lines.append(
                f"{vertex + 1}: {colour if colour > 0 else '?'}  joined to {', '.join(joined) or 'none'}"
            )
        return "\n".join(lines)


def _that_fit(graphs: tuple[Graph, ...], size: int, num_pieces: int) -> tuple[Graph, ...]:
    """Those of at most `size` vertices, then pieces of the larger ones in turn, none twice."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    cut = [_pieces(graph, size, num_pieces, rng) for graph in graphs if graph.num_vertices > size]
    in_turn = [each[index] for index in range(num_pieces) for each in cut if index < len(each)]
    whole = [graph for graph in graphs if graph.num_vertices <= size]
    return tuple(dict.fromkeys([*whole, *in_turn]))


def _pieces(graph: Graph, size: int, num: int, rng: np.random.Generator) -> list[Graph]:
    """Grown from any vertex by any neighbour of what is there, as often as requested; the vertices keep their
    order.
    """
    neighbours: list[set[int]] = [set() for _ in range(graph.num_vertices)]
    for left, right in graph.edges:
        neighbours[left].add(right)
        neighbours[right].add(left)
    found = []
    for _ in range(num):
        piece = {int(rng.integers(graph.num_vertices))}
        while len(piece) < size and (
            border := sorted(set().union(*(neighbours[each] for each in piece)) - piece)
        ):
            piece.add(border[int(rng.integers(len(border)))])
        names = {old: new for new, old in enumerate(sorted(piece))}
        edges = tuple(
            (names[left], names[right]) for left, right in graph.edges if left in names and right in names
        )
        if len(piece) == size:
            found.append(Graph(num_vertices=size, edges=edges))
    return found
