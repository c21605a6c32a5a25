"""Answers in the loop: groups of sources with one question, their trust, and the texts that people read.

Invariant: a run without sources that answer has no group, and its trust is that of the base form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sage.runtime.channels.layout import Layout
from sage.runtime.tick.answer_groups import AnswerGroup, ClassGroup, Closed
from sage.runtime.tick.fusion import Fusion, Scene
from sage.runtime.tick.senses import Gathered
from sage.runtime.trust.answers.joined import JoinedTrust
from sage.runtime.trust.contract import Judged, TrustForm
from sage.sensors.board import ANSWER, CLASSES, LABEL, OUTCOME, Board, topic_of

Emit = Callable[..., None]
#: (name, how right it was, 0..1)
Verdict = tuple[str, float]


class Answers:
    """verdicts: of this tick, on sources that answered: by outcome or checker where there is one, else by
    agreement.  groups, class_groups: by topic.
    """

    def __init__(self, layout: Layout, board: Board | None, emit: Emit) -> None:
        self._layout = layout
        self._board = board
        self._emit = emit
        self._names = [spec.name for spec in layout.specs]
        self.groups = [
            AnswerGroup(members, [layout.specs[i] for i in members], _judge_of(layout, members[0], OUTCOME))
            for members in _members(layout, ANSWER)
        ]
        self.class_groups = [
            ClassGroup(members, [layout.specs[i] for i in members], _judge_of(layout, members[0], LABEL))
            for members in _members(layout, CLASSES)
        ]
        self.verdicts: list[Verdict] = []
        if board is not None:
            board.begin(
                {
                    spec.name: spec.channels if len(spec.channels) == observe.size else ()
                    for spec, observe in zip(layout.specs, layout.maps)
                }
            )

    def joined(self, base: TrustForm) -> TrustForm:
        """`base` with the trust of the groups in the place of their sources."""
        parts: dict[str, tuple[np.ndarray, Judged]] = {
            f"{number}": (group.indices, group.trust) for number, group in enumerate(self.groups)
        }
        for number, classes in enumerate(self.class_groups):
            parts[f"classes{number}"] = (classes.indices, classes.trust)
        return JoinedTrust(base, parts) if parts else base

    def meet(
        self,
        gathered: Gathered,
        scene: Scene,
        is_running: np.ndarray,
        fusion: Fusion,
        time_ns: int,
    ) -> None:
        """Take this tick's answers and outcomes, and post the newest readings.

        is_running: (N,) bool.  fusion: has met this tick's readings.
        """
        self.verdicts = []
        for group in self.groups:
            self._meet_answers(group, gathered, is_running[group.indices])
        for classes in self.class_groups:
            self._meet_classes(classes, gathered, scene.usable[classes.indices])
        if self._board is not None:
            for source, message in self._board.take_notes():
                self._emit("language", message, source)
            if self._board.has_readers:
                self._post(self._board, gathered, fusion.predictor.last, time_ns)

    def _meet_answers(self, group: AnswerGroup, gathered: Gathered, is_running: np.ndarray) -> None:
        for member, source in enumerate(group.indices.tolist()):
            answer = gathered.array(source)
            if answer is None:
                continue
            sequence = gathered.sequence(source)
            reply = None if self._board is None else self._board.take(group.names[member], sequence)
            text = "" if reply is None else reply.text
            if text:
                self._emit("answer", text, group.names[member])
            closed = group.add_answer(
                member,
                sequence,
                answer.reshape(-1),
                float(gathered.confidence[source]),
                text,
                None if reply is None else reply.right,
            )
            self._note(group, closed)
        self._note(group, group.settle(is_running))
        outcome = None if group.outcome is None else gathered.array(group.outcome)
        if outcome is not None:
            self._judge(group.names, group.learn_outcome(outcome.reshape(-1)))

    def _meet_classes(self, group: ClassGroup, gathered: Gathered, is_usable: np.ndarray) -> None:
        answers = {
            member: answer.reshape(-1).astype(np.float64)
            for member, source in enumerate(group.indices.tolist())
            if (answer := gathered.array(source)) is not None
        }
        if group.add_answers(answers, is_usable):
            best = float(group.pooled[group.chosen])
            self._emit("class", f"{group.chosen} (probability {best:.2f})", ", ".join(group.names))
        label = None if group.label is None else gathered.array(group.label)
        if label is None:
            return
        value = float(label.reshape(-1)[0])
        if not (value.is_integer() and 0 <= value < group.num_classes):
            name = self._names[group.label or 0]
            self._emit("fault", f"the label is {value}, not one of 0 to {group.num_classes - 1}", name)
            return
        self._judge(group.names, group.learn_label(int(value)))

    def _note(self, group: AnswerGroup, closed: Closed | None) -> None:
        """The event and the verdicts of an exchange."""
        if closed is None:
            return
        fused = closed.fused
        data: list[tuple[str, Any]] = [("question", closed.exchange.sequence), ("conflict", fused.conflict)]
        data += [(f"weight of {name}", weight) for name, weight in zip(group.names, fused.weights.tolist())]
        if fused.nearest >= 0:
            self._emit("fused answer", closed.text, closed.nearest, tuple(data))
        right = closed.exchange.right
        self._judge(group.names, group.trust.agreement if group.outcome is None else right)

    def _judge(self, names: Sequence[str], right: np.ndarray) -> None:
        pairs = zip(names, right.tolist())
        self.verdicts += [(name, share) for name, share in pairs if share == share]

    def _post(self, board: Board, gathered: Gathered, values: np.ndarray, time_ns: int) -> None:
        copied, offsets = values.copy(), self._layout.offsets.tolist()
        board.post(
            {
                name: copied[offsets[source] : offsets[source + 1]]
                for source, name in enumerate(self._names)
                if gathered.captured_ns[source] >= 0
            },
            time_ns * 1e-9,
        )


def _members(layout: Layout, quantity: str) -> list[list[int]]:
    """Indices of sources with the same topic, unit and shape, for each of these."""
    found: dict[tuple[object, ...], list[int]] = {}
    for index, spec in enumerate(layout.specs):
        topic = topic_of(spec.observes, quantity)
        if topic is not None:
            found.setdefault((topic, spec.observes[1], spec.tensor.shape), []).append(index)
    return list(found.values())


def _judge_of(layout: Layout, member: int, quantity: str) -> int | None:
    """The source that returns what was right for the topic of `member`: an outcome of its shape and unit, or
    a label (1,).
    """
    judged = layout.specs[member]
    topic = judged.observes[0].partition(":")[2]
    for index, spec in enumerate(layout.specs):
        if topic_of(spec.observes, quantity) != topic:
            continue
        is_same = spec.tensor.shape == judged.tensor.shape and spec.observes[1] == judged.observes[1]
        if is_same if quantity == OUTCOME else spec.tensor.num_elements == 1:
            return index
    return None
