"""`sage eval`: trained models on puzzles they have not seen.

Invariant: every model is judged on the same puzzles, the task's own held-out set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.models.training.judging import Judged, Wanted, check_sources, pairs_of
from sage.app.terminal.errors import UserError, describe_os_error
from sage.errors import SageError
from sage.hrm_core.solving.settings import MAX_SEGMENTS

if TYPE_CHECKING:
    from sage.hrm_core.evaluation.arc import ArcScore
    from sage.hrm_core.evaluation.breadth import BreadthScore
    from sage.hrm_core.evaluation.deducing import DeductionScore
    from sage.hrm_core.evaluation.report import EvalReport
    from sage.hrm_core.evaluation.searching import SearchScore
    from sage.hrm_core.solving.engine import SegmentModel
    from sage.hrm_core.solving.published import Published
    from sage.hrm_core.tasks.contract import Task

#: What "all" means where puzzles are made fresh and never end.
NUM_FRESH = 10_000
#: Puzzles evaluated together.
BATCH_SIZE = 256
#: Of the matrix products. bfloat16: the same model as `HRM.to_inference` makes. auto: what
#: solving.forms.in_best_form chooses for the machine and the model.
DTYPES = ("float32", "bfloat16", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """name: what was typed, and of a mixture the part.  search: with the verifier and several tries, where
    asked for.  breadth: several starts without a verifier, where asked for.
    arc: voted over forms, where asked for.  deduced: chains with the rules and without, where asked for.
    """

    name: str
    report: EvalReport
    task: Task
    published: Published
    search: SearchScore | None = None
    breadth: BreadthScore | None = None
    arc: ArcScore | None = None
    deduced: tuple[DeductionScore, ...] = ()

    def failures(self, num: int) -> list[str]:
        """The first `num` puzzles that were not solved, drawn."""
        shown = self.report.failures[:num]
        if not shown:
            return []
        rows = self.task.held_out(max(shown) + 1)
        draw = getattr(self.task, "render", None)
        lines = [f"not solved: {len(self.report.failures)} of {self.report.num}"]
        for row in shown:
            cells = rows.inputs[row]
            lines.append(f"puzzle {row}:\n{draw(cells) if draw else ' '.join(map(str, cells))}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRequest:
    """sources: runs, folders, files, shipped names, hub repositories, names of tasks.  task: None where the
    folder has a task.json.

    num: puzzles, None for all.  tries: with the verifier too, so many.  search: calls of a search after them.
    starts: without a verifier too, from so many starts.
    chains: of learned deduction, with the rules and without, of up to `search` calls (64).
    num_forms: ARC, forms to vote over.
    submission: ARC, where the attempts go.
    """

    sources: tuple[str, ...]
    task: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    data: Path | None = None
    num: int | None = 1000
    segments: tuple[int, ...] = (1, 2, 4, 8, 16)
    tries: int | None = None
    search: int | None = None
    starts: int | None = None
    chains: int | None = None
    num_forms: int | None = None
    submission: Path | None = None
    device: str = "cpu"
    dtype: str = "float32"
    state_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UserError(f"--dtype {self.dtype}: give one of {', '.join(DTYPES)}")
        if self.submission is not None and len(self.sources) > 1:
            raise UserError(f"--submission {self.submission}: {len(self.sources)} models are named: give one")
        if self.submission is not None and not self.submission.absolute().parent.is_dir():
            raise UserError(
                f"--submission {self.submission}: no folder {self.submission.absolute().parent}:"
                " create it first"
            )


def evaluate_all(request: EvalRequest) -> list[Evaluated]:
    check_sources(request.sources)
    from sage.app.models.training.processes import chosen_device

    wanted = Wanted(
        task=request.task,
        options=request.options,
        data=request.data,
        device=str(chosen_device(request.device)),
        state_dir=request.state_dir,
    )
    try:
        return [_evaluate(pair, request) for source in request.sources for pair in pairs_of(source, wanted)]
    except UserError:
        raise
    except SageError as error:
        raise UserError(f"eval {error}") from error
    except OSError as error:
        raise UserError(f"eval: {describe_os_error(error)}") from error


def parse_segments(text: str) -> tuple[int, ...]:
    """`1,2,16` -> (1, 2, 16)."""
    try:
        segments = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--segments {text}: give whole numbers with commas, e.g. 1,4,16") from None
    if min(segments) < 1 or max(segments) > MAX_SEGMENTS:
        raise UserError(f"--segments {text}: give numbers of segments, each from 1 to {MAX_SEGMENTS}")
    return segments


def num_puzzles(task: Task) -> int:
    """Every loaded evaluation puzzle, or many fresh ones."""
    from sage.hrm_core.datasets.layout import Side

    side = getattr(task, "test", None)  # of a data set's folder
    loaded = side.inputs if isinstance(side, Side) else getattr(task, "dev", None)
    return NUM_FRESH if loaded is None else max(1, len(loaded))


def _evaluate(pair: Judged, request: EvalRequest) -> Evaluated:
    from sage.hrm_core.evaluation.breadth import breadth
    from sage.hrm_core.evaluation.evaluate import evaluate
    from sage.hrm_core.evaluation.searching import search
    from sage.hrm_core.solving.branching import as_searchable

    if request.search and as_searchable(pair.task) is None:
        raise UserError(
            f"eval {pair.label}: --search {request.search}: the task has no check of partial answers: leave"
            " --search out"
        )
    task, num = pair.task, request.num if request.num is not None else num_puzzles(pair.task)
    num_segments = math.ceil(num / BATCH_SIZE) * max(request.segments)
    model = _in_dtype(pair, request.dtype, num_segments)
    report = evaluate(model, task, num=num, segments=request.segments, batch_size=BATCH_SIZE)
    searched = None
    if request.tries is not None or request.search is not None:
        searched = search(
            model,
            task,
            num=num,
            tries=request.tries or 1,
            max_segments=max(request.segments),
            calls=request.search or 0,
        )
    broad = None
    if request.starts is not None:
        broad = breadth(model, task, num=num, starts=request.starts, segments=max(request.segments))
    deduced: tuple[DeductionScore, ...] = ()
    if request.chains is not None:
        deduced = _deduced(model, task, num, request.chains, request)
    arc = (
        _voted(model, task, request)
        if request.num_forms is not None or request.submission is not None
        else None
    )
    return Evaluated(
        name=pair.label,
        report=report,
        task=task,
        published=pair.published,
        search=searched,
        breadth=broad,
        arc=arc,
        deduced=deduced,
    )


def _deduced(
    model: SegmentModel, task: Task, num: int, chains: int, request: EvalRequest
) -> tuple[DeductionScore, ...]:
    """Chains with the rules, then without."""
    from sage.hrm_core.evaluation.deducing import score_chains
    from sage.hrm_core.solving.settings import USUAL_SEARCH

    calls = request.search or int(USUAL_SEARCH["search"])
    return tuple(
        score_chains(
            model,
            task,
            num=num,
            chains=chains,
            calls=calls,
            has_rules=has_rules,
            max_segments=max(request.segments),
        )
        for has_rules in (True, False)
    )


def _in_dtype(pair: Judged, dtype: str, num_segments: float) -> SegmentModel:
    import torch

    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.forms import in_best_form

    if dtype == "auto":
        model: SegmentModel
        model, _ = in_best_form(pair.model, num_segments=num_segments)
        return model
    if dtype == "float32":
        return pair.model
    if not isinstance(pair.model, HRM):
        raise UserError(
            f"eval {pair.label}: --dtype {dtype}: an exported model has its own: leave --dtype out"
        )
    return pair.model.to_inference(getattr(torch, dtype))


def _voted(model: SegmentModel, task: Task, request: EvalRequest) -> ArcScore:
    from sage.hrm_core.evaluation.arc import vote_arc
    from sage.hrm_core.tasks.arc.voting import write_submission

    score = vote_arc(model, task, num_forms=request.num_forms or 1, num_segments=max(request.segments))
    if request.submission is not None:
        write_submission(request.submission, score.attempts, score.puzzles)
    return score
