"""Steps of `sage demo` that need only a model: solving, training, writing text.

Invariant: LookupError where weights are not shipped; every answer shown is checked by its task's rules.
"""

from __future__ import annotations

from sage.app.terminal.figures import number, percent

CLASSIC = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
#: Named hard by its author (Arto Inkala, 2006: AI Escargot).
HARD = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."
SMALL = ".4..1.42.23....."
MAZE_SIZE = 10


def solve_sudoku(is_quick: bool) -> str:
    """A 9x9 sudoku, or a 4x4 one where no model for 9x9 is shipped."""
    from sage.app.models.solving import show_answer, solve_puzzle

    sizes = {16: SMALL, 81: CLASSIC}
    puzzle = next((sizes[cells] for cells in (81, 16) if _has_model("sudoku", cells)), None)
    if puzzle is None:
        raise LookupError("no sudoku model is shipped: train one with sage train sudoku4")
    options = {
        "max_segments": 32 if is_quick else 256,
        "halt": "verifier",
        "tries": 1 if is_quick else 8,
        "abstains": True,
    }
    return show_answer(solve_puzzle("sudoku", puzzle, checkpoint=None, device="cpu", options=options))


def search_sudoku(is_quick: bool) -> str:
    """A 9x9 sudoku that people call hard, by best-first search over the model."""
    from sage.app.models.solving import show_answer, solve_puzzle

    if not _has_model("sudoku", 81):
        raise LookupError("no 9x9 sudoku model is shipped: train one with sage train demo_sudoku9")
    options = {
        "max_segments": 16,
        "halt": "verifier",
        "search": 256 if is_quick else 1024,
        "abstains": True,
    }
    return show_answer(solve_puzzle("sudoku", HARD, checkpoint=None, device="cpu", options=options))


def solve_maze(is_quick: bool) -> str:
    """Held-out mazes, by the shipped model."""
    import numpy as np

    from sage.hrm_core.solving.published import load_published
    from sage.hrm_core.solving.solver import Solver
    from sage.hrm_core.solving.task_card import read_card, shipped_folders

    folders = [
        path
        for path in shipped_folders().values()
        if (card := read_card(path)) is not None and card.task == "maze"
    ]
    if not folders:
        raise LookupError("no maze model is shipped: train one with sage train maze10")
    published = load_published(folders[0])
    assert published.task is not None
    rows = published.task.held_out(8 if is_quick else 64)
    solved = Solver(published.model, published.task).solve(rows.inputs, halt="verifier")
    shown = int(np.argmax(solved.is_verified))
    draw = getattr(published.task, "render", str)
    score = f"{int(solved.is_verified.sum())} of {len(rows)} held-out mazes solved, checked by the rules"
    return f"{draw(solved.answers[shown])}\n{score}"


def train_sudoku(is_quick: bool) -> str:
    """A new small model, trained for some seconds."""
    import dataclasses

    from sage.app.models.training.building import build_model, build_task
    from sage.app.models.training.recipe import find_recipe
    from sage.hrm_core.training.trainer import Trainer

    recipe = find_recipe("sudoku4", None, [])
    task = build_task(recipe)
    model = build_model(recipe, task.spec)
    training = dataclasses.replace(
        recipe.train, max_cpu_secs=6.0 if is_quick else 25.0, eval_examples=200, eval_segments=(1, 8)
    )
    result = Trainer(model, task, training).train()
    assert result.report is not None
    cells = result.report.depths[-1].unknown_cell
    steps = f"{result.step} steps in {number(result.cpu_secs, 1)} CPU s"
    learned = (
        f"{percent(cells, 1)} of the blank cells of {result.report.num} held-out puzzles right (chance: 25%)"
    )
    if is_quick:
        return f"{steps}: {learned}"
    baseline = result.report.best_baseline
    return (
        f"{steps}: {learned}; {percent(result.report.exact, 1)} of the puzzles complete, without learning"
        f" ({baseline.name}) {percent(baseline.exact, 1)}"
    )


def write_text(is_quick: bool) -> str:
    """Brackets: HRM and a plain GPT after the same steps, and the time that the cache saves."""
    from sage.hrm_core.config.model import ModelConfig, TokenFront
    from sage.hrm_core.optim.config import OptimizerConfig
    from sage.hrm_core.tasks.catalogue import make_task
    from sage.hrm_core.text.baseline_comparison import BaselineComparison, train_plain
    from sage.hrm_core.text.generation import generate
    from sage.hrm_core.training.config import TrainConfig
    from sage.hrm_core.training.trainer import Trainer

    task = make_task("brackets", depth=4, length=6, pairs=2)
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len)
    comparison = BaselineComparison.make(
        ModelConfig.preset("tiny", front=front, mixer="attention", is_causal=True)
    )
    assert comparison.gpt is not None
    steps = 100 if is_quick else 300
    training = TrainConfig(
        steps=steps,
        batch_size=32,
        cross_entropy="softmax",
        clip_norm=1.0,
        eval_examples=100,
        eval_segments=(8,),
        optimizer=OptimizerConfig(kind="muon", lr=1e-2, warmup_steps=min(20, steps), min_lr_ratio=0.05),
    )
    result = Trainer(comparison.hrm, task, training).train()
    train_plain(comparison.gpt, task, training)
    assert result.report is not None
    lines = [
        f"{steps} steps: HRM completes {percent(result.report.exact, 1)} of {result.report.num} held-out"
        " words"
    ]
    for use_hrm in (True, False):
        written = generate(comparison, "([(|", use_hrm=use_hrm, stop="\n")
        lines.append(f"{'HRM' if use_hrm else 'plain GPT'}: {'([(|' + written.text!r}")
    cached, uncached = (generate(comparison, "(", use_cache=each) for each in (True, False))
    same = "the same" if cached.tokens == uncached.tokens else "a different"
    lines.append(f"with a cache: {same} text in {percent(cached.secs / uncached.secs)} of the time")
    return "\n".join(lines)


def _has_model(task: str, num_cells: int) -> bool:
    import json

    from sage.hrm_core.solving.task_card import read_card, shipped_folders

    for folder in shipped_folders().values():
        card = read_card(folder)
        if card is not None and card.task == task:
            front = json.loads((folder / "config.json").read_text())["front"]
            if front["seq_len"] == num_cells:
                return True
    return False
