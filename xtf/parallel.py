"""Work on shards in threads: numpy, Parquet and checksums all run beside each other there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
