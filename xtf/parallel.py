"""Work on shards in threads: numpy, Parquet, checksums and models all run beside each other there."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

WORKERS = min(4, os.cpu_count() or 1)


def in_order(function: Callable[[Item], Made], items: Iterable[Item], workers: int = WORKERS) -> Iterator[Made]:
    """Yield ``function(item)`` in the order of ``items``; one more result than there are workers is in the making."""
    remaining = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="xtf") as pool:
        ahead: deque[Future[Made]] = deque(pool.submit(function, item) for item in islice(remaining, workers))
        try:
            while ahead:
                ahead.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def ahead(items: Iterable[Item], depth: int = 1) -> Generator[Item]:
    """Yield ``items``, which a thread of its own makes up to ``depth`` ahead of whoever takes them."""
    made: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(last: bool, item: Item | BaseException | None) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                made.put((last, item), timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(False, item):
                    return
            put(True, None)
        except BaseException as error:
            put(True, error)

    threading.Thread(target=work, name="xtf-ahead", daemon=True).start()
    try:
        while True:
            last, item = made.get()
            if not last:
                yield item  # type: ignore[misc]
            elif isinstance(item, BaseException):
                raise item
            else:
                return
    finally:
        stopped.set()


@contextmanager
def behind() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Yield ``later(work)``, which does ``work`` in a thread, in order, one at a time.

    What a work raises, a later call does, or the end of the block. At most one work waits for another.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="xtf-behind") as pool:
        pending: deque[Future[object]] = deque()

        def later(work: Callable[[], object]) -> None:
            pending.append(pool.submit(work))
            while len(pending) > 1:
                pending.popleft().result()

        yield later
        while pending:
            pending.popleft().result()
