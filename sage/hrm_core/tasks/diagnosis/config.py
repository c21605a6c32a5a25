"""Options of generated graphs of causes and symptoms, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from sage.errors import InputError

#: The kernels hold a set of symptoms, and one of causes, in the bits of an integer below 2^62.
MOST_NODES_A_SIDE = 60
#: The exact solver tries sets of so many causes, at most.
MOST_FAULTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisConfig:
    """causes, symptoms: fewest and most of a graph.  nodes: fewest and most of both together.
    faults: fewest and most causes of the one smallest explanation.  reach: fewest and most symptoms that a
    cause makes appear.  alike: chance, at most, that a cause which is no fault has only symptoms that are
    present, so that the rule does not clear it; each graph draws its own chance, from 0 to this."""

    causes: tuple[int, int] = (10, 30)
    symptoms: tuple[int, int] = (10, 30)
    nodes: tuple[int, int] = (30, 60)
    faults: tuple[int, int] = (1, 3)
    reach: tuple[int, int] = (2, 6)
    alike: float = 0.3

    def __post_init__(self) -> None:
        for name in ("causes", "symptoms"):
            _check_range(name, getattr(self, name), MOST_NODES_A_SIDE)
        _check_range("faults", self.faults, min(MOST_FAULTS, self.causes[0]))
        _check_range("reach", self.reach, self.symptoms[0])
        least, most = self.causes[0] + self.symptoms[0], self.causes[1] + self.symptoms[1]
        fewest, many = self.nodes
        if not least <= fewest <= many <= most:
            raise InputError(
                f"nodes is {fewest} to {many}: give {least} to {most}, causes and symptoms together, the"
                " fewest first"
            )
        if not 0 <= self.alike <= 1:
            raise InputError(f"alike is {self.alike}: give a probability, 0 to 1")

    @property
    def side(self) -> int:
        """Rows, and columns, of the square of cells: one for each cause or symptom, and one of headers."""
        return 1 + max(self.causes[1], self.symptoms[1])


def _check_range(name: str, given: tuple[int, int], limit: int) -> None:
    fewest, most = given
    if not 1 <= fewest <= most <= limit:
        raise InputError(f"{name} is {fewest} to {most}: give 1 to {limit}, the fewest first")
