"""Video files of a data set: H.264 in MP4, one frame for each row, by PyAV."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from sage.errors import DataError, InputError
from sage.gr00t_integration.dataset.packages import load_av


class VideoWriter:
    """One file. Frames are (height, width, 3) uint8, RGB, of one even size; close it, also after an error."""

    def __init__(self, path: Path, *, fps: int, height: int, width: int) -> None:
        check_size(path.name, height, width)
        av = load_av()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.num_frames = 0
        self._av: Any = av
        self._shape = (height, width, 3)
        self._container: Any = av.open(str(path), "w")
        self._stream: Any = self._container.add_stream("libx264", rate=fps, options={"g": "10", "crf": "18"})
        self._stream.height = height
        self._stream.width = width
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, fps)

    def write(self, frame: np.ndarray) -> None:
        if frame.shape != self._shape:
            raise InputError(f"a frame of shape {frame.shape} follows frames of {self._shape}: keep one size")
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self.num_frames
        self._container.mux(self._stream.encode(picture))
        self.num_frames += 1

    def close(self) -> None:
        """Write what is left; safe to call twice."""
        container, self._container = self._container, None
        if container is not None:
            container.mux(self._stream.encode(None))
            container.close()


def check_size(name: str, height: int, width: int) -> None:
    """InputError for frames that H.264 cannot hold."""
    if height % 2 or width % 2 or not height or not width:
        raise InputError(f"{name}: frames are {height} x {width}: H.264 needs even sizes: scale them")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    num_frames: int
    height: int
    width: int
    fps: float
    codec: str


def video_facts(path: Path) -> VideoFacts:
    """From the file's packets, without decoding. DataError where it cannot be read."""
    av = load_av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            num = sum(1 for packet in container.demux(stream) if packet.size)
            return VideoFacts(
                num_frames=num,
                height=stream.height,
                width=stream.width,
                fps=float(stream.average_rate or 0),
                codec=stream.codec_context.name,
            )
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise DataError(f"{path}: not a video that can be read: {error}: record it again") from error
