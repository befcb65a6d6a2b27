"""Folds: no example is judged by learners that saw a copy of one of its fold."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FOLDS = 3


def folds_of(example_ids: Sequence[str]) -> torch.Tensor:
    """``(examples,)`` int64: the fold of each, by its id alone."""
    import torch

    return torch.tensor([zlib.crc32(one.encode("utf-8", "surrogatepass")) % FOLDS for one in example_ids])
