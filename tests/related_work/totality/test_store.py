"""Every operation of the store changes it as its reply says, or raises and changes nothing."""

from __future__ import annotations

import pytest

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.related_work.totality.content import Scheme, Slot
from sage.related_work.totality.errors import Conflict, UnknownId
from sage.related_work.totality.messages import (
    ActivateRequest,
    Affect,
    ImagineRequest,
    OpCall,
    SchemeDraft,
    SleepCycleRequest,
    Target,
    WriteRequest,
)
from sage.related_work.totality.operations import built_in
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.state import StoreLimits
from sage.related_work.totality.store import TotalityStore

OPERATIONS = [each.name for each in built_in()]


def schemes(store: TotalityStore) -> dict[str, Scheme]:
    return {each.id: each for each in store.read(ReadQuery(scope="schemes", limit=1000)).schemes}


def activate(
    store: TotalityStore, name: str, delta: float, half_life_s: float | None = None
) -> dict[str, float]:
    targets = (Target(id=name, delta=delta),)
    return store.activate(ActivateRequest(targets=targets, decay_half_life_s=half_life_s)).activations


def imagine(store: TotalityStore, *ops: str, **more: object) -> tuple[str, ...]:
    calls = tuple(OpCall(op=op) for op in ops)
    return store.imagine(ImagineRequest(ops=calls, **more)).created  # type: ignore[arg-type]


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_operation_makes_canvases_that_name_it(store: TotalityStore, op: str) -> None:
    seeds = ("cup", "mug", "ball")
    created = imagine(store, op, seed_scheme_ids=seeds, count=3, seed=1)
    canvases = store.read(ReadQuery(scope="canvases")).canvases
    assert [each.id for each in canvases] == list(created)
    assert len(created) == 3
    for canvas in canvases:
        assert canvas.provenance.ops == (op,)
        made = [each for each in canvas.entities if each.id not in schemes(store)]
        assert made
        assert all(slot.binding != "observed" for each in made for slot in each.slots)
        assert all(each.activation <= 0.5 for each in made)
        assert canvas.links


@pytest.mark.parametrize("op", OPERATIONS)
def test_equal_stores_and_seeds_give_equal_canvases(
    clock: ManualClock, store: TotalityStore, op: str
) -> None:
    other = TotalityStore(clock.now_ns)
    other.restore(store.snapshot().snapshot)
    for each in (store, other):
        imagine(each, op, seed_scheme_ids=("cup", "mug", "ball"), count=2, seed=5)
    assert store.snapshot().snapshot.canvases == other.snapshot().snapshot.canvases


def test_a_chain_of_operations_is_named_in_order(store: TotalityStore) -> None:
    (name,) = imagine(store, "vary_slot", "recombine", seed_scheme_ids=("cup", "mug"), seed=2)
    (canvas,) = store.read(ReadQuery(scope="canvases")).canvases
    assert (canvas.id, canvas.provenance.ops) == (name, ("vary_slot", "recombine"))


def test_an_unknown_operation_or_parameter_is_refused(store: TotalityStore) -> None:
    before = store.snapshot().snapshot_id
    with pytest.raises(InputError, match="op teleport: unknown: give one of: vary_slot"):
        imagine(store, "teleport")
    with pytest.raises(InputError, match="speed is no parameter"):
        store.imagine(ImagineRequest(ops=(OpCall(op="vary_slot", params={"speed": 2}),)))
    with pytest.raises(InputError, match="slot is '3': give text"):
        store.imagine(ImagineRequest(ops=(OpCall(op="counterfactual", params={"slot": 3}),)))
    with pytest.raises(UnknownId, match="nobody"):
        imagine(store, "vary_slot", seed_scheme_ids=("nobody",))
    assert store.snapshot().snapshot_id == before


def test_imagination_without_a_result_is_a_conflict(store: TotalityStore) -> None:
    before = store.snapshot().snapshot_id
    with pytest.raises(Conflict, match="no_solution: needs 2 schemes"):
        imagine(store, "recombine", seed_scheme_ids=("cup",))
    with pytest.raises(Conflict, match="outcome budget"):
        imagine(store, "vary_slot", "vary_slot", max_calls=1)
    assert store.snapshot().snapshot_id == before


