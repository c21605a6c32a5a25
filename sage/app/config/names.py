"""Names that commands take: models, presets, tasks, recipes and configurations.

Invariant: a name of another kind is reported as that kind, with the command or option that takes it. Imports
no torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from sage.app.terminal.errors import UserError, nearest

Kind = Literal["model", "preset", "task", "recipe", "configuration"]
SHIPPED_DIR = Path(__file__).parent.parent / "configs"
RECIPES_DIR = SHIPPED_DIR / "train"
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_TAKEN_BY = {
    "model": "use it with --checkpoint",
    "preset": "use it with `sage train --preset` or `sage model show`",
    "task": "use it with `sage tasks`, `sage train` or `sage solve`",
    "recipe": "use it with `sage train`",
    "configuration": "use it with `sage run` or `sage config`",
}


def shipped_configs() -> dict[str, Path]:
    """Configurations that come with the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED_DIR.glob("*.yaml"))}


def shipped_recipes() -> dict[str, Path]:
    """Training recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(RECIPES_DIR.glob("*.yaml"))}


def names_of(kind: Kind) -> Collection[str]:
    """The names of one kind that come with the package or, for tasks, with an installed one."""
    if kind == "model":
        from sage.hrm_core.solving.task_card import shipped_folders

        return shipped_folders()
    if kind == "preset":
        from sage.hrm_core.config.presets import preset_names

        return preset_names()
    if kind == "task":
        from sage.hrm_core.tasks.catalogue import targets

        return targets()
    return shipped_recipes() if kind == "recipe" else shipped_configs()


def check_model(name: str, *, or_preset: bool = False) -> None:
    """UserError where the name can be neither a model's nor a path or a hub repository (owner/name)."""
    if name in names_of("model") or (or_preset and name in names_of("preset")):
        return
    if Path(name).expanduser().exists() or _REPOSITORY.fullmatch(name):
        return
    check_name("model", name)
    known = [*names_of("model"), *(names_of("preset") if or_preset else ())]
    raise UserError(f"{name}: no such file or folder, and not a shipped model: {nearest(name, known)}")


def check_name(wanted: Kind, name: str, *also: Kind) -> None:
    """UserError where the name is none of the wanted kinds but is of another; unknown names pass."""
    if any(name in names_of(kind) for kind in (wanted, *also)):
        return
    for kind in ("model", "preset", "task", "recipe", "configuration"):
        if name in names_of(kind):
            raise UserError(f"{name} is a {kind}, not a {wanted}: {_TAKEN_BY[kind]}")
