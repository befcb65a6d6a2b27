"""Short arithmetic with worked steps: rows that a small model can learn, and whose answers a metric can check."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Row = dict[str, str]


def arithmetic_rows(count: int, seed: int = 0, name: str = "sum") -> list[Row]:
    """Distinct problems of two numbers with their steps; the answer ends in ``#### RESULT``, as GSM8K's do.

    A third each are sums of two-digit numbers, differences of them, and products with a one-digit number.

    Args:
        count: How many; the first rows of a longer list are those of a shorter one.
        seed: Decides all of them.
        name: Ids are ``NAME-0001`` and on.

    Raises:
        ValueError: more than there are (6,000).
    """
    if count > MOST:
        raise ValueError(f"there are {MOST} different problems, not {count}")
    random = np.random.default_rng([seed, 7])
    seen: set[str] = set()
    rows: list[Row] = []
    while len(rows) < count:
        question, answer = _KINDS[len(rows) % len(_KINDS)](random)
        if question not in seen:
            seen.add(question)
            rows.append({"id": f"{name}-{len(rows) + 1:04d}", "question": question, "answer": answer})
    return rows


MOST = 6000
"""Far from exhausting any of the three kinds, so that drawing new ones stays quick."""


def _sum(random: np.random.Generator) -> tuple[str, str]:
    a, b = (int(n) for n in random.integers(11, 100, 2))
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    steps = [
        f"Tens: {a // 10 * 10} + {b // 10 * 10} = {tens}.",
        f"Ones: {a % 10} + {b % 10} = {ones}.",
        f"Together: {tens} + {ones} = {a + b}.",
    ]
    return f"What is {a} + {b}?", _answer(steps, a + b)


def _difference(random: np.random.Generator) -> tuple[str, str]:
    b, a = sorted(int(n) for n in random.integers(11, 100, 2))
    left = a - b // 10 * 10
    steps = [
        f"Take away the tens: {a} - {b // 10 * 10} = {left}.",
        f"Take away the ones: {left} - {b % 10} = {a - b}.",
    ]
    return f"What is {a} - {b}?", _answer(steps, a - b)


def _product(random: np.random.Generator) -> tuple[str, str]:
    a, b = int(random.integers(2, 10)), int(random.integers(101, 1000))
    steps = [
        f"Hundreds: {a} × {b // 100 * 100} = {a * (b // 100 * 100)}.",
        f"The rest: {a} × {b % 100} = {a * (b % 100)}.",
        f"Together: {a * (b // 100 * 100)} + {a * (b % 100)} = {a * b}.",
    ]
    return f"What is {a} × {b}?", _answer(steps, a * b)


def _answer(steps: list[str], result: int) -> str:
    return "\n".join([*steps, f"#### {result}"])


_KINDS: tuple[Callable[[np.random.Generator], tuple[str, str]], ...] = (_sum, _difference, _product)
