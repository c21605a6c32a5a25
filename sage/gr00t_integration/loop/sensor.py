"""A remote policy as a sensor: its readings are chunks of proposed actions, stamped with their observation.

Invariant: `read_into` never waits for the server. A chunk has passed the checks before it is a reading; a
failure of the server is a fault of the sensor, which its driver puts in quarantine and opens again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sage.errors import DataError, InputError
from sage.gr00t_integration.client.connect import make_client
from sage.gr00t_integration.client.contract import PolicyFailure
from sage.gr00t_integration.client.worker import PolicyWorker
from sage.gr00t_integration.embodiment import load_embodiment
from sage.gr00t_integration.loop.chunks import ChunkBoard
from sage.gr00t_integration.loop.mapping import ObservationMaker
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec
from sage.user_file import read_user_text

BOARD = "policy chunks"


class GrootConfig(SensorConfig):
    """address: tcp://HOST:PORT of a GR00T server, or ws://HOST:PORT of an openpi server.
    dialect: of a GR00T server; "auto": found by its reply.  embodiment: a shipped one, or a YAML file.
    instruction: the task, in words.
    video: view -> source.  state: name -> SOURCE or SOURCE[START:STOP].
    request_hz: requests a second at most.  timeout_secs: of one request.
    max_observation_secs: with an older reading of a source nothing is asked.
    api_token_file: a file with the server's token.
    """

    kind: Literal["groot"] = "groot"
    address: str = "tcp://127.0.0.1:5555"
    dialect: Literal["auto", "n1.5", "n1.6", "n1.7", "n2-flat"] = "auto"
    embodiment: str = "so100"
    instruction: str = Field("pick up the object", min_length=1)
    video: dict[str, str] = Field(default_factory=lambda: {"front": "front", "wrist": "wrist"})
    state: dict[str, str] = Field(
        default_factory=lambda: {"single_arm": "joints[0:5]", "gripper": "joints[5:6]"}
    )
    request_hz: float = Field(2.0, gt=0, le=1000)
    timeout_secs: float = Field(5.0, gt=0)
    max_observation_secs: float = Field(1.0, gt=0)
    api_token_file: Path | None = None

    @model_validator(mode="after")
    def _check_isolate(self) -> GrootConfig:
        if self.isolate:
            raise InputError(
                "isolate is true, but readings of other sources are in the loop's process: remove it"
            )
        return self


class GrootSensor:
    """One policy server. The relay of the same run executes what it reads."""

    Config = GrootConfig

    def __init__(self, config: GrootConfig, context: SensorContext) -> None:
        self._config = config
        self._context = context
        self._embodiment = load_embodiment(config.embodiment, context.base_dir)
        self._maker = ObservationMaker(
            self._embodiment,
            video=config.video,
            state=config.state,
            latest=context.latest,
            watcher=config.name,
        )
        self._period_ns = round(1e9 / config.request_hz)
        self._worker: PolicyWorker | None = None
        self._board: SharedConnection[ChunkBoard] | None = None
        self._next_ns = 0
        self._asked_ns = -1
        self._num_read = 0
        shape = (self._embodiment.action.horizon, self._embodiment.action_size)
        self._spec = SensorSpec(
            name=config.name,
            modality="cognitive",
            tensor=TensorSpec(shape=shape),
            period_ns=self._period_ns,
            observes=("action", "1"),
            lineage=self._maker.sources,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    @property
    def worker(self) -> PolicyWorker | None:
        """None while closed."""
        return self._worker

    def open(self) -> None:
        """Start the client; it connects with the first request. SensorUnavailable without its package."""
        config = self._config
        client = make_client(
            config.address,
            self._embodiment,
            dialect=config.dialect,
            api_token=self._token(),
            timeout_secs=config.timeout_secs,
        )
        self._board = self._context.connections.open((BOARD, config.name), ChunkBoard)
        self._worker = PolicyWorker(client)
        self._worker.start()

    def read_into(self, out: np.ndarray) -> Reading | None:
        """The newest chunk (horizon, D), once. Asks for the next one when it is time."""
        worker, board = self._worker, self._board
        if worker is None or board is None:
            raise SensorError(f"{self._spec.name}: read before open: call open() first")
        try:
            answer = worker.take()
        except PolicyFailure as error:
            raise SensorError(f"{self._spec.name}: {error}") from error
        self._ask(worker)
        if answer is None:
            return None
        now_ns = self._context.clock.now_ns()
        values = self._embodiment.joined(answer.actions)[0]
        values.flags.writeable = False
        board.value.put(values, observed_ns=answer.stamp_ns, received_ns=now_ns)
        out[...] = values
        reading = Reading(captured_ns=answer.stamp_ns, received_ns=now_ns, sequence=self._num_read)
        self._num_read += 1
        return reading

    def close(self) -> None:
        worker, self._worker = self._worker, None
        board, self._board = self._board, None
        if worker is not None:
            worker.close()
        if board is not None:
            board.close()

    def _ask(self, worker: PolicyWorker) -> None:
        """Once a period, where every source has a reading that is not too old and one of them is new."""
        now_ns = self._context.clock.now_ns()
        if now_ns < self._next_ns:
            return
        stamps = self._maker.newest_ns()
        if stamps is None:
            return
        oldest_ns, newest_ns = stamps
        if newest_ns <= self._asked_ns or now_ns - oldest_ns > self._config.max_observation_secs * 1e9:
            return
        self._next_ns = now_ns + self._period_ns
        self._asked_ns = newest_ns
        worker.ask(self._maker.observation(self._config.instruction), oldest_ns)

    def _token(self) -> str | None:
        path = self._config.api_token_file
        if path is None:
            return None
        try:
            token = read_user_text(self._context.base_dir / path.expanduser()).strip()
        except OSError as error:
            raise InputError(
                f"api_token_file: {path}: {error.strerror}: give a file that can be read"
            ) from error
        if not token:
            raise DataError(f"api_token_file: {path}: empty: write the server's token into it")
        return token
