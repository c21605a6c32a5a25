"""The kind `language`: its readings, its questions by number, its faults, and configurations it refuses."""

from __future__ import annotations

import contextlib
import sys
import threading
import types
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.sensors.board import Board
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorUnavailable
from sage.sensors.language.asking import MAX_LEFT
from sage.sensors.language.config import LanguageConfig
from sage.sensors.language.embedders import HashingEmbedder, WordllamaEmbedder
from sage.sensors.language.language_sensor import LanguageSensor
from sage.sensors.language.model import ModelReply
from sage.sensors.testing.conformance import check_sensor
from sage.sensors.testing.fake_language_server import Failing, FakeLanguageServer, Reply

SECOND = 10**9
MODULE = "answers_of_the_test"


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that can be imported, for functions of a test."""
    module = types.ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    module.echo = lambda prompt: f"you reply {prompt}"  # type: ignore[attr-defined]
    module.fail = lambda prompt: 1 / 0  # type: ignore[attr-defined]
    return module


def settings(**changed: Any) -> LanguageConfig:
    given = {
        "backend": "function",
        "function": f"{MODULE}:echo",
        "returns_at_once": True,
        "prompt": "hello",
        "embedder": "hashing",
        "embedding_size": 32,
        "period_secs": 1.0,
    }
    return LanguageConfig(**{key: value for key, value in (given | changed).items() if value is not None})


def opened(config: LanguageConfig, clock: ManualClock, board: Board | None = None) -> LanguageSensor:
    sensor = LanguageSensor(config, SensorContext(clock=clock, epoch_ns=clock.now_ns(), board=board))
    sensor.open()
    return sensor


def read(sensor: LanguageSensor) -> Reading | None:
    return sensor.read_into(np.empty(sensor.spec.tensor.shape, np.float32))


@pytest.mark.usefixtures("functions")
def test_it_conforms() -> None:
    clock = ManualClock()

    def make() -> LanguageSensor:
        return LanguageSensor(settings(), SensorContext(clock=clock, epoch_ns=clock.now_ns()))

    assert [result for result in check_sensor(make, clock=clock) if not result.is_ok] == []


@pytest.mark.usefixtures("functions")
def test_questions_are_numbered_by_the_runs_time_and_texts_are_on_the_board() -> None:
    clock, board = ManualClock(7), Board()
    sensor = opened(settings(name="ann"), clock, board)
    first = read(sensor)
    assert first is not None
    assert (first.sequence, first.captured_ns, first.confidence) == (0, 7, 0.5)
    assert read(sensor) is None
    clock.advance(3 * SECOND + 1)
    fourth = read(sensor)
    assert fourth is not None
    assert fourth.sequence == 3
    assert sensor.statistics.num_skipped == 2
    reply = board.take("ann", 3)
    assert reply is not None
    assert reply.text == "you reply hello"
    assert board.take("ann", 0) is None  # earlier ones are dropped
    clock.advance(SECOND // 2)
    assert sensor.latest is not None
    assert sensor.age_secs() == pytest.approx(0.5)


def test_failures_are_noted_and_several_in_a_row_are_a_fault(functions: types.ModuleType) -> None:
    clock, board = ManualClock(), Board()
    sensor = opened(settings(function=f"{MODULE}:fail", max_failures=3), clock, board)
    for _ in range(2):
        assert read(sensor) is None
        clock.advance(SECOND)
    with pytest.raises(
        SensorError, match="3 calls in a row without an answer, the last: error: ZeroDivision"
    ):
        read(sensor)
    assert [message for _, message in board.take_notes()] == [
        "error: ZeroDivisionError: division by zero"
    ] * 2
    assert sensor.statistics.failures == {"error": 3}


@pytest.mark.usefixtures("functions")
def test_what_the_budget_refuses_is_noted_once() -> None:
    clock, board = ManualClock(), Board()
    sensor = opened(settings(calls_a_minute=1), clock, board)
    assert read(sensor) is not None
    for _ in range(3):
        clock.advance(SECOND)
        assert read(sensor) is None
    assert [message for _, message in board.take_notes()] == [
        "not asked: the budget of 1 calls a minute is used up"
    ]
    assert sensor.statistics.num_over_budget == 3


@pytest.mark.parametrize(
    ("failing", "failure"), [("status", "status"), ("garbage", "garbage"), ("nan", "embedding")]
)
def test_failures_of_a_server_stay_inside(failing: Failing, failure: str) -> None:
    """On the sensor's own thread: read until the call has ended, which the fake does at once."""
    with FakeLanguageServer([Reply(failing=failing)]) as server:
        clock, board = ManualClock(), Board()
        config = settings(
            backend="openai", function=None, returns_at_once=False, url=server.url, model="m",
            embedder=None, embedding_model="e", embedding_size=8,
        )  # fmt: skip
        sensor = opened(config, clock, board)
        while not sensor.statistics.failures:
            assert read(sensor) is None
        assert sensor.statistics.failures == {failure: 1}
        sensor.close()


@pytest.mark.parametrize("backend", ["openai", "ollama"])
def test_a_server_answers_and_embeds(backend: str) -> None:
    with FakeLanguageServer([Reply(text="It is warm.", logprobs=(-0.5,))]) as server:
        config = settings(
            backend=backend, function=None, returns_at_once=False, url=server.url, model="m",
            embedder=None, embedding_model="e", embedding_size=8,
        )  # fmt: skip
        sensor = opened(config, ManualClock())
        out, reading = np.empty(8, np.float32), None
        while reading is None:
            reading = sensor.read_into(out)
        assert out.tolist() == list(Reply().embedding)
        assert reading.confidence == pytest.approx(np.exp(-0.5) if backend == "openai" else 0.5)
        assert sensor.latest is not None
        assert sensor.latest.text == "It is warm."
        sensor.close()


