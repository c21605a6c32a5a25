"""What a scheme becomes when it is written in one of the three modes.

Invariant: in mode merge a less certain value (imagined, inferred) never replaces a more certain one.
"""

from __future__ import annotations

from sage.related_work.totality.content import BINDING_RANK, MAX_SLOTS, Scheme, Slot
from sage.related_work.totality.errors import Conflict
from sage.related_work.totality.messages import Mode, SchemeDraft


def written(before: Scheme | None, draft: SchemeDraft, name: str, mode: Mode, activation: float) -> Scheme:
    """The scheme after the write; its version is that of `before`, or 1.

    activation: of the scheme in the store, now. Conflict for a version that is not the store's, or for more
    slots than fit.
    """
    version = before.version if before is not None else 1
    if draft.version is not None and before is not None and draft.version != version:
        raise Conflict(f"{name}: version {draft.version}, the store has {version}: read it and write again")
    if draft.version is not None and draft.version > 1 and before is None:
        raise Conflict(f"{name}: version {draft.version}, but the store has none: write it without a version")
    if before is None or mode == "replace":
        slots, raised = draft.slots, draft.activation
    else:
        slots = _merged(before, draft) if mode == "merge" else _appended(before, draft)
        raised = max(draft.activation, activation)
    if len(slots) > MAX_SLOTS:
        raise Conflict(f"{name}: {len(slots)} slots after the write: at most {MAX_SLOTS}: replace the scheme")
    return Scheme(id=name, label=draft.label, slots=slots, activation=raised, version=version)


def _merged(before: Scheme, draft: SchemeDraft) -> tuple[Slot, ...]:
    """Given slots in place of those of the same name; others are kept, new names are added."""
    given: dict[str, list[Slot]] = {}
    for slot in draft.slots:
        given.setdefault(slot.name, []).append(slot)
    result: list[Slot] = []
    for slot in before.slots:
        news = given.get(slot.name)
        if news is None or max(BINDING_RANK[each.binding] for each in news) < BINDING_RANK[slot.binding]:
            result.append(slot)
            if news is not None:
                given[slot.name] = []
        else:
            result += news
            given[slot.name] = []
    return (*result, *(slot for news in given.values() for slot in news))


def _appended(before: Scheme, draft: SchemeDraft) -> tuple[Slot, ...]:
    """All slots that are there, then the given ones that are not."""
    known = list(before.slots)
    return (*known, *(slot for slot in draft.slots if slot not in known))
