"""The built-in operations: each makes new schemes from given ones.

Invariant: an operation changes something or raises NotApplicable; no slot that it makes is `observed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sage.related_work.totality.content import Link, Scheme, Slot
from sage.related_work.totality.operation import (
    Imagined,
    Material,
    NotApplicable,
    Operation,
    OperationRegistry,
)


def built_in() -> OperationRegistry:
    """A registry of the operations below."""
    return OperationRegistry(
        (
            Operation(
                name="vary_slot",
                apply=vary_slot,
                parameters={"slot": str, "value": object, "scale": float},
                about="changes slots of one scheme to other values seen in the store; numbers are perturbed",
            ),
            Operation(
                name="value_perm",
                apply=value_perm,
                about="permutes the values among the slots of one scheme",
            ),
            Operation(
                name="recombine",
                apply=recombine,
                about="joins slots of two schemes, each from one of them",
            ),
            Operation(
                name="analogy",
                apply=analogy,
                about="applies the change from one scheme to a second one to a third",
            ),
            Operation(
                name="counterfactual",
                apply=counterfactual,
                parameters={"slot": str},
                about="negates slots of one scheme",
            ),
            Operation(
                name="abstract",
                apply=abstract,
                about="keeps the slots that all schemes share; what differs becomes a range or null",
            ),
            Operation(
                name="compose",
                apply=compose,
                parameters={"label": str, "relation": str},
                about="makes one scheme with the others as its parts",
            ),
        )
    )


def vary_slot(material: Material, params: Mapping[str, Any]) -> Imagined:
    """slot: which one; default: as many as coping allows.  value: the new one.  scale: relative standard
    deviation of a number's change, 0.1.
    """
    (source,) = material.draw()
    slots, has_changed = list(source.slots), False
    for at in _named(material, source, params.get("slot")):
        value = params["value"] if "value" in params else _other_value(material, slots[at], params)
        has_changed |= not _is_same(value, slots[at].value)
        slots[at] = Slot(name=slots[at].name, value=value, binding="imagined")
    if not has_changed:
        raise NotApplicable("vary_slot: no other value for the slot: give `value`, or other seeds")
    return _derived(material, source, tuple(slots), "varies")


def value_perm(material: Material, params: Mapping[str, Any]) -> Imagined:
    """With one slot, or equal values, a value of another scheme is taken."""
    (source,) = material.draw()
    if not source.slots:
        raise NotApplicable("value_perm: the scheme has no slots: give another seed")
    order = material.rng.permutation(len(source.slots))
    values = [source.slots[at].value for at in order]
    if all(_is_same(value, slot.value) for value, slot in zip(values, source.slots)):
        at = int(material.rng.integers(len(values)))
        values[at] = _other_value(material, source.slots[at], {})
    slots = tuple(
        slot if _is_same(value, slot.value) else Slot(name=slot.name, value=value, binding="imagined")
        for slot, value in zip(source.slots, values)
    )
    if slots == source.slots:
        raise NotApplicable("value_perm: no other value in the store: give another seed")
    return _derived(material, source, slots, "varies")


def recombine(material: Material, params: Mapping[str, Any]) -> Imagined:
    """Uniform crossover of the slots that both have; those of one scheme only are kept."""
    first, second = material.draw(2)
    left, right = _by_name(first), _by_name(second)
    names = list(dict.fromkeys((*left, *right)))
    takes_left = material.rng.random(len(names)) < 0.5
    chosen = {
        name: left[name] if name not in right or (is_left and name in left) else right[name]
        for name, is_left in zip(names, takes_left)
    }
    slots = tuple(each.model_copy(update={"binding": "imagined"}) for each in chosen.values())
    values = {name: slot.value for name, slot in chosen.items()}
    if not slots or values in ({n: s.value for n, s in each.items()} for each in (left, right)):
        raise NotApplicable("recombine: gives one of the two schemes again: give schemes that differ more")
    made = material.imagined(f"{first.label} + {second.label}", slots, (first, second))
    links = tuple(Link(src=made.id, dst=each.id, relation="combines") for each in (first, second))
    return Imagined(schemes=(made,), sources=(first, second), links=links)


def analogy(material: Material, params: Mapping[str, Any]) -> Imagined:
    """a : b = c : new. The slots in which a and b differ are set in c as b has them; c comes from the pool
    when there are two schemes only (structure mapping, Gentner 1983, reduced to slots of equal names).
    """
    a, b = material.draw(2)
    before, after = _by_name(a), _by_name(b)
    change = {n: s for n, s in after.items() if n not in before or not _is_same(before[n].value, s.value)}
    others = [each for each in (*material.schemes, *material.pool) if each.id not in (a.id, b.id)]
    fitting = [each for each in others if any(slot.name in change for slot in each.slots)]
    drawn = material.mood.draw(material.rng, fitting, [each.activation for each in fitting])
    if not drawn:
        raise NotApplicable("analogy: no third scheme has a slot that the two differ in: give one as a seed")
    c = drawn[0]
    slots = tuple(
        Slot(name=slot.name, value=change[slot.name].value, binding="imagined")
        if slot.name in change
        else slot
        for slot in c.slots
    )
    if all(_is_same(new.value, old.value) for new, old in zip(slots, c.slots)):
        raise NotApplicable("analogy: the third scheme has these values already: give another seed")
    made = material.imagined(f"{c.label} ({a.label} : {b.label})", slots, (a, b, c))
    links = (
        Link(src=a.id, dst=b.id, relation="becomes"),
        Link(src=c.id, dst=made.id, relation="becomes"),
    )
    return Imagined(schemes=(made,), sources=(a, b, c), links=links)


def counterfactual(material: Material, params: Mapping[str, Any]) -> Imagined:
    """slot: which one; default: as many as coping allows. true becomes false, a number changes its sign, zero
    becomes one, anything else becomes {"not": value} and back.
    """
    (source,) = material.draw()
    slots = list(source.slots)
    for at in _named(material, source, params.get("slot")):
        slots[at] = Slot(name=slots[at].name, value=_negated(slots[at].value), binding="imagined")
    return _derived(material, source, tuple(slots), "contradicts")


def abstract(material: Material, params: Mapping[str, Any]) -> Imagined:
    """Anti-unification (Plotkin 1970): the most specific scheme that covers the given ones, drawn in turn,
    as far as they share a slot.
    """
    sources: tuple[Scheme, ...] = ()
    names: list[str] = []
    for each in material.draw(len(material.schemes)):
        own = _by_name(each)
        shared = [name for name in names or own if name in own]
        if shared:  # a scheme that has no slot in common with those before is left out
            sources, names = (*sources, each), shared
    if len(sources) < 2:
        raise NotApplicable("abstract: the schemes share no slot: give seeds with a slot in common")
    tables = [_by_name(each) for each in sources]
    slots = tuple(
        Slot(name=name, value=_common([table[name].value for table in tables]), binding="inferred")
        for name in names
    )
    labels = list(dict.fromkeys(each.label for each in sources))
    made = material.imagined(f"any of {', '.join(labels)}", slots, sources)
    links = tuple(Link(src=each.id, dst=made.id, relation="is_a") for each in sources)
    return Imagined(schemes=(made,), sources=sources, links=links)


def compose(material: Material, params: Mapping[str, Any]) -> Imagined:
    """label: of the whole.  relation: from a part to the whole, `part_of`."""
    parts = tuple(material.draw(min(len(material.schemes), 8)))
    if len(parts) < 2:
        raise NotApplicable("compose: needs 2 schemes, got 1: give more seeds")
    slots = tuple(
        Slot(name=f"part_{at}", value=part.id, binding="imagined") for at, part in enumerate(parts, start=1)
    )
    label = str(params.get("label") or " and ".join(part.label for part in parts))
    made = material.imagined(label, slots, parts)
    relation = str(params.get("relation") or "part_of")
    links = tuple(Link(src=part.id, dst=made.id, relation=relation) for part in parts)
    return Imagined(schemes=(made,), sources=parts, links=links)


def _derived(material: Material, source: Scheme, slots: tuple[Slot, ...], relation: str) -> Imagined:
    made = material.imagined(source.label, slots, (source,))
    link = Link(src=made.id, dst=source.id, relation=relation)
    return Imagined(schemes=(made,), sources=(source,), links=(link,))


def _named(material: Material, scheme: Scheme, name: str | None) -> list[int]:
    """Indices of the slots to change."""
    if not scheme.slots:
        raise NotApplicable(f"scheme {scheme.id} has no slots: give another seed")
    if name is None:
        return material.draw_slots(scheme.slots)
    found = [at for at, slot in enumerate(scheme.slots) if slot.name == name]
    if not found:
        raise NotApplicable(f"scheme {scheme.id} has no slot {name[:64]}: give another `slot` or seed")
    return found


def _by_name(scheme: Scheme) -> dict[str, Slot]:
    return {slot.name: slot for slot in scheme.slots}


def _other_value(material: Material, slot: Slot, params: Mapping[str, Any]) -> Any:
    """Another value: of slots of the same name, else of the same type, in the pool; else a perturbed one."""
    known = [(each, other) for each in (*material.schemes, *material.pool) for other in each.slots]
    differing = [(each, other) for each, other in known if not _is_same(other.value, slot.value)]
    named = [pair for pair in differing if pair[1].name == slot.name]
    if not named and isinstance(slot.value, (int, float)) and not isinstance(slot.value, bool):
        scale = float(params.get("scale", 0.1)) * (0.5 + material.mood.affect.arousal)
        return slot.value + float(material.rng.normal()) * scale * max(abs(slot.value), 1.0)
    if not named and isinstance(slot.value, bool):
        return not slot.value
    typed = named or [pair for pair in differing if type(pair[1].value) is type(slot.value)]
    drawn = material.mood.draw(material.rng, typed, [each.activation for each, _ in typed])
    if not drawn:
        raise NotApplicable(f"no other value for slot {slot.name}: give `value`, or other seeds")
    return drawn[0][1].value


def _negated(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return -value if value else 1
    if isinstance(value, dict) and value.keys() == {"not"}:
        return value["not"]
    return {"not": value}


def _common(values: list[Any]) -> Any:
    """The one value, the range of numbers, or null."""
    if all(_is_same(value, values[0]) for value in values):
        return values[0]
    ranges = [_range_of(value) for value in values]
    known = [each for each in ranges if each is not None]
    if len(known) < len(values):
        return None
    return {"min": min(low for low, _ in known), "max": max(high for _, high in known)}


def _range_of(value: Any) -> tuple[float, float] | None:
    """Of a number or of a range that `abstract` made."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value, value
    if isinstance(value, dict) and value.keys() == {"min", "max"}:
        low, high = _range_of(value["min"]), _range_of(value["max"])
        return (low[0], high[1]) if low and high else None
    return None


def _is_same(a: Any, b: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return type(a) is type(b) and bool(a == b)