def test_a_function_may_return_an_embedding(functions: types.ModuleType) -> None:
    vector = np.arange(1, 33, dtype=np.float32)
    functions.echo = lambda prompt: ModelReply(text="x", embedding=vector, confidence=0.9)  # type: ignore[attr-defined]
    sensor = opened(settings(embedder=None, is_embedded=True), ManualClock())
    out = np.empty(32, np.float32)
    reading = sensor.read_into(out)
    assert reading is not None
    assert reading.confidence == 0.9
    assert np.array_equal(out, vector)


def test_a_pipeline_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def pipeline(task: str, **given: Any) -> Any:
        assert (task, given["model"]) == ("text-generation", "some/folder")
        assert given["model_kwargs"] == {"local_files_only": True}

        def generate(prompt: str, **options: Any) -> list[dict[str, str]]:
            asked.append(options)
            return [{"generated_text": "It is warm."}]

        return generate

    fake = types.ModuleType("transformers")
    fake.pipeline = pipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", fake)
    config = settings(backend="transformers", function=None, returns_at_once=False, model="some/folder")
    sensor = opened(config, ManualClock())
    while read(sensor) is None:
        assert not sensor.statistics.failures
    assert sensor.latest is not None
    assert sensor.latest.text == "It is warm."
    assert asked[0]["max_time"] == config.deadline_secs


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    config = settings(backend="transformers", function=None, returns_at_once=False, model="m")
    with pytest.raises(SensorUnavailable, match="pip install transformers"):
        LanguageSensor(config, SensorContext(clock=ManualClock(), epoch_ns=0))


def test_wordllama_embeds_without_a_download() -> None:
    pytest.importorskip("wordllama", reason="pip install wordllama")
    embedder = WordllamaEmbedder(256)
    near, same, far = (
        embedder.embed(text, 1.0)
        for text in ("The processor is busy.", "The CPU is under load.", "It rains in Paris.")
    )
    assert near.shape == (256,)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a.dot(b) / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(near, same) > 0.2 + cosine(near, far)


def test_hashing_is_close_for_common_words() -> None:
    embedder = HashingEmbedder(256)
    near, same, far = (
        embedder.embed(text, 1.0)
        for text in ("The red lamp glows.", "A lamp, red and glowing", "rain in Paris")
    )
    assert near.dot(same) > 0.2 + near.dot(far)
    assert not embedder.embed("?!", 1.0).any()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"embedder": None}, "no embedder given"),
        ({"is_embedded": True}, "embedder and is_embedded given"),
        ({"function": None}, "backend function needs function"),
        ({"url": "http://127.0.0.1:1"}, "has no url"),
        ({"backend": "openai", "function": None, "returns_at_once": False, "model": "m"}, "needs url"),
        (
            {
                "backend": "ollama", "function": None, "returns_at_once": False, "model": "m",
                "url": "http://192.0.2.1",
            },
            "not on loopback",
        ),
        ({"embedder": None, "embedding_model": "e"}, "that of a server"),
        ({"prompt": "{cpu"}, "prompt"),
        ({"isolate": True}, "isolate is true"),
        ({"deadline_secs": 120.0}, "max_age_secs is 120"),
        ({"topic": "a:b"}, "without ':'"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_work_is_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        settings(**changed)


@pytest.mark.parametrize("target", ["nothing", "no_such_module:f", "math:pi", "math:no_such"])
def test_a_function_that_is_not_there_is_refused(target: str) -> None:
    with pytest.raises(InputError, match=target.partition(":")[0]):
        LanguageSensor(settings(function=target), SensorContext(clock=ManualClock(), epoch_ns=0))


@pytest.mark.usefixtures("functions")
def test_a_sensor_that_is_opened_again_keeps_its_budget_and_asks_no_question_twice() -> None:
    """A driver makes a new instance after a fault, and when a source is enabled again."""
    clock, board = ManualClock(), Board()
    config, context = (
        settings(calls_a_minute=2),
        SensorContext(clock=clock, epoch_ns=clock.now_ns(), board=board),
    )
    sequences = []
    for _ in range(4):
        sensor = LanguageSensor(config, context)
        sensor.open()
        reading = read(sensor)
        sequences.append(None if reading is None else reading.sequence)
        sensor.close()
        clock.advance(SECOND // 2)
    assert sequences == [0, None, 1, None]
    clock.advance(SECOND)
    third = LanguageSensor(config, context)
    third.open()
    assert read(third) is None
    assert (third.statistics.num_asked, third.statistics.num_over_budget) == (2, 1)
    assert opened(settings(name="other"), clock, board).statistics.num_asked == 0


def test_calls_that_do_not_return_are_limited_over_all_instances(functions: types.ModuleType) -> None:
    released = threading.Event()
    functions.hang = lambda prompt: released.wait()  # type: ignore[attr-defined]
    clock, board = ManualClock(), Board()
    config = settings(function=f"{MODULE}:hang", returns_at_once=False, max_failures=1, deadline_secs=0.5)
    before = threading.active_count()
    try:
        for _ in range(5):
            sensor = opened(config, clock, board)
            assert read(sensor) is None
            clock.advance(SECOND)
            with contextlib.suppress(SensorError):
                read(sensor)
            sensor.close()
        assert threading.active_count() - before == MAX_LEFT
    finally:
        released.set()
