"""The bar that long work shows on stderr to who waits for it, and to nobody else."""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from kaltura_archiver.config import terminal_redraws
from kaltura_archiver.output.logs import logs_json
from kaltura_archiver.output.tables import readable_bytes

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

T = TypeVar("T")
# On which a bar is drawn now.
_CONSOLES: list[Console] = []


class SupportsWrite(Protocol):
    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


DRAWN_PER_SECOND = 4
# The rate is that of the last so many seconds.
RATE_SECONDS = 10.0


@contextmanager
def progress(
    what: str,
    items: Iterable[T],
    expected: Callable[[], int | None] = lambda: None,
    *,
    streamed: bool = False,
    moved: Callable[[], int] | None = None,
    told: Callable[[], Iterable[str]] = tuple,
) -> Iterator[Iterator[T]]:
    """The same items, counted by a bar for as long as this lasts, if there is somebody to look at it.

    How many are `expected` (about) is asked again and again. `moved` tells bytes, `told` what else is to be said: words
    of our own only, for they are shown as they are. `streamed` says that rows go to stdout meanwhile.
    """
    if not _looked_at(streamed=streamed):
        yield iter(items)
        return
    counted = _CountedItems(items)
    with _drawn(_Bar(what, lambda: counted.number, expected, "{:,}".format, moved, told)):
        yield counted


@contextmanager
def bytes_progress(what: str, moved: Callable[[], int], expected: Callable[[], int | None]) -> Iterator[None]:
    """A bar for so many bytes of those `expected`."""
    if not _looked_at(streamed=False):
        yield
        return
    with _drawn(_Bar(what, moved, expected, readable_bytes)):
        yield


def _looked_at(*, streamed: bool) -> bool:
    """Whether stderr is a terminal in front of which somebody waits, and on which nobody else writes."""
    if not sys.stderr.isatty() or not terminal_redraws() or logs_json():
        return False
    with suppress(OSError):
        if os.tcgetpgrp(sys.stderr.fileno()) != os.getpgrp():
            return False  # in the background
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    if sys.stdout.isatty():
        return not streamed
    # What reads a pipe may write on the terminal at any time: less, tee, the next kaltura-archiver.
    return not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


class _CountedItems(Iterator[T]):
    """The same items, and their number until now."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self.number = 0

    def __next__(self) -> T:
        item = next(self._items)
        self.number += 1
        return item


class _Bar:
    """What is shown: how far, how fast, how long still; in a second line what was moved and told."""

    def __init__(
        self,
        what: str,
        done: Callable[[], int],
        expected: Callable[[], int | None],
        shown: Callable[[int], str],
        moved: Callable[[], int] | None = None,
        told: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._what, self._done, self._expected, self._shown = what, done, expected, shown
        self._moved, self._told = moved, told
        self._began = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque()  # when so many bytes had been moved

    def lines(self, width: int) -> RenderableType:
        """At most two lines of at most that many columns."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        done, total = self._done(), self._expected()
        if total is None:
            told = f"{self._shown(done)} in {_clock(now - self._began)}"
        else:
            total = max(total, done, 1)
            told = f"{self._shown(done)}/{self._shown(total)} {100 * done // total:3}%"
            if done:
                # By the average: what is left is taken to be like what was.
                told += f" {_clock((now - self._began) / done * (total - done))} left"
        room = width - len(self._what) - len(told) - 2
        bar = ProgressBar(
            total, done, width=max(4, min(40, room)), pulse=total is None, complete_style="cyan", pulse_style="cyan"
        )
        first = Table.grid(padding=(0, 1))
        first.add_row(Text(self._what, no_wrap=True), bar, Text(told, no_wrap=True))
        more = [*self._bytes(now), *filter(None, self._told())]
        return Group(first, Text("  " + " · ".join(more), no_wrap=True, overflow="ellipsis")) if more else first

    def _bytes(self, now: float) -> Iterator[str]:
        if self._moved is None or not (moved := self._moved()):
            return
        self._samples.append((now, moved))
        while now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = (moved - before) / (now - since) if now > since else 0.0
        yield f"{readable_bytes(moved)} transferred, {readable_bytes(int(rate))}/s"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


@contextmanager
def _drawn(bar: _Bar) -> Iterator[None]:
    """Draw the bar again and again below whatever is logged; nothing is left of it in the end."""
    from rich.console import Console
    from rich.live import Live

    class Terminal(Console):
        def show_cursor(self, show: bool = True) -> bool:
            """A cursor that was never hidden need not be shown again, by whatever we are stopped or killed."""
            return False

    console = Terminal(file=sys.stderr, force_terminal=True, force_interactive=True, highlight=False)
    live = Live(
        get_renderable=lambda: bar.lines(console.width), console=console, refresh_per_second=DRAWN_PER_SECOND,
        transient=True, redirect_stdout=False,
    )  # fmt: skip
    above = _Above(console)
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)]
    before = [(handler, handler.setStream(above)) for handler in handlers]
    _CONSOLES.append(console)
    try:
        with live:
            yield
    finally:
        _CONSOLES.remove(console)
        for handler, stream in before:
            handler.setStream(stream)


class AboveTheBar:
    """Stdout for rows that a person sees: above the bar as long as there is one."""

    def __init__(self, stream: SupportsWrite) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if _CONSOLES:
            _CONSOLES[-1].out(text, end="")
        else:
            self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return sys.stdout.isatty()


class _Above:
    """Where log lines go meanwhile: above the bar, neither wrapped nor coloured."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        self._console.out(text, end="")

    def flush(self) -> None:
        """There is nothing to be flushed."""
