"""Held-out work spread over the processes of a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T", bound=Sized)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Processes:
    """Processes that hold the same model and go through the same steps.

    Attributes:
        index: Which of them this is, from 0.
        count: How many there are; of more than one, torch's process group is set up.
    """

    index: int = 0
    count: int = 1

    def part(self, items: Sequence[T]) -> list[int]:
        """The places of the items that this process takes: as many as each other one, of like lengths."""
        return sorted(range(len(items)), key=lambda place: len(items[place]))[self.index :: self.count]

    def spread(self, items: Sequence[T], work: Callable[[Sequence[T]], Iterable[V]]) -> list[V]:
        """What ``work`` gives for each item, in order: each process works on its part, and gets the results of all.

        Every process must come by with the same items.
        """
        part = self.part(items)
        own = dict(zip(part, work([items[place] for place in part]), strict=True)) if part else {}
        found = {place: value for each in self._gathered(own) for place, value in each.items()}
        return [found[place] for place in range(len(items))]

    def _gathered(self, own: dict[int, V]) -> list[dict[int, V]]:
        if self.count == 1:
            return [own]
        from torch import distributed

        everybody: list[dict[int, V]] = [{} for _ in range(self.count)]
        distributed.all_gather_object(everybody, own)
        return everybody
