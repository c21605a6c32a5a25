"""A model's structure as text, its export, and its transfer from and to the hub.

Invariant: figures are counted on the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.config.names import check_model
from sage.app.terminal.errors import UserError, user_errors
from sage.app.terminal.figures import count, number, percent
from sage.app.terminal.logs import only_warnings
from sage.errors import InputError

if TYPE_CHECKING:
    from sage.hrm_core.export.check import ExportCheck
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.published import Published

_MAX_CHECKED_DIFFERENCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulePart:
    """A module: name, depth from 0, kind, number of parameters with those of its parts, shapes of its own
    tensors.
    """

    name: str
    depth: int
    kind: str
    num_parameters: int
    shapes: Mapping[str, tuple[int, ...]]


def open_model(name: str) -> tuple[HRM, Mapping[str, Any]]:
    """A preset's model, or a checkpoint's with its card's `trained`. UserError where the name is neither."""
    check_model(name, or_preset=True)
    from sage.hrm_core.config.presets import preset_names
    from sage.hrm_core.model.hrm import HRM

    with only_warnings(), user_errors(f"model {name}"):
        from sage.hrm_core.config.model import ModelConfig

        if name in preset_names():
            return HRM(ModelConfig.preset(name)), {}
        published, model = _load(name)
        return model, {} if published.card is None else dict(published.card.trained)


def model_parts(model: HRM) -> list[ModulePart]:
    """The modules, top down."""
    parts = []
    for name, module in model.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        shapes = {key: tuple(tensor.shape) for key, tensor in own if key in module.state_dict()}
        total = sum(each.numel() for each in module.parameters())
        short = name.rpartition(".")[2] or "model"
        depth = name.count(".") + 1 if name else 0
        parts.append(
            ModulePart(
                name=short, depth=depth, kind=type(module).__name__, num_parameters=total, shapes=shapes
            )
        )
    return parts


