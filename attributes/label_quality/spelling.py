"""What token ids spell, kept with what was learned, so that a scorer can read the text that it judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.attribute import FitContext
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    import torch

_UNKNOWN = b"\x00"


@dataclass(frozen=True)
class Spelling:
    """The bytes of token ids.

    Attributes:
        pieces: Of each id from 0 on; ids beyond spell nothing that is known.
    """

    pieces: Sequence[bytes]

    @classmethod
    def of(cls, context: FitContext, examples: Sequence[TokenizedExample]) -> Spelling:
        """Of all ids up to the greatest in ``examples``."""
        greatest = max(int(example.input_ids.max()) for example in examples)
        return cls(context.pieces(np.arange(greatest + 1, dtype=np.int32)))

    @cached_property
    def ends_step(self) -> torch.Tensor:
        """``(ids,)`` bool: whether a token ends a sentence or a line."""
        import torch

        return torch.tensor([b"\n" in one or one.rstrip().endswith((b".", b"!", b"?")) for one in self.pieces])

    def read(self, ids: NDArray[np.int64]) -> tuple[str, NDArray[np.int64]]:
        """The text of ``(n,)`` ids, and ``(n + 1,)`` where in it each begins, in characters, and the last one ends.

        A token that begins inside a character begins where the character does.
        """
        known = len(self.pieces)
        pieces = [self.pieces[one] if one < known else _UNKNOWN for one in ids.tolist()]
        text = b"".join(pieces).decode("utf-8", "surrogateescape")
        code = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        alone = (code >= 0xDC80) & (code <= 0xDCFF)
        width = 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000)
        ends = np.cumsum(np.where(alone, 1, width))
        begins = np.cumsum([0, *(len(piece) for piece in pieces)])
        return text, np.searchsorted(ends, begins, side="right")

    def state(self) -> dict[str, torch.Tensor]:
        """All bytes, ``(bytes,)`` uint8, and the length of each piece, ``(ids,)`` int32."""
        import torch

        lengths = torch.tensor([len(piece) for piece in self.pieces], dtype=torch.int32)
        return {"bytes": torch.frombuffer(bytearray(b"".join(self.pieces)), dtype=torch.uint8), "lengths": lengths}

    @classmethod
    def of_state(cls, state: Mapping[str, torch.Tensor]) -> Spelling:
        """Restore what :meth:`state` returned, in its shapes."""
        text = state["bytes"].numpy().tobytes()
        ends = state["lengths"].cumsum(dim=0).tolist()
        return cls([text[start:end] for start, end in zip([0, *ends], ends, strict=False)])
