"""The newest pictures of sources: when a reading is copied, how much of it, and the route that returns it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from sage.app.page.pictures import ASKED_SECS, COPY_SECS, Pictures
from sage.app.page.png import to_png
from sage.app.page.readings import ReadingsFeed
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import SensorSpec
from tests.app.page.conftest import Page

CAMERA, DEPTH = "arm.camera, left", "depth"


def spec(name: str, shape: tuple[int, ...], dtype: str = "uint8") -> SensorSpec:
    tensor = TensorSpec(shape=shape, dtype=dtype)
    return SensorSpec(
        name=name, modality="physical", tensor=tensor, period_ns=10**8, observes=("image", "level")
    )


SPECS = (
    spec("imu", (6,), "float32"),
    spec(CAMERA, (48, 64, 3)),
    spec(DEPTH, (700, 1000), "float32"),
    spec("grid", (4, 4)),
    spec("stack", (48, 64, 4)),
    spec("counts", (48, 64), "int32"),
)


class Clock:
    def __init__(self) -> None:
        self.secs = 100.0

    def __call__(self) -> float:
        return self.secs


class Readings:
    """What the loop lends: one memory for each source, which is overwritten. num_read: how often it was."""

    def __init__(self) -> None:
        self.arrays = {
            index: np.zeros(each.tensor.shape, each.tensor.dtype) for index, each in enumerate(SPECS)
        }
        self.num_read = 0

    def __call__(self, source: int) -> np.ndarray | None:
        self.num_read += 1
        return self.arrays[source]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pictures(clock: Clock) -> Pictures:
    return Pictures(SPECS, real_secs=clock)


def pixels(png: bytes) -> np.ndarray:
    """As another reader of PNG files has them."""
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    return np.asarray(image.open(io.BytesIO(png)))


def test_only_picture_shaped_sources_are_offered(pictures: Pictures) -> None:
    assert pictures.sizes == {CAMERA: (64, 48), DEPTH: (1000, 700)}


def test_nothing_is_copied_unless_it_was_asked_for(pictures: Pictures, clock: Clock) -> None:
    readings = Readings()
    for _ in range(100):
        clock.secs += 0.1
        pictures.take(readings)
    assert readings.num_read == 0
    assert not pictures.ask(CAMERA)
    for _ in range(100):  # 10 s of which ASKED_SECS are of interest
        clock.secs += 0.1
        pictures.take(readings)
    assert 1 <= pictures.num_copies(CAMERA) == readings.num_read <= ASKED_SECS / COPY_SECS + 1
    assert pictures.num_copies(DEPTH) == 0
    assert not pictures.ask(CAMERA)


def test_a_copy_does_not_change_with_the_memory_that_it_is_of(pictures: Pictures, clock: Clock) -> None:
    readings = Readings()
    assert pictures.newest(CAMERA) is None
    pictures.ask(CAMERA)
    readings.arrays[1][:] = (10, 20, 30)
    pictures.take(readings)
    readings.arrays[1][:] = 99  # the slot is overwritten
    first = pictures.newest(CAMERA)
    assert first is not None
    assert pixels(first.png).shape == (48, 64, 3)
    assert (pixels(first.png) == (10, 20, 30)).all()
    assert pictures.newest(CAMERA) is first  # encoded once
    clock.secs += COPY_SECS
    pictures.take(readings)
    second = pictures.newest(CAMERA)
    assert second is not None
    assert second.tag != first.tag
    assert pictures.ask(CAMERA)


def test_a_large_picture_is_copied_in_part(pictures: Pictures) -> None:
    readings = Readings()
    readings.arrays[2][:] = np.linspace(0, 1, 1000, dtype=np.float32)
    pictures.ask(DEPTH)
    pictures.take(readings)
    found = pictures.newest(DEPTH)
    assert found is not None
    assert pixels(found.png).shape == (175, 250)  # every fourth row and column
    assert (pixels(found.png)[0, 0], pixels(found.png)[0, -1]) == (0, 254)


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 1), (9, 11, 3)])
def test_a_file_has_the_pixels_of_the_picture(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert (pixels(to_png(picture)) == picture.reshape(shape if shape[-1] == 3 else shape[:2])).all()


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.25, 0.25, 0.25], [64, 64, 64]),
        ([-1.0, 0.0, 3.0], [0, 64, 255]),
        ([7.0, 7.0, 7.0], [0, 0, 0]),
        ([np.nan, 1.0, np.inf], [0, 255, 0]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
    ],
)
def test_floats_are_scaled_to_levels(values: list[float], levels: list[int]) -> None:
    picture = np.array([values], dtype=np.float32)
    assert pixels(to_png(picture)).tolist() == [levels]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Page, Readings]]:
    """A page whose session has pictures; the camera's are wanted."""
    page, readings = Page(tmp_path, 20), Readings()
    page.feed.readings = ReadingsFeed(SPECS)
    page.take_in()
    page.feed.readings.pictures.ask(CAMERA)
    yield page, readings
    page.store.close()


def ask(page: Page, name: str, **headers: str) -> Any:
    given = {"host": "127.0.0.1:8642"} | {key.replace("_", "-"): value for key, value in headers.items()}
    return page.ask("GET", f"/api/picture?name={quote(name, safe='')}", headers=given)


def test_the_route_returns_a_picture_and_not_the_same_one_again(served: tuple[Page, Readings]) -> None:
    page, readings = served
    assert ask(page, CAMERA).status == 204  # there is none yet
    page.feed.readings.pictures.take(readings)
    found = ask(page, CAMERA)
    assert (found.status, found.headers["content-type"]) == (200, "image/png")
    assert pixels(found.body).shape == (48, 64, 3)
    same = ask(page, CAMERA, if_none_match=found.headers["etag"])
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", found.headers["etag"])
    assert ask(page, CAMERA, if_none_match='"another"').status == 200


def test_the_first_request_waits_for_a_new_picture(served: tuple[Page, Readings]) -> None:
    page, readings = served
    pictures, num_looks = page.feed.readings.pictures, 0
    readings.arrays[2][:, 500:] = 1

    def num_copies(name: str) -> int:
        nonlocal num_looks
        num_looks += 1
        if num_looks == 3:  # a tick in between
            pictures.take(readings)
        return Pictures.num_copies(pictures, name)

    pictures.num_copies = num_copies  # type: ignore[method-assign]
    assert ask(page, DEPTH).status == 200
    assert num_looks == 3


def test_a_source_without_pictures_is_refused_in_one_line(served: tuple[Page, Readings]) -> None:
    page, _ = served
    for name in ("imu", "grid", "nothing"):
        found = ask(page, name)
        assert found.status == 404
        assert found.json["error"]["message"].endswith(f"give one of {CAMERA}, {DEPTH}")
    assert page.ask("GET", "/api/picture").status == 400
    assert page.ask("GET", "/api/picture?name=imu&name=depth").status == 400
    page.feed.readings = ReadingsFeed()
    assert "no source of this session has one" in ask(page, CAMERA).json["error"]["message"]


def test_sources_have_the_size_of_their_pictures(tmp_path: Path) -> None:
    page = Page(tmp_path, 20, ("imu", CAMERA))
    page.feed.readings = ReadingsFeed(SPECS)
    page.take_in()
    sources = {each["name"]: each["picture"] for each in page.ask("GET", "/api/sources").json["sources"]}
    assert sources == {"imu": None, CAMERA: [64, 48]}
    page.store.close()
