"""Batches by token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xtf.tokens import TokenizedExample


def batches(examples: Sequence[TokenizedExample], tokens_per_batch: int) -> Iterator[list[int]]:
    """Yield positions of ``examples`` in batches of at most ``tokens_per_batch`` padded tokens, longest first.

    Sorting by length keeps padding small; longest first shows at once whether memory suffices. An example longer than
    the budget gets a batch of its own.
    """
    order = sorted(range(len(examples)), key=lambda position: (-len(examples[position]), position))
    batch: list[int] = []
    width = 0
    for position in order:
        if batch and (len(batch) + 1) * width > tokens_per_batch:
            yield batch
            batch = []
        if not batch:
            width = len(examples[position])
        batch.append(position)
    if batch:
        yield batch