def test_numbers_that_are_not_finite_end_imagination_as_diverged() -> None:
    store = TotalityStore(lambda: 0)
    star = SchemeDraft(id="star", label="star", slots=(Slot(name="weight", value=1e300),))
    store.write(WriteRequest(schemes=(star,)))
    call = OpCall(op="vary_slot", params={"slot": "weight", "scale": 1e308})
    with pytest.raises(Conflict, match="outcome diverged"):
        store.imagine(ImagineRequest(seed_scheme_ids=("star",), ops=(call,)))
    assert store.read(ReadQuery()).canvases == ()


def test_the_reply_has_the_word_and_the_budget(store: TotalityStore) -> None:
    call = OpCall(op="vary_slot")
    reply = store.imagine(ImagineRequest(ops=(call,), count=3, max_calls=2, seed=0))
    assert (len(reply.created), reply.outcome, reply.budget.calls, reply.budget.max_calls) == (
        2,
        "budget",
        2,
        2,
    )
    reply = store.imagine(ImagineRequest(ops=(call,), count=3, seed=0))
    assert (len(reply.created), reply.outcome) == (3, "solved")


def test_activations_are_clamped(store: TotalityStore) -> None:
    assert activate(store, "cup", 5.0)["cup"] == 1.0
    assert activate(store, "cup", -9.0)["cup"] == 0.0
    assert schemes(store)["cup"].activation == 0.0


def test_activations_halve_every_half_life(store: TotalityStore, clock: ManualClock) -> None:
    activate(store, "cup", -0.1, half_life_s=10.0)
    clock.advance(20_000_000_000)
    found = schemes(store)
    assert found["cup"].activation == pytest.approx(0.2)
    assert found["mug"].activation == pytest.approx(0.7, abs=0.01)


def test_activation_spreads_over_links_within_its_bound(store: TotalityStore) -> None:
    imagine(store, "recombine", seed_scheme_ids=("cup", "mug"), seed=0)
    before = store.snapshot().snapshot.activations
    after = activate(store, "cup", 0.1)
    gained = {name: after[name] - before[name] for name in after}
    assert gained["cup"] == pytest.approx(0.1)
    assert gained["mug"] > 0
    assert sum(gained.values()) - gained["cup"] <= 0.1 * 0.75 + 1e-12
    assert "ball" not in gained


def test_an_activation_without_effect_says_so(store: TotalityStore) -> None:
    reply = store.activate(ActivateRequest(targets=(Target(id="cup", delta=0.0),)))
    assert reply.status == "unchanged"
    with pytest.raises(UnknownId):
        activate(store, "nobody", 0.1)


def write(
    store: TotalityStore, *slots: Slot, mode: str = "merge", name: str = "cup", **more: object
) -> object:
    scheme = SchemeDraft(id=name, label="cup", slots=slots, version=more.pop("version", None))  # type: ignore[arg-type]
    return store.write(WriteRequest(schemes=(scheme,), mode=mode, **more))  # type: ignore[arg-type]


def test_merge_changes_named_slots_and_keeps_the_others(store: TotalityStore) -> None:
    reply = write(store, Slot(name="color", value="green"), Slot(name="handle", value="left"))
    assert (reply.status, reply.committed) == ("ok", ("cup",))
    cup = schemes(store)["cup"]
    assert [(slot.name, slot.value) for slot in cup.slots] == [
        ("color", "green"),
        ("weight", 2.0),
        ("is_full", True),
        ("handle", "left"),
    ]
    assert (cup.version, cup.activation) == (2, 0.9)


def test_append_adds_and_replace_replaces(store: TotalityStore) -> None:
    write(store, Slot(name="color", value="green"), mode="append")
    assert [slot.value for slot in schemes(store)["cup"].slots] == ["red", 2.0, True, "green"]
    write(store, Slot(name="color", value="green"), mode="replace")
    assert [slot.value for slot in schemes(store)["cup"].slots] == ["green"]
    assert schemes(store)["cup"].version == 3


def test_a_merge_that_alters_nothing_is_not_committed(store: TotalityStore) -> None:
    reply = write(store, Slot(name="color", value="red"))
    assert (reply.status, reply.committed) == ("unchanged", ())
    assert [each.reason for each in reply.refused] == ["no change"]
    assert schemes(store)["cup"].version == 1


def test_what_is_imagined_does_not_replace_what_was_observed(store: TotalityStore) -> None:
    reply = write(store, Slot(name="color", value="green", binding="imagined"))
    assert (reply.status, schemes(store)["cup"].slots[0].value) == ("unchanged", "red")


