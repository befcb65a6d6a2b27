"""Batches by token budget, and the budget itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xtf.errors import RunError
from xtf.files import read_sealed_json, write_sealed_json
from xtf.runs.folder import RunFolder
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    from xtf.model import LoadedModel

CPU_TOKENS = 1024
"""On a CPU larger batches are no faster, and their activations leave its cache."""

ENOUGH_TOKENS = 4096
MOST_PADDING = 0.04
"""A batch of enough tokens to keep a device busy takes no example that makes padding a greater share of it."""

LEAST, MOST = 1024, 65536
"""Bounds of a budget fitted to an accelerator's memory; beyond the upper one matrix products gain nothing."""

_SHARE_OF_FREE = 0.5


class TokenBudget:
    """How many padded tokens a batch may hold: what fits the device, halved when memory runs out, and remembered.

    Args:
        folder: The run, which remembers a halved budget for the next start on the same kind of device.
        device: The kind of device: ``cpu``, ``cuda``.
        tokens: The budget to begin with.
        remembers: Whether to write a halved budget down; without it the folder is only read.

    Attributes:
        tokens: The budget now.
    """

    def __init__(self, folder: RunFolder, device: str, tokens: int, *, remembers: bool = True) -> None:
        self._folder, self._device, self._remembers = folder, device, remembers
        self.tokens = min(tokens, self._remembered() or tokens)

    def exceeded(self, tokens: int) -> None:
        """Take note that a batch of ``tokens`` padded tokens did not fit."""
        self.tokens = max(1, min(self.tokens, tokens // 2))
        if self._remembers:
            write_sealed_json(self._path, {"device": self._device, "tokens": self.tokens})

    @property
    def _path(self) -> Path:
        return budget_path(self._folder)

    def _remembered(self) -> int | None:
        try:
            found = read_sealed_json(self._path)
        except RunError:
            return None
        return int(found["tokens"]) if found.get("device") == self._device else None


def budget_path(folder: RunFolder) -> Path:
    """Where a run remembers a halved budget."""
    return folder.state / "batch.json"


def fitting_shard(device: str) -> int:
    """Examples in a shard on that kind of device: seconds of work on an accelerator, a minute or two on a CPU.

    A shard is what an interruption loses, and what batches of like lengths are chosen from.
    """
    return 256 if device == "cpu" else 2048


def fitting_tokens(loaded: LoadedModel) -> int:
    """Padded tokens whose activations fit half of the memory that is free on the model's device.

    A layer's forward pass holds, for each token, about four vectors of the hidden size and three of the intermediate
    size; half as much again is allowed for what kernels need. Logits and attention probabilities have bounds of their
    own and do not count.
    """
    import torch

    if loaded.device.type != "cuda":
        return CPU_TOKENS
    config = loaded.model.config.get_text_config()
    hidden = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    free, _ = torch.cuda.mem_get_info(loaded.device)
    return tokens_within(free, hidden, inner, loaded.dtype.itemsize)


def tokens_within(free: int, hidden: int, inner: int, itemsize: int) -> int:
    """The budget for ``free`` bytes and a model of those sizes, between :data:`LEAST` and :data:`MOST`."""
    for_each = 1.5 * itemsize * (4 * hidden + 3 * inner)
    return int(min(max(_SHARE_OF_FREE * free / for_each, LEAST), MOST))


def batches(examples: Sequence[TokenizedExample], budget: TokenBudget | int) -> Iterator[list[int]]:
    """Yield positions of ``examples`` in batches of at most ``budget`` padded tokens, longest first.

    Sorting by length keeps padding small, and a batch that is large enough ends where padding would grow; longest first
    shows at once whether memory suffices. An example longer than the budget gets a batch of its own. A budget that
    shrinks on the way holds for the batches that follow.
    """
    order = sorted(range(len(examples)), key=lambda position: (-len(examples[position]), position))
    batch: list[int] = []
    width = real = 0
    for position in order:
        length = len(examples[position])
        padded = (len(batch) + 1) * width
        limit = budget if isinstance(budget, int) else budget.tokens
        is_full = padded > limit or (padded > ENOUGH_TOKENS and padded - real - length > MOST_PADDING * padded)
        if batch and is_full:
            yield batch
            batch, real = [], 0
        if not batch:
            width = length
        batch.append(position)
        real += length
    if batch:
        yield batch
