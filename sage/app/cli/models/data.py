"""`sage data`: data sets as folders, in the layout the published recipes use, built and checked.

Invariant: a folder is only said to be built once it has been read again and found right.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sage.app.cli.options import JsonOption, QuietOption, command_group

if TYPE_CHECKING:
    from sage.hrm_core.datasets.layout import FolderFacts

app = command_group("Build, check and look at data sets to train on.")

#: kind -> "module:function", and the options that only some builders have.
_BUILDERS = {
    "sudoku": ("sage.hrm_core.datasets.build_sudoku:build_sudoku", ("min_difficulty",)),
    "maze": ("sage.hrm_core.datasets.build_maze:build_maze", ()),
    "arc": ("sage.hrm_core.datasets.build_arc:build_arc", ("more", "names")),
}
_FLAGS = {"min_difficulty": "--min-difficulty", "more": "--more", "names": "--names"}

SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="FROM",
        help=(
            "A folder (train.csv and test.csv; training and evaluation for ARC), OWNER/NAME on the hub, arc1,"
            " arc2, or generated (mazes). The published data set by default."
        ),
    ),
]
SubsampleOption = Annotated[
    int | None,
    typer.Option(
        "--subsample-size",
        metavar="N",
        help="Number of training puzzles drawn; all by default. Of generated mazes also the test puzzles.",
    ),
]
AugmentationOption = Annotated[
    int | None,
    typer.Option(
        "--num-aug",
        metavar="N",
        help="Augmented forms of each puzzle besides itself. Default: 0; ARC: 1000. Mazes: at most 7.",
    ),
]
MoreOption = Annotated[
    list[str] | None, typer.Option("--more", metavar="DIR", help="ARC: a further corpus, e.g. ConceptARC's.")
]


@app.command("build")
def build(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="sudoku, maze or arc.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder.")],
    source: SourceOption = None,
    subsample_size: SubsampleOption = None,
    num_aug: AugmentationOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the sample and the forms.")] = 0,
    min_difficulty: Annotated[
        int | None, typer.Option("--min-difficulty", metavar="N", help="Sudoku: the least rating.")
    ] = None,
    more: MoreOption = None,
    names: Annotated[
        str | None,
        typer.Option(
            "--names", metavar="STYLE", help="ARC: name forms as HRM (hrm, the default) or TRM (trm)."
        ),
    ] = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Build a data set from published puzzles. `sage train ... --data DIR` trains on it."""
    from sage.app.terminal.errors import UserError, nearest

    if kind not in _BUILDERS:
        raise UserError(f"data build {kind}: no such kind: {nearest(kind, _BUILDERS)}")
    target, own = _BUILDERS[kind]
    extras = {"min_difficulty": min_difficulty, "more": tuple(more) if more else None, "names": names}
    for name, value in extras.items():
        if value is not None and name not in own:
            raise UserError(f"data build {kind}: {_FLAGS[name]}: {kind} has no such option: leave it out")
    given = {"source": source, "subsample_size": subsample_size, "num_aug": num_aug, **extras}
    options = {name: value for name, value in given.items() if value is not None}

    from importlib import import_module

    from sage.app.terminal.errors import user_errors
    from sage.app.terminal.logs import only_warnings
    from sage.app.terminal.waiting import show_waiting

    module, _, function = target.partition(":")
    with (
        only_warnings(),
        user_errors(f"data build {kind}"),
        show_waiting(f"data build {kind}", is_quiet=quiet),
    ):
        facts = getattr(import_module(module), function)(out=out, seed=seed, **options)
    typer.echo(_told(out, facts, is_json=json_output))


@app.command("check")
def check(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="With train/ and test/, built here or elsewhere.")
    ],
    json_output: JsonOption = False,
) -> None:
    """Read a whole data set and print what it holds, or the first thing that is wrong."""
    from sage.app.terminal.errors import user_errors

    with user_errors("data check"):
        from sage.hrm_core.datasets import layout

        facts = layout.check(folder)
    typer.echo(_told(folder, facts, is_json=json_output))


@app.command("view")
def view(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="With train/ and test/, built here or elsewhere.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The HTML file to write.")],
    num: Annotated[
        int, typer.Option("--num", min=1, help="Examples of train and of test: the first so many.")
    ] = 200,
    json_output: JsonOption = False,
) -> None:
    """Write a data set's examples as one HTML file that a browser opens without a server."""
    import json

    from sage.app.boards.file import write_file
    from sage.app.terminal.errors import UserError, user_errors

    with user_errors("data view"):
        try:
            num_bytes = write_file(folder, out, num=num)
        except OSError as error:
            raise UserError(
                f"data view: {out}: {(error.strerror or str(error)).lower()}: give another --out"
            ) from error
    if json_output:
        typer.echo(json.dumps({"file": str(out), "num_bytes": num_bytes}))
        return
    typer.echo(f"{out}: written ({num_bytes / 1e6:.1f} MB); open it in a browser")


def _told(folder: Path, facts: FolderFacts, *, is_json: bool) -> str:
    """What was found, in a few lines or as JSON."""
    import json
    from dataclasses import asdict

    from sage.app.terminal.figures import count

    if is_json:
        plain: dict[str, Any] = {"folder": str(folder), **asdict(facts)}
        return json.dumps(plain)
    lines = [
        f"{folder}: good",
        (
            f"{facts.seq_len} cells of {facts.vocab_size} symbols; {count(facts.num_identifiers)}"
            " identifiers, the blank one included"
        ),
    ]
    lines += [
        f"{side}: {count(facts.num_examples[side])} examples of {count(facts.num_groups[side])} puzzles in "
        f"{count(facts.num_puzzles[side])} forms"
        for side in facts.num_groups
    ]
    if facts.num_shared:
        lines.append(
            f"{count(facts.num_shared)} test examples are also training examples: a score on them says little"
        )
    return "\n".join(lines)
