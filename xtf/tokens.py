"""Token-level containers: frozen, and checked once, at the door.

Conventions used everywhere in XTF:

* A score at position ``i`` speaks of the *target* token ``input_ids[i]`` as predicted from ``input_ids[:i]``.
* *Response* tokens are the supervised targets: what the assistant wrote, plus its end-of-turn token. Position 0 is
  never a response token, because nothing predicts it.
* *Protected* tokens are response tokens that no rule may call noise: end of turn and template tokens, and what
  ``data.always_learn`` names.
* A *ruling* is what the data's own flags and the rules of ``data`` say of a token before anything is scored. Tokens
  that they exclude from learning are no response tokens, so nothing downstream can learn them.
* The *weight* of a target is what it counts for in the loss unless it is noise: 1, or what a flag of the data says;
  prompt tokens weigh 0, or ``data.prompt_weight``.
* Scores are NaN wherever there is no response token. Batches are padded on the right.

Importing this module does not import torch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
RulingArray = NDArray[np.uint8]


class Ruling(IntEnum):
    """What flags and rules of the data have decided of a token; stored as uint8."""

    NONE = 0
    FLAGGED = 1
    """A flag of its row, turn or part says not to learn it."""
    NEVER = 2
    """``data.never_learn`` names it."""
    ALWAYS = 3
    """``data.always_learn`` names it."""
    EARLIER = 4
    """It belongs to an earlier turn under ``data.learn: last_turn``."""


EXCLUDING = (Ruling.FLAGGED, Ruling.NEVER, Ruling.EARLIER)
"""The rulings of tokens that stand in an assistant turn and are not learnt."""


def fold_of(example_id: str, folds: int) -> int:
    """The fold of an example, from 0: its id decides, in every process and on every day alike."""
    return zlib.crc32(example_id.encode("utf-8", "surrogatepass")) % folds


def usual_weights(is_response: BoolArray) -> FloatArray:
    """Weights where no flag and no setting says anything: 1 on response tokens, 0 elsewhere, ``(seq,)``."""
    return is_response.astype(np.float32)


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """One example as the model reads it.

    Attributes:
        example_id: Unique within a run.
        input_ids: ``(seq,)`` int32, prompt and response together.
        is_response: ``(seq,)`` bool, the supervised targets.
        is_protected: ``(seq,)`` bool, the response tokens that are never masked.
        weights: ``(seq,)`` float32, what each target counts for; if not given, 1 on response tokens and 0 elsewhere.
        rulings: ``(seq,)`` uint8, see :class:`Ruling`; if not given, none.
    """

    example_id: str
    input_ids: IntArray
    is_response: BoolArray
    is_protected: BoolArray
    weights: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    rulings: RulingArray = field(default_factory=lambda: np.zeros(0, np.uint8))

    def __post_init__(self) -> None:
        if not self.weights.size:
            object.__setattr__(self, "weights", usual_weights(self.is_response))
        if not self.rulings.size:
            object.__setattr__(self, "rulings", np.zeros(len(self), np.uint8))
        shape = self.input_ids.shape
        if self.input_ids.ndim != 1 or self.is_response.shape != shape or self.is_protected.shape != shape:
            raise ValueError(
                f"example {self.example_id!r}: input_ids, is_response and is_protected must be one-dimensional and "
                f"equally long, got {shape}, {self.is_response.shape}, {self.is_protected.shape}"
            )
        if (
            self.input_ids.dtype != np.int32
            or self.is_response.dtype != np.bool_
            or self.is_protected.dtype != np.bool_
        ):
            raise ValueError(f"example {self.example_id!r}: expected int32 input_ids and bool masks")
        if len(self) and self.is_response[0]:
            raise ValueError(f"example {self.example_id!r}: position 0 cannot be a response token; nothing predicts it")
        if np.any(self.is_protected & ~self.is_response):
            raise ValueError(f"example {self.example_id!r}: a protected token must be a response token")
        self._check_weights()

    def _check_weights(self) -> None:
        if self.weights.shape != self.input_ids.shape or self.rulings.shape != self.input_ids.shape:
            raise ValueError(f"example {self.example_id!r}: weights and rulings must be as long as input_ids")
        if not np.all(np.isfinite(self.weights)) or np.any(self.weights < 0) or np.any(self.weights[:1]):
            raise ValueError(f"example {self.example_id!r}: weights must be finite, not negative, and 0 at position 0")
        if np.any(self.weights[self.is_response] == 0) or np.any(np.isin(self.rulings[self.is_response], EXCLUDING)):
            raise ValueError(f"example {self.example_id!r}: a response token weighs something and is not excluded")

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    @property
    def in_turn(self) -> BoolArray:
        """``(seq,)`` bool: response tokens, and those of the same turns that are excluded from learning."""
        return self.is_response | np.isin(self.rulings, EXCLUDING)

    @property
    def is_learnable(self) -> BoolArray:
        """``(seq,)`` bool: response tokens with something to learn; the end of a turn alone is nothing."""
        always: BoolArray = self.rulings == Ruling.ALWAYS
        return self.is_response & (~self.is_protected | always)


TOKEN_COLUMNS: Mapping[str, type[np.generic]] = {
    "input_ids": np.int32,
    "is_response": np.bool_,
    "is_protected": np.bool_,
    "weights": np.float32,
    "rulings": np.uint8,
}
"""The list columns of ``tokens/``, in the order of the fields of a TokenizedExample."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Several examples, padded on the right.

    Attributes:
        input_ids: ``(batch, seq)`` int64; padding holds 0 (never read: see ``attention_mask``).
        attention_mask: ``(batch, seq)`` bool, True on real tokens.
        is_response: ``(batch, seq)`` bool, True on supervised targets.
        example_ids: One id per row.
        in_turn: ``(batch, seq)`` bool, True there and on the tokens of the same turns that are excluded from learning;
            if not given, ``is_response``.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    is_response: torch.Tensor
    example_ids: tuple[str, ...]
    in_turn: torch.Tensor = field(default=cast("torch.Tensor", None))

    def __post_init__(self) -> None:
        object.__setattr__(self, "in_turn", self.is_response if self.in_turn is None else self.in_turn)
        shape = self.input_ids.shape
        if len(shape) != 2 or self.attention_mask.shape != shape or self.is_response.shape != shape:
            raise ValueError(
                "input_ids, attention_mask and is_response must all be (batch, seq), got "
                f"{tuple(shape)}, {tuple(self.attention_mask.shape)}, {tuple(self.is_response.shape)}"
            )
        if len(self.example_ids) != shape[0]:
            raise ValueError(f"{len(self.example_ids)} example ids for {shape[0]} rows")

    @classmethod
    def collate(cls, examples: Sequence[TokenizedExample], device: torch.device | str = "cpu") -> TokenBatch:
        """Pad ``examples`` on the right to the longest of them and move them to ``device``."""
        import torch

        width = max((len(example) for example in examples), default=0)
        input_ids = np.zeros((len(examples), width), dtype=np.int64)
        attention_mask = np.zeros((len(examples), width), dtype=np.bool_)
        is_response, in_turn = (np.zeros((len(examples), width), dtype=np.bool_) for _ in range(2))
        for row, example in enumerate(examples):
            input_ids[row, : len(example)] = example.input_ids
            attention_mask[row, : len(example)] = True
            is_response[row, : len(example)] = example.is_response
            in_turn[row, : len(example)] = example.in_turn
        return cls(
            torch.from_numpy(input_ids).to(device),
            torch.from_numpy(attention_mask).to(device),
            torch.from_numpy(is_response).to(device),
            tuple(example.example_id for example in examples),
            torch.from_numpy(in_turn).to(device),
        )

    def to(self, device: torch.device) -> TokenBatch:
        """The same batch on a device; itself if it is there."""
        if self.input_ids.device == device:
            return self
        ids, mask, is_response, in_turn = (
            tensor.to(device) for tensor in (self.input_ids, self.attention_mask, self.is_response, self.in_turn)
        )
        return TokenBatch(ids, mask, is_response, self.example_ids, in_turn)

    @property
    def turns(self) -> list[list[tuple[int, int]]]:
        """For each row, start and end of every turn of the assistant, what is excluded from learning included."""
        edges = np.diff(np.pad(self.in_turn.cpu().numpy().astype(np.int8), ((0, 0), (1, 1))))
        starts, ends = ([np.flatnonzero(row == edge).tolist() for row in edges] for edge in (1, -1))
        return [list(zip(*row, strict=True)) for row in zip(starts, ends, strict=True)]

    @property
    def lengths(self) -> torch.Tensor:
        """``(batch,)`` int64, the number of real tokens of each row."""
        return self.attention_mask.sum(dim=1)