def test_another_version_is_a_conflict_and_nothing_is_written(store: TotalityStore) -> None:
    write(store, Slot(name="color", value="green"), version=1)
    stale = SchemeDraft(id="cup", label="cup", slots=(Slot(name="color", value="pink"),), version=1)
    other = SchemeDraft(id="new", label="new")
    with pytest.raises(Conflict, match="cup: version 1, the store has 2"):
        store.write(WriteRequest(schemes=(other, stale)))
    assert "new" not in schemes(store)
    assert schemes(store)["cup"].slots[0].value == "green"


def test_a_scheme_without_an_id_gets_one(store: TotalityStore) -> None:
    reply = store.write(WriteRequest(schemes=(SchemeDraft(label="new"), SchemeDraft(label="new"))))
    assert len(set(reply.committed)) == 2
    assert set(reply.committed) <= set(schemes(store))


def test_trust_and_affect_shape_the_gate(store: TotalityStore) -> None:
    new = SchemeDraft(id="dog", label="dog", slots=(Slot(name="legs", value=4),))

    def status(trust: float, affect: Affect | None = None) -> str:
        fresh = TotalityStore(lambda: 0)
        fresh.restore(store.snapshot().snapshot)
        return fresh.write(WriteRequest(schemes=(new,), trust=trust, affect=affect)).status

    assert status(1.0) == "ok"
    assert status(0.4) == "unchanged"
    assert status(0.4, Affect(arousal=1.0, valence=-1.0)) == "ok"
    assert status(0.4, Affect(arousal=1.0, valence=-1.0, coping=1.0)) == "unchanged"
    assert status(0.4, Affect(coping=0.0)) == "ok"


def test_trust_and_affect_shape_what_is_drawn(store: TotalityStore) -> None:
    def share_of_most_active(trust: float, affect: Affect) -> float:
        fresh = TotalityStore(lambda: 0)
        fresh.restore(store.snapshot().snapshot)
        call = OpCall(op="counterfactual")
        reply = fresh.imagine(
            ImagineRequest(
                seed_scheme_ids=("cup", "table"), ops=(call,), count=64, seed=1, trust=trust, affect=affect
            )
        )
        assert reply.outcome == "solved"
        canvases = fresh.read(ReadQuery(scope="canvases")).canvases
        return sum(canvas.links[0].dst == "cup" for canvas in canvases) / len(canvases)

    calm = share_of_most_active(1.0, Affect())
    assert calm > 0.9
    assert share_of_most_active(0.0, Affect(arousal=1.0)) < calm - 0.15
    assert share_of_most_active(1.0, Affect(valence=-1.0)) < calm - 0.15


def test_a_page_has_the_filters_and_the_cursor_reads_on(store: TotalityStore, clock: ManualClock) -> None:
    imagine(store, "vary_slot", count=3, seed=0)
    found, cursor = [], None
    while True:
        page = store.read(ReadQuery(limit=2, cursor=cursor))
        found += [each.id for each in (*page.schemes, *page.canvases)]
        assert page.activations.keys() == {each.id for each in (*page.schemes, *page.canvases)}
        cursor = page.cursor
        if cursor is None:
            break
    assert len(found) == len(set(found)) == 7
    assert set(schemes(store)) == {"cup", "mug", "ball", "table"}
    active = store.read(ReadQuery(activation_min=0.6, scope="schemes")).schemes
    assert {each.id for each in active} == {"cup", "mug"}
    clock.advance(1_000_000_000)
    write(store, Slot(name="color", value="green"))
    assert [each.id for each in store.read(ReadQuery(since_ns=clock.now_ns())).schemes] == ["cup"]
    with pytest.raises(InputError, match="cursor"):
        store.read(ReadQuery(cursor="x"))


def test_a_snapshot_is_the_whole_store(store: TotalityStore, clock: ManualClock) -> None:
    imagine(store, "recombine", seed_scheme_ids=("cup", "mug"), seed=0)
    activate(store, "cup", -0.2, half_life_s=7.0)
    clock.advance(3_000_000_000)
    reply = store.snapshot()
    other = TotalityStore(clock.now_ns)
    other.restore(reply.snapshot, reply.snapshot_id)
    assert other.snapshot() == reply
    clock.advance(7_000_000_000)
    for each in (store, other):
        activate(each, "mug", 0.05)
        imagine(each, "abstract", seed_scheme_ids=("cup", "mug"), seed=3)
    assert other.snapshot().snapshot.activations == pytest.approx(store.snapshot().snapshot.activations)
    assert {each.id for each in other.snapshot().snapshot.canvases} == {
        each.id for each in store.snapshot().snapshot.canvases
    }
    with pytest.raises(InputError, match="it was altered"):
        other.restore(reply.snapshot.model_copy(update={"num_made": 99}), reply.snapshot_id)


