"""The contract of an operation of imagination, and the registry of operations by name.

Invariant: only a registered operation runs, with parameters of the declared names and types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sage.errors import InputError, pass_on
from sage.related_work.totality.content import Binding, Link, Scheme, Slot
from sage.related_work.totality.mood import Mood

#: The entry points of installed operations: each is an Operation.
ENTRY_POINTS = "sage.totality_operations"


class NotApplicable(InputError):
    """The operation cannot be applied to these schemes. Imagination tries again, or ends without a
    solution.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What an operation works on.

    schemes: the newest first; those of the operation before, then the seeds.  pool: active schemes of the
    store, to take values from.  rng, mood: what is drawn, and how.  new_id: a fresh id for each imagined
    scheme.
    """

    schemes: tuple[Scheme, ...]
    pool: tuple[Scheme, ...]
    rng: np.random.Generator
    mood: Mood
    new_id: Callable[[], str]

    def draw(self, num: int = 1) -> list[Scheme]:
        """`num` different schemes of `schemes`. NotApplicable when there are fewer."""
        if len(self.schemes) < num:
            raise NotApplicable(f"needs {num} schemes, got {len(self.schemes)}: give more seeds")
        return self.mood.draw(self.rng, self.schemes, [each.activation for each in self.schemes], num)

    def draw_slots(self, slots: tuple[Slot, ...]) -> list[int]:
        """Indices of the slots to change, as many as coping allows."""
        num = self.mood.num_changes(len(slots))
        return sorted(self.mood.draw(self.rng, range(len(slots)), [0.0] * len(slots), num))

    def imagined(
        self, label: str, slots: tuple[Slot, ...], sources: tuple[Scheme, ...], binding: Binding = "imagined"
    ) -> Scheme:
        """A new scheme of these slots. An observed slot becomes `inferred`: it is only copied."""
        copied = tuple(
            each.model_copy(update={"binding": "inferred"}) if each.binding == "observed" else each
            for each in slots
        )
        activation = self.mood.imagined_activation([each.activation for each in sources])
        return Scheme(id=self.new_id(), label=label[:256], slots=copied[:64], activation=activation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imagined:
    """What an operation made. schemes: new ones.  links: between them and the schemes it worked on.

    sources: the schemes it worked on, which become entities of the canvas too.
    """

    schemes: tuple[Scheme, ...]
    sources: tuple[Scheme, ...]
    links: tuple[Link, ...] = ()


Apply = Callable[[Material, Mapping[str, Any]], Imagined]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """apply: makes new schemes; deterministic, given the material's generator. Raises NotApplicable.

    parameters: name -> type of its value (str, float, bool or object for any); all are optional.  about:
    one line.
    """

    name: str
    apply: Apply
    parameters: Mapping[str, type] = field(default_factory=dict)
    about: str = ""

    def check(self, params: Mapping[str, Any]) -> None:
        """InputError for an unknown parameter or one of another type."""
        for name, value in params.items():
            kind = self.parameters.get(name)
            if kind is None:
                known = ", ".join(self.parameters) or "none"
                raise InputError(f"{self.name}: {name[:64]} is no parameter: give one of: {known}")
            is_bool = isinstance(value, bool)
            is_number = isinstance(value, (int, float)) and not is_bool
            is_right = is_number if kind is float else is_bool if kind is bool else isinstance(value, kind)
            if not is_right:
                wanted = {str: "text", float: "a number", bool: "true or false"}.get(kind, kind.__name__)
                raise InputError(f"{self.name}: {name} is {str(value)[:64]!r}: give {wanted}")


class OperationRegistry:
    """Operations by name."""

    def __init__(self, operations: tuple[Operation, ...] = ()) -> None:
        self._operations: dict[str, Operation] = {}
        for each in operations:
            self.register(each)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def register(self, operation: Operation) -> None:
        """Add an operation. InputError for a name that is empty or taken."""
        if not operation.name or operation.name in self._operations:
            raise InputError(f"operation {operation.name!r}: empty or registered already: give another name")
        self._operations[operation.name] = operation

    def register_installed(self) -> None:
        """Add the operations of installed packages, the entry points of `sage.totality_operations`.

        InputError for one that cannot be imported, or is no Operation.
        """
        from importlib.metadata import entry_points

        for point in entry_points(group=ENTRY_POINTS):
            try:
                operation = point.load()
            except BaseException as error:  # around a plug-in
                pass_on(error)
                raise InputError(
                    f"operation {point.name}: {point.value} cannot be imported: {error}: reinstall it"
                ) from error
            if not isinstance(operation, Operation):
                raise InputError(
                    f"operation {point.name}: {point.value} is no Operation: correct the plug-in"
                )
            self.register(operation)

    def get(self, name: str) -> Operation:
        """InputError with the known names for an unknown one."""
        found = self._operations.get(name)
        if found is None:
            raise InputError(f"op {name[:64]}: unknown: give one of: {', '.join(self._operations)}")
        return found
