"""Token shards, handed on while others are still being written.

Tokenising goes on in a thread of its own while the model loads and scores what is there: with an accelerator at work
the processor would be idle otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

from xtf.engine.token_files import TokenSource, tokenise
from xtf.runs.folder import RunFolder, ShardRecord


class TokenShards:
    """The token shards of a run in order, each as soon as it is written. May be gone through more than once."""

    def __init__(self, written: Iterable[ShardRecord] = (), *, complete: bool = True) -> None:
        self._written = list(written)
        self._complete = complete
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[ShardRecord]:
        """Yield every shard, waiting for those that are yet to be written.

        Raises:
            DataError: and whatever else stopped the tokenising.
        """
        index = 0
        while True:
            with self._changed:
                while not self._complete and index == len(self._written):
                    self._changed.wait()
                if index == len(self._written):
                    if self._error is not None:
                        raise self._error
                    return
                record = self._written[index]
            yield record
            index += 1

    def wait(self) -> list[ShardRecord]:
        """Every shard, once all are written."""
        return list(self)

    @property
    def tokens(self) -> int | None:
        """Tokens in all shards, or None while more are being written."""
        with self._changed:
            return sum(int(record.facts["tokens"]) for record in self._written) if self._complete else None

    def add(self, record: ShardRecord) -> None:
        """Hand on a shard that is written."""
        with self._changed:
            self._written.append(record)
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """Say that no more shards will come, or why."""
        with self._changed:
            self._complete, self._error = True, error
            self._changed.notify_all()


@contextmanager
def tokenising(folder: RunFolder, source: TokenSource) -> Iterator[TokenShards]:
    """Tokenise in a thread for as long as the ``with`` block lasts, or to the end of the data if it ends well.

    Raises:
        DataError: see :func:`xtf.data.read_examples`; at the latest when the block ends.
    """
    shards, stopped = TokenShards(complete=False), threading.Event()
    source = replace(source, tokenizer=deepcopy(source.tokenizer))  # a fast tokenizer serves one thread at a time

    def work() -> None:
        try:
            tokenise(folder, source, written=shards.add, stopped=stopped)
            shards.close()
        except BaseException as error:
            shards.close(error)

    thread = threading.Thread(target=work, name="xtf-tokenise", daemon=True)
    thread.start()
    try:
        yield shards
        shards.wait()
    finally:
        stopped.set()
        thread.join()
