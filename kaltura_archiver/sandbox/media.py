"""Small real media files for the sandbox, made in memory: the same bytes for the same arguments, others per seed."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zlib
from array import array
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

FRAMES_PER_SECOND = 10
SAMPLE_RATE = 44100
SAMPLES_PER_FRAME = 1024  # what an AAC packet holds


def make_mp4(
    *,
    seconds: float = 2.0,
    width: int = 320,
    height: int = 180,
    seed: int = 0,
    exact_bytes: int | None = None,
    text: str | None = None,
) -> bytes:
    """An MP4 with H.264 video and a quiet AAC tone; width and height are even.

    `exact_bytes` pads it to that size with a `free` box, which players skip. Raises ValueError where the video alone
    is larger, or less than 8 bytes (a box's header) smaller. `text` becomes the title.
    """
    container, buffer = _open("mp4", text)
    video = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
    assert isinstance(video, VideoStream)  # noqa: S101 - what add_stream gives depends on the codec's name
    video.width, video.height, video.pix_fmt = width, height, "yuv420p"
    # More than one thread may cut the picture differently on another machine.
    video.options = {"preset": "ultrafast", "crf": "30", "threads": "1"}
    video.codec_context.flags |= av.codec.context.Flags.bitexact
    audio = _add_audio(container)
    with container:
        for number in range(max(1, round(seconds * FRAMES_PER_SECOND))):
            frame = _stripes(width, height, seed, number, text or "")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        _tone(container, audio, seconds, seed)
    return _padded(buffer.getvalue(), exact_bytes)


def make_audio(*, seconds: float = 2.0, seed: int = 0, exact_bytes: int | None = None) -> bytes:
    """An M4A with an AAC tone."""
    container, buffer = _open("ipod", None)
    audio = _add_audio(container)
    with container:
        _tone(container, audio, seconds, seed)
    return _padded(buffer.getvalue(), exact_bytes)


def make_image(*, width: int = 64, height: int = 36, seed: int = 0) -> bytes:
    """A PNG."""
    colours = hashlib.sha256(str(seed).encode()).digest()
    rows = b"".join(
        b"\0" + b"".join(bytes(((x + colours[0]) % 256, (y + colours[1]) % 256, colours[2])) for x in range(width))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def decoded_frames(data: bytes) -> int:
    """How many pictures (or, without video, blocks of sound) can be decoded. Raises ValueError if it is no media."""
    try:
        with av.open(io.BytesIO(data), "r") as container:
            streams = container.streams.video or container.streams.audio
            if not streams:
                raise ValueError("neither video nor audio in it")
            return sum(1 for _ in container.decode(streams[0]))
    except av.FFmpegError as error:
        raise ValueError(f"not decodable: {error}") from error


def _open(kind: str, title: str | None) -> tuple[OutputContainer, io.BytesIO]:
    buffer = io.BytesIO()
    container = av.open(buffer, "w", format=kind, options={"fflags": "+bitexact"})
    if title:
        container.metadata["title"] = title
    return container, buffer


def _add_audio(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
    assert isinstance(stream, AudioStream)  # noqa: S101 - as above
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream


def _stripes(width: int, height: int, seed: int, number: int, text: str) -> VideoFrame:
    """Slanted stripes that move, in colours of the seed and the text."""
    look = hashlib.sha256(f"{seed} {text}".encode()).digest()
    stripe = 8 + look[0] % 24
    row = bytes(32 + (x // stripe * 37 + look[1]) % 192 for x in range(width + height + 256))
    frame = VideoFrame(width, height, "yuv420p")
    luma, *chroma = frame.planes
    padding = bytes(luma.line_size - width)
    luma.update(b"".join(row[y + number * 4 % 256 : y + number * 4 % 256 + width] + padding for y in range(height)))
    for plane, level in zip(chroma, look[2:4], strict=True):
        plane.update(bytes([64 + level // 2]) * plane.buffer_size)
    frame.pts = number
    frame.time_base = Fraction(1, FRAMES_PER_SECOND)
    return frame


def _tone(container: OutputContainer, stream: AudioStream, seconds: float, seed: int) -> None:
    step = 2 * math.pi * (220 + seed % 64 * 20) / SAMPLE_RATE
    for number in range(max(1, round(seconds * SAMPLE_RATE / SAMPLES_PER_FRAME))):
        start = number * SAMPLES_PER_FRAME
        frame = AudioFrame("fltp", "mono", SAMPLES_PER_FRAME)
        samples = array("f", (0.05 * math.sin(step * n) for n in range(start, start + SAMPLES_PER_FRAME)))
        plane = frame.planes[0]
        plane.update(samples.tobytes().ljust(plane.buffer_size, b"\0"))
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _padded(data: bytes, exact_bytes: int | None) -> bytes:
    missing = 0 if exact_bytes is None else exact_bytes - len(data)
    if missing == 0:
        return data
    if missing < 8:
        raise ValueError(f"{exact_bytes} bytes cannot be had: the media alone has {len(data)}")
    return data + struct.pack(">I4s", missing, b"free") + bytes(missing - 8)
