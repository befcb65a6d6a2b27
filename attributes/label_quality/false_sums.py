"""What a sum that fails says of its tokens: that one of them is wrong, for certain; and which of them, most likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .checks import FALSE_RESULT, IN_FALSE_SUM
from .window import Window

if TYPE_CHECKING:
    import torch

_TRUSTED = 0.9
"""How often a sum that fails has a mistake in it; else it was read otherwise than it was meant."""
_RESULT_ODDS = 3.0
"""How much likelier a result is wrong than a number that it was computed from: people copy better than they compute."""
_UNSUSPECTED = 0.5
"""A false sum blames its tokens only if with this probability none of them is wrong by what was known beforehand."""
_NEVER_SURE = 1e-9


def blame_false_sums(wrong: torch.Tensor, window: Window) -> torch.Tensor:
    """The probability that each of ``n`` tokens is wrong, given that where sums fail something is.

    Of the tokens side by side in false sums at least one is wrong, each with the probability that it had beforehand
    over that of any being wrong. A right side counts as one, with the greatest probability of its tokens. Where the
    mistake is suspected already, nothing is changed: it would fall on the tokens beside it.

    Args:
        wrong: ``(n,)`` float32, the probability beforehand.
        window: Of the ``n`` tokens.

    Returns:
        ``(n,)`` float32, nowhere below ``wrong``.
    """
    import torch

    false = window.sums >= IN_FALSE_SUM
    result = window.sums == FALSE_RESULT
    run, part = _stretches(false, window.row), _stretches(window.sums, window.row)
    before = wrong.double().clamp(_NEVER_SURE, 1.0 - _NEVER_SURE)
    most = torch.zeros_like(before).scatter_reduce_(0, part, before, "amax")[part]
    odds = torch.where(result, _RESULT_ODDS * most / (1.0 - most), before / (1.0 - before))
    first = torch.ones_like(false)
    first[1:] = part[1:] != part[:-1]
    counted = torch.where(result & ~first, 0.0, -torch.log1p(odds))
    none = torch.zeros_like(before).index_add_(0, run, counted)[run]
    blamed = _TRUSTED * odds / (1.0 + odds) / -torch.expm1(none)
    free = torch.zeros_like(before).index_add_(0, run, torch.log1p(-before))[run].exp() > _UNSUSPECTED
    return torch.where(false & free, torch.maximum(before, blamed.clamp(max=1.0)), wrong.double()).to(wrong.dtype)


def steps_of_false_sums(window: Window, planted: torch.Tensor) -> torch.Tensor:
    """``(n,)`` bool: tokens of sentences or lines with a sum that fails and that no mistake was planted in.

    Args:
        window: Of ``n`` tokens.
        planted: ``(n,)`` bool; these are never among them.
    """
    import torch

    false = window.sums >= IN_FALSE_SUM
    run = _stretches(false, window.row)
    touched = torch.zeros_like(false).index_put((run[planted],), torch.tensor(True))[run]
    return torch.isin(window.step, window.step[false & ~touched]) & ~planted


def _stretches(values: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """``(n,)`` int64: a number for each stretch of equal values side by side in one row."""
    import torch

    begins = torch.ones_like(values, dtype=torch.bool)
    begins[1:] = (values[1:] != values[:-1]) | (row[1:] != row[:-1])
    return begins.cumsum(dim=0) - 1
