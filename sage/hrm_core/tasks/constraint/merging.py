"""A partly coloured graph as a graph without colours, and colours by other names. Shapes: N, V vertices, C
colours.

Invariant: the graph of `merged_edges` can be coloured exactly where the chosen colours can be completed.
Vertices of one chosen colour get each other's neighbours, and vertices of different chosen colours are
joined: then any colouring gives the latter different colours, and a vertex can take its chosen colour
whatever colour it has there.
"""

from __future__ import annotations

import numpy as np


def merged_edges(edges: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(N, V, V) bool from edges (N, V, V) bool and colours (N, V), -1 where none is chosen."""
    is_chosen = colours >= 0
    both = is_chosen[:, :, None] & is_chosen[:, None, :]
    is_same = colours[:, :, None] == colours[:, None, :]
    alike = ((both & is_same) | np.eye(colours.shape[1], dtype=bool)).astype(np.float32)  # (N, V, V)
    shared: np.ndarray = (np.matmul(np.matmul(alike, edges.astype(np.float32)), alike) > 0) | (
        both & ~is_same
    )
    return shared


def new_names(scores: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(N, C) what each colour of a colouring of the merged graph is called, so that chosen vertices have the
    chosen colours.

    scores (N, V, C): how strongly a vertex has a colour there.  colours (N, V): chosen, -1 where none is.
    Chosen colours take the names in the order of their strength; the rest keeps its order.
    """
    num_colours = scores.shape[2]
    is_chosen = colours[:, None, :] == np.arange(num_colours)[None, :, None]  # (N, C, V)
    finite = np.nan_to_num(scores.astype(np.float64), neginf=-1e9)
    strength = np.matmul(is_chosen.astype(np.float64), finite)  # (N, C chosen, C there)
    strength = np.where(is_chosen.any(axis=2)[:, :, None], strength, -1e30)
    names, rows = np.zeros((len(scores), num_colours), np.int64), np.arange(len(scores))
    for _ in range(num_colours):
        best = strength.reshape(len(scores), -1).argmax(axis=1)
        chosen, there = np.divmod(best, num_colours)
        names[rows, there] = chosen
        strength[rows, chosen, :] = -np.inf
        strength[rows, :, there] = -np.inf
    return names
