"""Held-out work spread over processes, here threads that meet where the processes would."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from torch import distributed

from xtf.evaluation.processes import Processes


@pytest.mark.parametrize("items", [["a" * n for n in (5, 1, 9, 2, 2, 7, 3)], ["only one"], []])
def test_each_item_is_worked_on_once_and_all_processes_get_all_results(
    items: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3
    met, given, done = threading.Barrier(count), dict[int, Any](), list[list[str]]()

    def gather(everybody: list[Any], own: Any) -> None:
        given[threading.get_ident()] = own
        met.wait(10)
        everybody[:] = given.values()
        met.wait(10)

    def work(part: Any) -> list[str]:
        done.append(list(part))
        return [item.upper() for item in part]

    monkeypatch.setattr(distributed, "all_gather_object", gather)
    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(lambda index: Processes(index, count).spread(items, work), range(count)))
    assert found == [[item.upper() for item in items]] * count
    assert sorted(item for part in done for item in part) == sorted(items)
    sizes = [sum(map(len, part)) for part in done]
    assert len(items) < count or max(sizes) - min(sizes) <= max(map(len, items))


def test_alone_all_work_is_ones_own() -> None:
    assert Processes().spread(["aa", "b"], lambda part: [len(item) for item in part]) == [2, 1]