def test_a_sleep_cycle_commits_what_observed_schemes_support(store: TotalityStore) -> None:
    request = SleepCycleRequest(seed=1, count=4, ops=(OpCall(op="abstract"),), min_activation=0.6)
    reply = store.sleep_cycle(request)
    assert reply.after.canvases - reply.before.canvases == len(reply.created) == 4
    assert reply.after.schemes - reply.before.schemes == len(reply.committed) == 1
    (name,) = reply.committed
    made = schemes(store)[name]
    assert {slot.binding for slot in made.slots} == {"inferred"}
    assert {slot.name: slot.value for slot in made.slots}["weight"] == {"min": 2.0, "max": 3.0}
    with pytest.raises(Conflict, match="no scheme has an activation"):
        store.sleep_cycle(request.model_copy(update={"min_activation": 1.0}))


def test_a_sleep_cycle_throws_away_what_nothing_supports(store: TotalityStore) -> None:
    request = SleepCycleRequest(
        seed=1, count=3, ops=(OpCall(op="counterfactual"),), affect=Affect(coping=1.0)
    )
    reply = store.sleep_cycle(request)
    assert len(reply.created) == 3
    assert reply.committed == ()


def test_the_least_salient_are_evicted_and_named(clock: ManualClock) -> None:
    store = TotalityStore(clock.now_ns, limits=StoreLimits(max_schemes=3, max_canvases=2))
    plain = [SchemeDraft(id=f"s{at}", label="same", slots=(Slot(name="a", value=1),)) for at in range(2)]
    for each in plain:
        store.write(WriteRequest(schemes=(each,)))
    striking = SchemeDraft(id="fire", label="fire", slots=(Slot(name="b", value=2),))
    store.write(WriteRequest(schemes=(striking,), affect=Affect(arousal=1.0, valence=-1.0)))
    reply = store.write(WriteRequest(schemes=(SchemeDraft(id="s9", label="same"),)))
    assert reply.evicted == ("s1",)
    assert set(schemes(store)) == {"s0", "fire", "s9"}
    first = imagine(store, "vary_slot", count=2, seed=0)
    request = ImagineRequest(ops=(OpCall(op="vary_slot"),), seed=1)
    assert set(store.imagine(request).evicted) < set(first)
    with pytest.raises(Conflict, match="do not fit"):
        store.write(WriteRequest(schemes=tuple(SchemeDraft(label=str(at)) for at in range(4))))


def test_pages_are_in_order_where_activations_are_equal_and_nodes_changed(store: TotalityStore) -> None:
    drafts = tuple(
        SchemeDraft(id=f"s-{at}", label="thing", activation=(at % 5) / 8) for at in (7, 2, 9, 0, 4, 1, 8, 3)
    )
    store.write(WriteRequest(schemes=drafts))
    activate(store, "s-2", 0.0625)
    every = store.read(ReadQuery(scope="schemes", order="activation", limit=1000)).schemes
    values = [each.activation for each in every]
    assert values == sorted(values, reverse=True)
    for limit in range(1, len(every) + 1):
        top = store.read(ReadQuery(scope="schemes", order="activation", limit=limit)).schemes
        assert [each.id for each in top] == [each.id for each in every[:limit]]
    changed, cursor = [], None
    while True:
        page = store.read(ReadQuery(scope="schemes", limit=3, cursor=cursor))
        changed += [each.id for each in page.schemes]
        if (cursor := page.cursor) is None:
            break
    assert changed == [each.id for each in store.read(ReadQuery(scope="schemes", limit=1000)).schemes]
    assert [name for name in changed if name.startswith("s-")] == [each.id for each in drafts]


def test_a_read_at_once_never_waits_for_the_store(store: TotalityStore) -> None:
    query = ReadQuery(limit=2)
    assert store.read_at_once(query) == store.read(query)
    with store._lock:
        assert store.read_at_once(query) is None
    assert store.read_at_once(query) is not None
