"""The built-in kinds of tasks, as the catalogue lists them."""

from __future__ import annotations

from sage.hrm_core.tasks.arc.generated_task import ArcGeneratedConfig, ArcGeneratedTask
from sage.hrm_core.tasks.arc.task import ArcConfig, ArcTask
from sage.hrm_core.tasks.brackets import BracketsConfig, BracketsTask
from sage.hrm_core.tasks.catalogue import TaskKind
from sage.hrm_core.tasks.constraint.colouring import ColouringConfig, ColouringTask
from sage.hrm_core.tasks.constraint.sat import SatConfig, SatTask
from sage.hrm_core.tasks.diagnosis.config import DiagnosisConfig
from sage.hrm_core.tasks.diagnosis.task import DiagnosisTask
from sage.hrm_core.tasks.hanoi import HanoiConfig, HanoiTask
from sage.hrm_core.tasks.maze.task import MazeConfig, build_maze_task
from sage.hrm_core.tasks.patterns import PatternsConfig, PatternsTask
from sage.hrm_core.tasks.sudoku.files import build_sudoku_task
from sage.hrm_core.tasks.sudoku.task import SudokuConfig
from sage.hrm_core.tasks.table.config import TableConfig
from sage.hrm_core.tasks.table.task import TableTask
from sage.hrm_core.tasks.text import TextConfig, TextTask

ARC = TaskKind(
    name="arc",
    about="ARC-AGI 1 and 2, ConceptARC: coloured grids",
    config=ArcConfig,
    build=ArcTask,
    files=("train", "evaluate", "more"),
)
ARC_GENERATED = TaskKind(
    name="arc_generated",
    about="puzzles as ARC's, made fresh: twelve families of rules",
    config=ArcGeneratedConfig,
    build=ArcGeneratedTask,
)
BRACKETS = TaskKind(
    name="brackets", about="a^n b^n and nested brackets, causal", config=BracketsConfig, build=BracketsTask
)
COLOURING = TaskKind(
    name="colouring",
    about="graph colouring, random or DIMACS",
    config=ColouringConfig,
    build=ColouringTask,
    is_searchable=True,
    files=("instances",),
)
DIAGNOSIS = TaskKind(
    name="diagnosis",
    about="the smallest set of causes that explains all symptoms of a graph",
    config=DiagnosisConfig,
    build=DiagnosisTask,
    is_searchable=True,
)
HANOI = TaskKind(
    name="hanoi",
    about="the towers of Hanoi: plans or next moves",
    config=HanoiConfig,
    build=HanoiTask,
    is_searchable=True,
)
MAZE = TaskKind(
    name="maze",
    about="the shortest way through random walls",
    config=MazeConfig,
    build=build_maze_task,
    is_searchable=True,
    files=("data",),
)
PATTERNS = TaskKind(
    name="patterns", about="number sequences to continue", config=PatternsConfig, build=PatternsTask
)
SAT = TaskKind(
    name="sat",
    about="satisfiability, random or SATLIB",
    config=SatConfig,
    build=SatTask,
    is_searchable=True,
    files=("instances",),
)
SUDOKU = TaskKind(
    name="sudoku",
    about="sudoku of any size, made fresh or loaded",
    config=SudokuConfig,
    build=build_sudoku_task,
    is_searchable=True,
    files=("train", "dev"),
)
TABLE = TaskKind(
    name="table",
    about="clearing a table: objects that block each other",
    config=TableConfig,
    build=TableTask,
    is_searchable=True,
)
TEXT = TaskKind(
    name="text",
    about="the next byte of a text file, causal",
    config=TextConfig,
    build=TextTask,
    files=("path",),
)
