"""What the commands share: the services of a run, and how signals and exit statuses go."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kaltura_archiver import exits
from kaltura_archiver.errors import Exit, Stopped
from kaltura_archiver.run.services import Services

if TYPE_CHECKING:
    from kaltura_archiver.money.prices import Prices


log = logging.getLogger(__name__)


def _end_at_once(number: int, frame: object) -> NoReturn:
    """End here and now, as a kill would: every step leaves a state from which the same command goes on."""
    with suppress(OSError):
        os.write(2, b"error: interrupted\n")
    os._exit(Exit.INTERRUPTED)


def heed_second_interrupt() -> None:
    """Have the second Ctrl-C end the process at once, whatever it waits for; the first one is Python's."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # ignored in the background

    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, _end_at_once)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)


class Ended(click.exceptions.Exit):
    """The end of a command with the status `told`; the log of its run keeps what it would be without --tolerate."""

    def __init__(self, code: Exit, told: Exit) -> None:
        super().__init__(int(told))
        self.untolerated = code


@dataclass
class App(Services):
    """What the commands share: the services, and how a run is stopped and ends."""

    signal: int = 0

    tolerated: frozenset[Exit] = frozenset()  # see --tolerate
    _prices: dict[tuple[float | None, Path | None], Prices] = field(default_factory=dict)

    def prices(self, kaltura_price: float | None = None, price_table: Path | None = None) -> Prices:
        """The prices of these options, or else of the settings, read once; an old table is warned of."""
        from kaltura_archiver.money.prices import Prices

        kaltura_price = self.settings.kaltura_price if kaltura_price is None else kaltura_price
        asked = kaltura_price, price_table or self.settings.price_table
        if asked not in self._prices:
            self._prices[asked] = prices = Prices.load(*asked)
            if prices.stale:
                log.warning("the prices are of %s: look for newer ones (--price-table, PRICE_TABLE)", prices.as_of)
        return self._prices[asked]

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP ask the run to end after the entry in hand; a second SIGINT ends it at once."""
        heard, told = socket.socketpair()
        told.setblocking(False)

        def stop(number: int, frame: object) -> None:
            # No lock is taken here: the main thread may hold that of the event, and would wait for itself for ever.
            if self.signal and number == signal.SIGINT:
                _end_at_once(number, frame)
            self.signal = number
            self.stop.asked = True
            with suppress(BlockingIOError):
                told.send(bytes([number]))

        def heed() -> None:
            # Python calls `stop` in the main thread, and not while that waits if the signal came in the moment before:
            # so this is told by the signal itself, too.
            with heard:
                while (number := heard.recv(1)) != b"\0":
                    if number[0] in numbers:
                        self.stop.set()

        numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            numbers.remove(signal.SIGHUP)  # as nohup wants it
        before = {number: signal.signal(number, stop) for number in numbers}
        wakeup_before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=heed, name="signals", daemon=True).start()
        try:
            with self.exit_when_stopped():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup_before)
            with told:
                told.send(b"\0")

    @contextmanager
    def exit_when_stopped(self) -> Iterator[None]:
        """Within it, what was asked to stop ends the program with the signal's exit code."""
        try:
            yield
        except Stopped:
            self.exit(Exit.INTERRUPTED)

    def exit(self, *codes: Exit, tolerant: bool = True) -> NoReturn:
        """End with the worst of these, less what --tolerate names; a signal has the last word.

        Not `tolerant`: it is the run that failed, and not its entries.
        """
        tolerated = self.tolerated if tolerant else frozenset()
        told = exits.told(codes, by_signal=self.signal, tolerated=tolerated)
        raise Ended(exits.told(codes, by_signal=self.signal), told)


pass_app = click.make_pass_decorator(App)
