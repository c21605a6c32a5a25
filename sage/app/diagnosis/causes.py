"""What can fail in a session, and which symptoms each cause makes appear.

Invariant: no two causes of a graph have the same symptoms; such causes are one, with both texts. Symptoms are
named by strings, of a source "SOURCE: silent", or of the whole session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

SILENT, STUCK, DISTRUSTED, OFFSET, FAULTED = "silent", "stuck", "distrusted", "clock off", "faulted"
NO_ROOM, STORE_FAILS = "state disk: no room", "store: writes fail"
CPU_WAIT, OVERRUN = "loop: waits for a core", "loop: ticks overrun"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAbout:
    """What one source depends on. device, host: "" for none of its own that others could share."""

    name: str
    kind: str
    period_ns: int
    lineage: tuple[str, ...] = ()
    device: str = ""
    host: str = ""
    is_physical: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """text: for people.  symptoms: all of them appear where the cause is present."""

    text: str
    symptoms: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseGraph:
    """causes: shared ones first, so that where several explanations are equally small these are listed
    first."""

    causes: tuple[Cause, ...]

    @property
    def symptoms(self) -> tuple[str, ...]:
        """In the order of the causes, each once."""
        return tuple(dict.fromkeys(each for cause in self.causes for each in sorted(cause.symptoms)))


def symptom_of(source: str, what: str) -> str:
    return f"{source}: {what}"


def build_graph(sources: Sequence[SourceAbout]) -> CauseGraph:
    """The causes of a session with these sources."""
    found: dict[frozenset[str], list[str]] = {}

    def add(text: str, symptoms: Iterable[str]) -> None:
        texts = found.setdefault(frozenset(symptoms), [])
        if text not in texts:
            texts.append(text)

    _add_session(add)
    _add_shared(sources, add)
    for source in sources:
        _add_own(source, add)
    return CauseGraph(
        causes=tuple(Cause(text=", or ".join(texts), symptoms=symptoms) for symptoms, texts in found.items())
    )


Add = Callable[[str, Iterable[str]], None]


def _add_session(add: Add) -> None:
    add("the state disk is full", (NO_ROOM, STORE_FAILS))
    add("the store's file cannot be written", (STORE_FAILS,))
    add("the state disk has no room left for long", (NO_ROOM,))
    add("other work takes the loop's core", (CPU_WAIT,))
    add("the loop's own work is longer than its period", (OVERRUN,))


def _add_own(source: SourceAbout, add: Add) -> None:
    name = source.name
    add(f"{name} delivers nothing", (symptom_of(name, SILENT),))
    add(f"{name} fails", (symptom_of(name, SILENT), symptom_of(name, FAULTED)))
    add(f"{name} repeats one value", (symptom_of(name, STUCK),))
    add(f"{name} reads false values", (symptom_of(name, DISTRUSTED),))
    add(f"the clock of {name} drifts", (symptom_of(name, OFFSET),))


def _add_shared(sources: Sequence[SourceAbout], add: Add) -> None:
    """Of two sources and more."""

    def silent(some: Sequence[SourceAbout]) -> list[str]:
        return [symptom_of(each.name, SILENT) for each in some]

    def faulted(some: Sequence[SourceAbout]) -> list[str]:
        return [*silent(some), *(symptom_of(each.name, FAULTED) for each in some)]

    if len(sources) > 1:
        add("the system clock steps", [symptom_of(each.name, OFFSET) for each in sources])
    physical = [each for each in sources if each.is_physical]
    if len(physical) > 1:
        add("all physical sources are without power", silent(physical))
    for source in sources:
        derived = derived_from(source.name, sources)
        if derived:
            add(f"the line from {source.name} to what is derived from it is cut", silent(derived))
            add(f"{source.name} delivers nothing, nor what is derived from it", silent([source, *derived]))
    groups: tuple[tuple[str, Callable[[SourceAbout], str]], ...] = (
        ("the driver of kind {}", lambda each: each.kind),
        ("the device {}", lambda each: each.device),
        ("the network connection to {}", lambda each: each.host),
    )
    for text, key in groups:
        for name in dict.fromkeys(filter(None, map(key, sources))):
            some = [each for each in sources if key(each) == name]
            if len(some) > 1:
                add(f"{text.format(name)} delivers nothing", silent(some))
                add(f"{text.format(name)} fails", faulted(some))


def derived_from(name: str, sources: Sequence[SourceAbout]) -> list[SourceAbout]:
    """Those with `name` in their lineage, also by way of others, in their order."""
    names = {name}
    while True:
        more = {each.name for each in sources if names & set(each.lineage)} | names
        if more == names:
            return [each for each in sources if each.name in names and each.name != name]
        names = more
