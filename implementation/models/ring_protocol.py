"""The protocol of a peripheral ring between processes, as states and single steps of one process.

A producer fills a batch in its own lane: it writes the number of the first record into that slot's row, then
the payload. It then reads the tail, one word (ticket, records so far); if the order cell of that ticket is
linked already it moves the tail and starts over; else it stores the sequence into the row and swaps the cell
from the value read to (ticket, producer, first record, count). That swap is the push. The tail is past the
batch before the next one is written. The reader follows the cells; it reads the row's sequence, then its
number, copies each record from the lane, and checks afterwards that the tail is at most `reach` after the
record.

A lossless ring adds one rule: after the tail is read, and before the swap that stands on it, the producer
checks that the batch fits between the slowest cursor and the capacity. It keeps that cursor (the floor) until
a reader joins, because cursors only advance. Without room it waits for the reader and starts over. A reader
joins in three steps: it reads the tail, makes its cursor visible, and reads the tail again to begin there.

Invariant: a step is one atomic load, store or compare-and-swap; a state that must not occur raises Violation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ring_state import (
    ADVANCE,
    BEGIN,
    BUMP,
    CLAIM,
    COPY_0,
    COPY_1,
    DEAD,
    DONE,
    GO_LIVE,
    HELP,
    JOIN,
    LAPPED,
    LINK,
    POLL,
    READ_CELL,
    READ_TAIL,
    RECHECK,
    ROOM,
    ROW_NUMBER,
    ROW_SEQUENCE,
    SEQUENCE,
    SETTLE,
    SUCCEED,
    WAIT,
    WRITE_0,
    WRITE_1,
    Instance,
    Producer,
    Reader,
    State,
    Violation,
    Word,
)


def successors(instance: Instance, state: State) -> Iterator[tuple[str, State]]:
    """Every state that one step of one process reaches."""
    for index, producer in enumerate(state.producers):
        if producer.step == DEAD:
            if instance.successor:
                yield f"a successor of producer {index} moves the tail", _settle_tail(instance, state, index)
            continue
        if producer.step == SUCCEED:
            yield f"a successor takes lane {index}", _succeed(instance, state, index)
            continue
        if producer.step == DONE or (producer.step == WAIT and not _fits(instance, state, index, producer)):
            continue
        yield f"producer {index} step {producer.step}", _advance(instance, state, index, producer)
        if state.num_kills < instance.max_kills:
            killed = state._replace(num_kills=state.num_kills + 1)
            yield (
                f"producer {index} killed before step {producer.step}",
                _with(killed, index, producer._replace(step=DEAD)),
            )
    following = _read(instance, state, state.reader)
    if following is not None:
        yield f"reader step {state.reader.step}", following


def check_final(instance: Instance, state: State) -> None:
    """No process has a next step: the living must be done, and every linked record delivered or lost."""
    if any(producer.step not in (DONE, DEAD) for producer in state.producers):
        raise Violation("a living producer cannot finish")
    total = sum(count for _, _, count, _ in state.links)
    if state.reader.step == JOIN:
        raise Violation("the reader never joined")
    if state.reader.delivered + state.reader.lost != total:
        raise Violation(
            f"delivered {state.reader.delivered} + lost {state.reader.lost} is not the {total} linked"
        )


def _with(state: State, index: int, producer: Producer) -> State:
    producers = list(state.producers)
    producers[index] = producer
    return state._replace(producers=tuple(producers))


def _write_lane(instance: Instance, state: State, index: int, record: int, /, **fields: Any) -> State:
    lane, lanes = list(state.lanes[index]), list(state.lanes)
    slot = record % instance.num_lane_slots
    lane[slot] = lane[slot]._replace(**fields)
    lanes[index] = tuple(lane)
    return state._replace(lanes=tuple(lanes))


def _settle_tail(instance: Instance, state: State, index: int) -> State:
    """A dead producer may have linked its last batch without moving the tail."""
    cell = state.cells[state.tail[0] % instance.num_cells]
    if cell is not None and cell.ticket == state.tail[0]:
        state = state._replace(tail=(state.tail[0] + 1, state.tail[1] + cell.count))
    return _with(state, index, state.producers[index]._replace(step=SUCCEED))


def _succeed(instance: Instance, state: State, index: int) -> State:
    """Take a dead producer's lane: begin after its last linked batch; without one in the cells, above every
    number in the lane's rows.
    """
    dead = state.producers[index]
    oldest = state.tail[0] - instance.num_cells
    linked = [cell for cell in state.cells if cell and cell.producer == index and cell.ticket > oldest]
    if linked:
        last = max(linked, key=lambda cell: cell.ticket)
        number = last.first + last.count
    else:
        number = max(slot.number for slot in state.lanes[index]) + instance.num_lane_slots - instance.reach
    if instance.variant == "number used again":
        number = dead.number
    first = READ_TAIL if instance.variant == "link before payload" else CLAIM
    return _with(state, index, Producer(first, number, 0, 0, (0, 0), None, dead.incarnation + 1))


def _advance(instance: Instance, state: State, index: int, p: Producer) -> State:
    """One step of a producer."""
    if p.step in (CLAIM, WRITE_0, WRITE_1):
        return _write_payload(instance, state, index, p)
    if p.step == READ_TAIL:
        return _with(state, index, p._replace(step=READ_CELL, tail=state.tail))
    if p.step == READ_CELL:
        return _read_cell(instance, state, index, p)
    if p.step == ROOM:
        return _check_room(instance, state, index, p)
    if p.step == WAIT:
        return _with(state, index, p._replace(step=CLAIM, index=0, cell=None, has_room=False))
    if p.step == SEQUENCE:
        is_late = instance.variant == "number after sequence" and p.index == 0
        fields = {"sequence": p.tail[1]} if p.index == 0 else {"number": p.number}
        state = _write_lane(instance, state, index, p.number, **fields)
        return _with(state, index, p._replace(step=SEQUENCE if is_late else LINK, index=int(is_late)))
    if p.step == LINK:
        return _link(instance, state, index, p)
    return _move_tail(instance, state, index, p)


def _write_payload(instance: Instance, state: State, index: int, p: Producer) -> State:
    """Write the number of the batch, then both words of each record."""
    number, code = p.number + p.index, _code(p.number + p.index, p.incarnation)
    stores: list[dict[str, int]] = [{"number": number}, {"word_0": code}, {"word_1": code}]
    if p.step != CLAIM or instance.variant != "number after sequence":
        state = _write_lane(instance, state, index, number, **stores[p.step - CLAIM])
    if p.step != WRITE_1:
        return _with(state, index, p._replace(step=p.step + 1))
    if p.index + 1 < instance.script(index, p)[p.batch]:
        return _with(state, index, p._replace(step=WRITE_0, index=p.index + 1))
    if instance.variant == "link before payload":
        return _next_batch(instance, state, index, p)
    return _with(state, index, p._replace(step=READ_TAIL, index=0))


def _code(number: int, incarnation: int) -> int:
    return number * 10 + incarnation


def _read_cell(instance: Instance, state: State, index: int, p: Producer) -> State:
    cell = state.cells[p.tail[0] % instance.num_cells]
    if instance.variant == "load index, write, increment" or cell is None or cell.ticket < p.tail[0]:
        is_checked = p.has_room and instance.variant == "room checked with an older tail"
        step = ROOM if instance.capacity and not is_checked else SEQUENCE
        return _with(state, index, p._replace(step=step, cell=cell))
    if cell.ticket > p.tail[0] or instance.variant == "no help":
        return _with(state, index, p._replace(step=READ_TAIL, cell=None))
    return _with(state, index, p._replace(step=HELP, cell=cell))


def _check_room(instance: Instance, state: State, index: int, p: Producer) -> State:
    """Lossless: the batch must fit behind the slowest cursor, judged with the tail that the swap stands
    on.
    """
    count = instance.script(index, p)[p.batch]
    is_current = p.num_joined == state.num_joined or instance.variant == "floor of an earlier subscriber list"
    fits = p.floor < 0 or p.tail[1] + count - p.floor <= instance.capacity
    if not (is_current and fits):
        p = p._replace(floor=state.cursor, num_joined=state.num_joined)
        fits = p.floor < 0 or p.tail[1] + count - p.floor <= instance.capacity
    return _with(state, index, p._replace(step=SEQUENCE if fits else WAIT, has_room=fits))


def _fits(instance: Instance, state: State, index: int, p: Producer) -> bool:
    """Whether a waiting producer's batch fits: only the reader's progress ends the wait."""
    total = sum(count for _, _, count, _ in state.links)
    return total + instance.script(index, p)[p.batch] - state.cursor <= instance.capacity


def _link(instance: Instance, state: State, index: int, p: Producer) -> State:
    """The step that pushes a batch."""
    ticket, sequence = p.tail
    count = instance.script(index, p)[p.batch]
    place = ticket % instance.num_cells
    if not _is_as_read(instance, state.cells[place], p.cell):
        return _with(state, index, p._replace(step=READ_TAIL, cell=None))
    if ticket != len(state.links):
        raise Violation(f"ticket {ticket} is linked twice: the first record is lost")
    if sequence != sum(num for _, _, num, _ in state.links):
        raise Violation(f"ticket {ticket} has sequence {sequence}: not the number of records before it")
    if (
        state.cursor >= 0
        and state.reader.step != BEGIN
        and sequence + count - state.cursor > instance.capacity
    ):
        raise Violation("a lossless ring holds more records than its capacity")
    cells = list(state.cells)
    word = cells[place] = Word(ticket, index, p.number, count)
    state = state._replace(cells=tuple(cells), links=(*state.links, (index, p.number, count, p.incarnation)))
    if instance.variant == "written before the tail moved":
        return _next_batch(instance, state, index, p)
    return _with(state, index, p._replace(step=BUMP, cell=word))


def _is_as_read(instance: Instance, now: Word | None, read: Word | None) -> bool:
    """The comparison of the swap."""
    if instance.variant == "load index, write, increment":
        return True
    if instance.variant == "no lap in the order word" and now is not None and read is not None:
        slots = instance.num_lane_slots
        return (now.producer, now.first % slots, now.count) == (read.producer, read.first % slots, read.count)
    return now == read


def _move_tail(instance: Instance, state: State, index: int, p: Producer) -> State:
    """HELP with another producer's link, or BUMP after its own: the same swap, which fails if the tail
    moved.
    """
    assert p.cell is not None
    if state.tail == p.tail or instance.variant == "load index, write, increment":
        state = state._replace(tail=(p.tail[0] + 1, p.tail[1] + p.cell.count))
    if p.step == HELP:
        return _with(state, index, p._replace(step=READ_TAIL, cell=None))
    if instance.variant == "link before payload":
        return _with(state, index, p._replace(step=CLAIM, index=0, cell=None))
    return _next_batch(instance, state, index, p)


def _next_batch(instance: Instance, state: State, index: int, p: Producer) -> State:
    script = instance.script(index, p)
    number, batch = p.number + script[p.batch], p.batch + 1
    first = READ_TAIL if instance.variant == "link before payload" else CLAIM
    step = first if batch < len(script) else DONE
    following = Producer(step, number, batch, 0, (0, 0), None, p.incarnation, p.floor, p.num_joined)
    return _with(state, index, following)


def _read(instance: Instance, state: State, r: Reader) -> State | None:
    """One step of the reader; None if there is none."""
    if r.step == POLL:
        return _poll(instance, state, r)
    if r.step in (JOIN, GO_LIVE, BEGIN):
        return _join(instance, state, r)
    if r.step == ADVANCE:
        ended = r._replace(step=POLL if r.word is None or r.index == 0 else COPY_0)
        return state._replace(cursor=r.delivered + r.lost, reader=ended)
    if r.step == LAPPED:
        if instance.capacity:
            raise Violation("a lossless ring has overtaken the reader")
        ticket = max(r.ticket + 1, state.tail[0] - instance.num_cells)
        lost = r.lost + (ticket - r.ticket if instance.variant == "loss counted in order words" else 0)
        return state._replace(reader=r._replace(step=POLL, ticket=ticket, lost=lost, is_short=True))
    if r.step == SETTLE:
        return _settle(state, r)
    return _read_batch(instance, state, r)


def _read_batch(instance: Instance, state: State, r: Reader) -> State:
    """One step within the batch of a cell: its row, then each record and the check after it."""
    assert r.word is not None
    lane = state.lanes[r.word.producer]
    if r.step == ROW_SEQUENCE:
        sequence = lane[r.word.first % instance.num_lane_slots].sequence
        return state._replace(reader=r._replace(step=ROW_NUMBER, copy_sequence=sequence))
    if r.step == ROW_NUMBER:
        if lane[r.word.first % instance.num_lane_slots].number == r.word.first:
            return state._replace(reader=r._replace(step=COPY_0))
        _require_overwritten(instance, state, r)
        return _skip(instance, state, r, r.word.count)
    slot = lane[(r.word.first + r.index) % instance.num_lane_slots]
    if r.step == COPY_0:
        return state._replace(reader=r._replace(step=COPY_1, copy_0=slot.word_0))
    if r.step == COPY_1:
        return state._replace(reader=r._replace(step=RECHECK, copy_1=slot.word_1))
    is_whole = state.tail[1] - (r.copy_sequence + r.index) <= instance.reach
    if is_whole or instance.variant == "no second look":
        return _deliver(instance, state, r)
    _require_overwritten(instance, state, r)
    return _skip(instance, state, r, 1)


def _require_overwritten(instance: Instance, state: State, r: Reader) -> None:
    """Skipping the record at hand is right only if producers may have overwritten it."""
    if instance.capacity:
        raise Violation("a lossless ring has overwritten a record that the reader had yet to read")
    true_sequence = sum(count for _, _, count, _ in state.links[: r.ticket]) + r.index
    if sum(count for _, _, count, _ in state.links) - true_sequence <= instance.reach:
        raise Violation("a record is skipped that was not overwritten")


def _join(instance: Instance, state: State, r: Reader) -> State:
    """Begin at the end of the order. The tail may lag behind its last link."""
    if r.step == GO_LIVE:
        is_done = instance.variant == "began at the tail read before the join"
        step = POLL if is_done else BEGIN
        return state._replace(cursor=r.base, num_joined=state.num_joined + 1, reader=r._replace(step=step))
    ticket, total = state.tail
    cell = state.cells[ticket % instance.num_cells]
    if cell is not None and cell.ticket == ticket:
        ticket, total = ticket + 1, total + cell.count
    joined = r._replace(step=GO_LIVE if r.step == JOIN else POLL, ticket=ticket, lost=total, base=total)
    return state._replace(reader=joined, cursor=state.cursor if r.step == JOIN else total)


def _poll(instance: Instance, state: State, r: Reader) -> State | None:
    cell = state.cells[r.ticket % instance.num_cells]
    if cell is None or cell.ticket < r.ticket:
        if len(state.links) > r.ticket:
            raise Violation(f"ticket {r.ticket} is linked, and the reader sees nothing")
        return state._replace(reader=r._replace(step=SETTLE)) if r.is_short else None
    if cell.ticket > r.ticket:
        return state._replace(reader=r._replace(step=LAPPED))
    if instance.variant == "cursor moved before the copy":
        state = state._replace(cursor=r.delivered + r.lost + cell.count)
    return state._replace(reader=r._replace(step=ROW_SEQUENCE, word=cell, index=0))


def _settle(state: State, r: Reader) -> State:
    """At the end after a loss: the tail has the number of records. The last producer may have died before
    moving it.
    """
    ticket, total = state.tail
    if ticket + 1 == r.ticket and r.word is not None and r.word.ticket == ticket:
        ticket, total = ticket + 1, total + r.word.count
    if ticket != r.ticket:
        return state._replace(reader=r._replace(step=POLL))
    return state._replace(reader=r._replace(step=POLL, lost=total - r.delivered, is_short=False))


def _deliver(instance: Instance, state: State, r: Reader) -> State:
    assert r.word is not None
    producer, first, _, incarnation = state.links[r.ticket]
    whole = _code(first + r.index, incarnation)
    if (r.word.producer, r.copy_0, r.copy_1) != (producer, whole, whole):
        raise Violation(
            f"torn or foreign: words {r.copy_0}, {r.copy_1} delivered for record {whole} of producer"
            f" {producer}"
        )
    true_sequence = sum(count for _, _, count, _ in state.links[: r.ticket]) + r.index
    sequence = r.copy_sequence + r.index
    lost = r.lost if instance.variant == "loss counted in order words" else sequence - r.delivered
    if r.delivered + lost != true_sequence or lost < r.lost:
        raise Violation(f"delivered {r.delivered} + lost {lost} before record {true_sequence}")
    if instance.capacity and lost != r.base:
        raise Violation(f"{lost - r.base} records lost in a lossless ring")
    return _next_record(instance, state, r._replace(delivered=r.delivered + 1, lost=lost, is_short=False))


def _skip(instance: Instance, state: State, r: Reader, num_records: int) -> State:
    lost = r.lost + (1 if instance.variant == "loss counted in order words" else 0)
    r = r._replace(lost=lost, is_short=instance.variant != "loss counted in order words")
    return _next_record(instance, state, r, num_records)


def _next_record(instance: Instance, state: State, r: Reader, num_records: int = 1) -> State:
    assert r.word is not None
    r = r._replace(copy_0=-1, copy_1=-1)
    if r.index + num_records < r.word.count:
        step = ADVANCE if instance.capacity else COPY_0
        return state._replace(reader=r._replace(step=step, index=r.index + num_records))
    # the word stays until the next one: settling may need its count
    step = ADVANCE if instance.capacity else POLL
    ended = r._replace(step=step, ticket=r.ticket + 1, index=0, copy_sequence=-1)
    return state._replace(reader=ended)
