"""The peer of `sage bench serve`: the server of `sage serve` with a plain loop in place of the batch.

`_serve_peer.py MODEL STATE_DIR`: one thread takes one puzzle after the other, in the order of arrival, and
computes its segments until the rules accept the answer or the limit is reached. HTTP, JSON, checks and the
model's arithmetic are those of `sage serve`.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sage.app.http.guard import Access
from sage.app.http.models import ServedModel, ServedModels
from sage.app.http.routes import create_app
from sage.app.http.server import ServeOptions, allowed_hosts, bind, build_server
from sage.app.http.token import open_token
from sage.hrm_core.model.sequence import TokenBatch
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solution, confidence_of


class PlainLoop:
    """The part of a SolvingService that the routes use. Settings other than max_segments are not read."""

    def __init__(self, inference: HRMInference) -> None:
        self._model, self._task = inference.model, inference.task
        self._asked: queue.SimpleQueue[tuple[np.ndarray, int, Future[Solution]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="plain-loop", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def submit(self, cells: np.ndarray, settings: SolveSettings, **_: Any) -> Future[Solution]:
        future: Future[Solution] = Future()
        self._asked.put((cells, settings.max_segments, future))
        return future

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            cells, most, future = asked
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._solve(cells, most))
                except Exception as error:  # the caller gets it
                    future.set_exception(error)

    @torch.inference_mode()
    def _solve(self, cells: np.ndarray, most: int) -> Solution:
        inputs = torch.from_numpy(cells.astype(np.int32))[None]
        batch = TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=torch.full((1,), -1, dtype=torch.int32))
        carry, number = self._model.initial_carry(1), 0
        for _ in range(most):
            carry, output = self._model.segment(carry, batch)
            assert output.logits is not None
            assert output.q_halt is not None
            number += 1
            answer = output.logits.argmax(-1).to(torch.int32).numpy()
            is_verified = self._task is not None and bool(self._task.verify(cells[None], answer)[0])
            if is_verified:
                break
        return Solution(
            cells=answer[0],
            is_verified=is_verified,
            is_abstained=False,
            is_halted_early=number < most,
            num_segments=number,
            num_segments_spent=number,
            attempt=0,
            confidence=float(confidence_of(float(output.q_halt[0]))),
            outcome="solved" if is_verified else "budget",
        )


class PlainModels(ServedModels):
    """Each model with a PlainLoop."""

    def __init__(self, inferences: Sequence[HRMInference]) -> None:
        plain: Any = PlainLoop
        self._models = {each.name: ServedModel(inference=each, service=plain(each)) for each in inferences}


def main() -> None:
    model, folder = sys.argv[1], Path(sys.argv[2])
    options = ServeOptions(checkpoints=[model], port=0)
    inference = HRMInference(model, settings=SolveSettings(halt="verifier", max_segments=64))
    with bind(options.host, options.port) as listening:
        access = Access(token=open_token(folder), hosts=allowed_hosts(options))
        app = create_app(PlainModels([inference]), access)
        print(f"sage: http://127.0.0.1:{listening.getsockname()[1]}/", file=sys.stderr, flush=True)
        with suppress(KeyboardInterrupt):
            build_server(app).run(sockets=[listening])


if __name__ == "__main__":
    main()
