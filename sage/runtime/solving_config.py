"""Settings of solving and of the training of its model (docs/configuration.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sage.runtime.section import Section


class SolvingConfig(Section):
    """Puzzles under way beside the prediction. A segment of one puzzle's row is the unit of its budgets."""

    segments: int = Field(
        9, ge=2, le=4096, description="of one tick: the prediction's, then those of all puzzles' rows"
    )
    rows: int = Field(4, ge=1, le=256, description="rows of one level that are computed together")
    max_under_way: int = Field(16, ge=1, le=4096, description="puzzles read and not answered yet")
    max_segments: int = Field(
        16,
        ge=1,
        le=4096,
        description="of one row; then its best answer is given. 1: fresh weights are trained for one, too",
    )
    min_confidence: float = Field(
        0.9, ge=0, lt=1, description="of the Q head in an answer that is given before max_segments"
    )
    deadline_secs: float | None = Field(
        None, gt=0, description="time from reading a puzzle to its answer; null: no limit"
    )
    asks_rules: bool = Field(
        False, description="the task's rules judge an answer before it is given, after each segment"
    )
    search: int = Field(
        0, ge=0, le=65_536, description="model calls of a search after the first try; needs asks_rules"
    )
    search_levels: tuple[str, ...] = Field(
        (), description="names of the levels that are searched; empty: all levels of every stream"
    )
    weights: str = Field("fresh", min_length=1, description="fresh, the name of a shipped model, or a path")
    preset: str | None = Field(
        None, description="of the model; null: sudoku for interchangeable symbols, else a grid model"
    )
    hidden_size: int | None = Field(None, ge=4, description="null: that of the preset")
    two_nets: bool = Field(
        False, description="the H net and the L net have weights of their own; false: what the preset has"
    )
    num_checked: int = Field(
        8, ge=2, le=256, description="held-out puzzles of a level that weights on offer are checked on"
    )

    def of_level(self, name: str) -> SolvingConfig:
        """Without a search where `search_levels` are others."""
        if not self.search_levels or name in self.search_levels:
            return self
        return self.model_copy(update={"search": 0})


class SolverTrainingConfig(Section):
    """Training of the solving model on the puzzles of the loop: practice between answers, and nights."""

    where: Literal["process", "inline"] = "process"
    practises: bool = Field(True, description="train while awake")
    learns: Literal["low", "high", "all"] = Field(
        "all", description="weights that practice moves: the L net and the heads, the H net, or all"
    )
    night_learns: Literal["low", "high", "all"] = Field("all", description="weights that a night moves")
    batch_size: int = Field(32, ge=1, le=4096)
    learning_rate: float = Field(1e-2, gt=0, le=10)
    least_rate: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of the learning rate that practice has where no answer is wrong; 1: constant",
    )
    warmup_steps: int = Field(50, ge=0)
    weight_decay: float = Field(0.1, ge=0)
    q_weight: float = Field(0.05, ge=0, description="of the halting loss")
    ema_decay: float = Field(0.98, ge=0, lt=1, description="of the averaged weights, which are offered")
    ema_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="the average of practice spans this share of the steps since the newest level began, or"
        " more by ema_decay; that of a night this share of its steps",
    )
    min_puzzles: int = Field(32, ge=1, description="solutions of a level before its first step")
    offer_secs: float = Field(3.0, gt=0, description="between offers of weights by the process")
    offer_steps: int = Field(20, ge=1, description="between offers of weights by the inline learner")
    inline_steps: int = Field(1, ge=1, le=1000, description="optimizer steps between two ticks, inline")
    inline_every: int = Field(
        1, ge=1, le=10_000, description="ticks from one such piece of inline work to the next"
    )
    symmetries: bool = Field(True, description="practice moves puzzles by the symmetries of their task")
    night_symmetries: bool = Field(True, description="nights move puzzles by the symmetries of their task")
    replay: Literal["weighted", "uniform", "surprising", "none"] = Field(
        "weighted",
        description="what is kept for replay: drawn by surprise x trust + 0.05, drawn evenly, the most"
        " surprising, or nothing: then practice has the num_recent newest, and there are no nights",
    )
    num_replayed: int = Field(2048, ge=8, le=1_000_000, description="puzzles kept of a level for replay")
    num_recent: int = Field(256, ge=8, le=1_000_000, description="newest puzzles kept of a level")
    num_examined: int = Field(256, ge=8, le=100_000, description="held-out puzzles kept of a level")
    num_unsolved: int = Field(256, ge=8, le=1_000_000, description="puzzles without a solution, of a level")
    night_steps: int = Field(120, ge=1)
    night_learning_rate: float = Field(5e-3, gt=0, le=100)
    night_warmup_steps: int = Field(10, ge=0)
    night_cpu_secs: float | None = Field(None, gt=0, description="of a night's steps; null: no limit")
    night_calls: int = Field(
        0, ge=0, le=65_536, description="model calls of a night's search for each puzzle without a solution"
    )
    dream_share: float = Field(0.25, ge=0, le=1, description="dreams made, as a share of the memories")
    dream_weight: float = Field(0.5, gt=0, le=1, description="how often a dream is drawn, against a memory")
    num_asked: int = Field(
        64,
        ge=0,
        le=10_000,
        description="held-out puzzles of the task that a night examines beside those of its memory, of each"
        " level with memories; the stream never poses them",
    )
    max_asked: int = Field(
        512,
        ge=0,
        le=100_000,
        description="an undecided night is judged once more, on this many of each level on which the weights"
        " before or after it fail",
    )
    min_examined: int = Field(64, ge=1, description="with fewer held-out puzzles there is no night")
    checks_labels: bool = Field(True, description="solutions that break the rules of the task are not kept")

    @property
    def num_looks(self) -> int:
        """How often a night is judged at most."""
        return 2 if 0 < self.num_asked < self.max_asked else 1
