"""Work done ahead of its use, by threads, in order and within bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], *, threads: int = 1, room: int = 1) -> Iterator[R]:
    """``work(item)`` for each item, in their order; what an item or its work raises is raised in its turn.

    At most `room` results are there or in the making beside the one in use. Items are taken one at a time, by the
    threads. Whoever stops iterating does not wait for work under way: what it ends with is dropped.
    """
    source = iter(items)
    order: SimpleQueue[Future[R] | None] = SimpleQueue()
    free = threading.Semaphore(room)
    taking = threading.Lock()
    ended = threading.Event()

    def take() -> tuple[T, Future[R]] | None:
        with taking:
            if ended.is_set():
                return None
            future: Future[R] = Future()
            try:
                item = next(source)
            except StopIteration:
                order.put(None)
            except BaseException as error:  # noqa: BLE001 - raised where the result is used
                future.set_exception(error)
                order.put(future)
            else:
                order.put(future)
                return item, future
            ended.set()
            return None

    def worker() -> None:
        while True:
            free.acquire()
            taken = take()
            if taken is None:
                free.release()  # for the next thread to see that it is over
                return
            item, future = taken
            try:
                future.set_result(work(item))
            except BaseException as error:  # noqa: BLE001 - likewise
                future.set_exception(error)

    for number in range(threads):
        threading.Thread(target=worker, name=f"ahead-{number}", daemon=True).start()
    try:
        while (future := order.get()) is not None:
            result = future.result()
            free.release()
            yield result
    finally:
        ended.set()
        free.release()
