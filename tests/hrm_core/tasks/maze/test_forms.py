"""Every form in which people write mazes gives the same lines of cells."""

from __future__ import annotations

import json

import pytest

from sage.hrm_core.tasks.maze.forms import mazes_in

ROWS = ["S   #", "###  ", "#   #", "# ###", "    G"]
MAZE = "\n".join(ROWS)

FORMS = {
    "lines": MAZE,
    "blanks at line ends are cut": "\n".join(row.rstrip() for row in ROWS),
    "too many blanks at line ends": "\n".join(f"{row}   " for row in ROWS) + "\n\n",
    "byte order mark": "\ufeff" + MAZE,
    "CR LF": MAZE.replace("\n", "\r\n"),
    "old Mac": MAZE.replace("\n", "\r"),
    "dots": MAZE.replace(" ", "."),
    "no-break spaces": MAZE.replace(" ", "\u00a0"),
    "blocks": MAZE.replace("#", "\u2588"),
    "digits": MAZE.replace("#", "1").replace(" ", "0"),
    "lower case": MAZE.lower(),
    "E for the goal": MAZE.replace("G", "E"),
    "one line": "".join(ROWS),
    "tabs between cells": "\n".join("\t".join(row) for row in ROWS),
    "spaces between cells": "\n".join(" ".join(row).rstrip() for row in ROWS),
    "commas between cells": "\n".join(",".join(row) for row in ROWS),
    "two characters a cell": "\n".join("".join(2 * c if c in "# " else f"{c} " for c in row) for row in ROWS),
    "indented": "\n".join(f"    {row}" for row in ROWS) + "\n",
    "blank lines between rows": MAZE.replace("\n", "\n\n"),
    "JSON, lines": json.dumps(ROWS),
    "JSON, cells": json.dumps([list(row) for row in ROWS]),
    "published CSV": f"source,question,answer,rating\nmine,{''.join(ROWS)},{'o' * 25},110\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read(form: str) -> None:
    assert mazes_in(FORMS[form]) == [MAZE]


@pytest.mark.parametrize(
    "text", [f"{MAZE}\n\n{MAZE}\n", "".join(ROWS) + "\n" + "".join(ROWS), json.dumps(["".join(ROWS)] * 2)]
)
def test_several_mazes_in_one_text_are_separated(text: str) -> None:
    assert mazes_in(text) == [MAZE, MAZE]


@pytest.mark.parametrize("rows", [["    ", "S  #", "   #", "  G#"], ["S  #", "   #", "  G#", "    "]])
def test_an_open_row_at_an_end_is_a_row(rows: list[str]) -> None:
    assert mazes_in("\n".join(row.rstrip() for row in rows)) == ["\n".join(rows)]
    assert mazes_in("\n".join(row.rstrip() for row in rows) + "\n") == ["\n".join(rows)]


@pytest.mark.parametrize("blanks", range(5))
@pytest.mark.parametrize("breaks", range(5))
def test_blanks_after_lines_and_blank_lines_after_a_maze_are_no_cells(blanks: int, breaks: int) -> None:
    assert mazes_in("\n".join(row + " " * blanks for row in ROWS) + "\n" * breaks) == [MAZE]


@pytest.mark.parametrize("text", ["", "\n", "[]", "[[]]", "[[1], 2]", "{}", ",", "\t", "S"])
def test_a_text_without_a_maze_raises_nothing(text: str) -> None:
    assert len(mazes_in(text)) == 1


def test_an_open_row_inside_a_maze_does_not_separate_mazes() -> None:
    six = "S.....\n" + "......\n" * 4 + ".....G"
    seven = "S......\n" + ".......\n" * 5 + "......G"
    assert [len(maze.split("\n")) for maze in mazes_in(f"{six}\n\n{seven}\n")] == [6, 7]