def draw_model(model: HRM, trained: Mapping[str, Any]) -> str:
    """Modules indented by depth, with tensors and share of the parameters; then the structure of a
    segment.
    """
    parts = model_parts(model)
    total = max(1, parts[0].num_parameters)
    rows = [
        (
            f"{'  ' * part.depth}{part.name}",
            part.kind,
            count(part.num_parameters),
            percent(part.num_parameters / total, 1),
            _shapes(part),
        )
        for part in parts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(
            (
                *(f"{row[at]:<{widths[at]}}" for at in (0, 1)),
                *(f"{row[at]:>{widths[at]}}" for at in (2, 3)),
                row[4],
            )
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", *_how_it_runs(model), *_how_it_was_trained(trained)])


def plain_model(model: HRM, trained: Mapping[str, Any]) -> dict[str, Any]:
    """The same as plain data, for JSON."""
    parts = [
        {
            "name": part.name,
            "depth": part.depth,
            "kind": part.kind,
            "parameters": part.num_parameters,
            "shapes": dict(part.shapes),
        }
        for part in model_parts(model)
    ]
    return {
        "parameters": parts[0]["parameters"],
        "config": model.config.to_plain(),
        "modules": parts,
        "trained": dict(trained),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A written file.  check: its comparison with torch; None where it was not checked.  note: the reason."""

    path: Path
    num_bytes: int
    precision: str
    check: ExportCheck | None
    note: str = ""

    @property
    def is_equal(self) -> bool:
        """False where a logit of the fp32 file differs from torch by more than rounding."""
        if self.check is None or self.precision == "int8":
            return True
        return self.check.max_difference < _MAX_CHECKED_DIFFERENCE

    def to_plain(self) -> dict[str, Any]:
        check = None if self.check is None else asdict(self.check)
        return {
            "path": str(self.path),
            "bytes": self.num_bytes,
            "precision": self.precision,
            "check": check,
            "is_equal": self.is_equal,
        }

    def describe(self) -> str:
        head = (
            f"{self.path}: {count(self.num_bytes)} bytes, {self.precision}, one segment for any number of"
            " rows"
        )
        found = self.check
        if found is None:
            return f"{head}\n{self.note}"
        return "\n".join(
            [
                head,
                f"one segment differs from torch by at most {found.max_difference:.1e} in a logit",
                (
                    f"{found.num_puzzles} held-out puzzles, {found.num_segments} segments: exact"
                    f" {percent(found.exact, 1)} in torch, {percent(found.exported_exact, 1)} exported;"
                    f" {percent(found.agreement, 2)} of the cells equal"
                ),
            ]
        )


def export_model(checkpoint: str, out: Path, *, is_int8: bool, num_puzzles: int, num_segments: int) -> Export:
    """Write the file, and compare it with torch on held-out puzzles."""
    check_model(checkpoint)
    with only_warnings(), user_errors(f"export {checkpoint}"):
        from sage.hrm_core.export.check import check_export
        from sage.hrm_core.export.int8 import quantize_int8
        from sage.hrm_core.export.onnx_file import export_onnx
        from sage.hrm_core.solving.onnx_model import OnnxModel

        if not out.parent.is_dir() or out.suffix != ".onnx":
            raise InputError(f"{out}: give a file name that ends in .onnx, in an existing folder")
        published, model = _load(checkpoint)
        export_onnx(model, out, card=published.card)
        if is_int8:
            quantize_int8(out, out)
        found, note = None, "not checked"
        if published.task is None:
            note = "not checked: the checkpoint has no task"
        elif num_puzzles:
            found = check_export(
                model, OnnxModel(out), published.task, num_puzzles=num_puzzles, num_segments=num_segments
            )
    precision = "int8" if is_int8 else "fp32"
    return Export(path=out, num_bytes=out.stat().st_size, precision=precision, check=found, note=note)


def pull_model(repository: str, out: Path) -> str:
    """Download a repository's model into a folder. Returns one line with its size and task."""
    with only_warnings(), user_errors(f"hub pull {repository}"):
        from sage.hrm_core.checkpoint.source import save_pretrained
        from sage.hrm_core.solving.published import num_parameters, save_published

        if out.exists() and any(out.iterdir()):
            raise InputError(f"{out}: not empty: give another --out")
        published, model = _load(repository)
        if published.card is None:
            save_pretrained(model, out)
        else:
            save_published(out, model, published.card)
        task = "no task" if published.card is None else published.card.task
        return f"{out}: {count(num_parameters(model) or 0)} parameters, {task}"


def push_model(checkpoint: str, repository: str, *, is_public: bool) -> str:
    """Upload a model's folder with its task, private by default. Returns the repository's address."""
    import tempfile

    check_model(checkpoint)
    with only_warnings(), user_errors(f"hub push {checkpoint}"):
        from sage.hrm_core.checkpoint.hub import push
        from sage.hrm_core.checkpoint.source import save_pretrained
        from sage.hrm_core.solving.published import save_published

        published, model = _load(checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            if published.card is None:
                save_pretrained(model, folder)
            else:
                save_published(folder, model, published.card)
            return push(Path(folder), repository, is_private=not is_public)


def _load(name: str) -> tuple[Published, HRM]:
    """A checkpoint with torch weights. InputError for an exported file."""
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.published import load_published

    published = load_published(name)
    if isinstance(published.model, HRM):
        return published, published.model
    raise InputError("an exported .onnx file has no torch weights: give the checkpoint that was exported")


def _shapes(part: ModulePart) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in part.shapes.items())


def _how_it_runs(model: HRM) -> list[str]:
    config = model.config
    nets = "H and L share one net" if config.shares_nets else "H and L are two nets"
    halting = "halt > continue" if config.has_q_continue else "halt > 0"
    return [
        (
            f"{nets}; a segment: {config.H_cycles} x ({config.L_cycles} updates of L, 1 of H); mixer"
            f" {config.mixer}, gate {config.gate}"
        ),
        (
            f"gradient {config.gradient}; halts where {halting}, in training after {config.halt_max_segments}"
            f" segments at most, exploring with probability {number(config.halt_exploration)}"
        ),
    ]


def _how_it_was_trained(trained: Mapping[str, Any]) -> list[str]:
    """The card's plain values and the accuracy by depth; --json has all of it."""
    lines = [f"{key}: {value}" for key, value in trained.items() if not isinstance(value, (dict, list))]
    try:
        depths = [f"{percent(each['exact'], 1)} at {each['segments']}" for each in trained["eval"]["depths"]]
        lines.append(
            f"of {count(trained['eval']['num'])} held-out puzzles, exact by segments: {', '.join(depths)}"
        )
    except (KeyError, TypeError):  # a card of another form
        pass
    return lines


def need_repository(repository: str) -> None:
    """UserError unless it has the form OWNER/NAME."""
    if repository.count("/") != 1 or repository.startswith("/") or repository.endswith("/"):
        raise UserError(f"hub: {repository!r}: not a repository: give OWNER/NAME")
