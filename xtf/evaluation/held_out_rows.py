"""What every arm is evaluated on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from xtf.files import digest
from xtf.tokens import TokenizedExample
from xtf.training.rows import TrainingRow


@dataclass(frozen=True)
class HeldOut:
    """What every arm is evaluated on.

    Attributes:
        examples: Prompt and reference response.
        rows: Example id to the row it was read from, as far as metrics may need more than its texts.
        in_training: Ids of the examples that were refused because a training row has the same tokens.
    """

    examples: Sequence[TokenizedExample] = ()
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    in_training: Sequence[str] = ()

    def apart_from(self, trained: Iterable[TokenizedExample]) -> HeldOut:
        """Without the examples whose tokens a training row has too; ids and file names do not count."""
        seen = {_tokens_digest(example) for example in trained} if self.examples else set()
        fresh = [example for example in self.examples if _tokens_digest(example) not in seen]
        kept = {example.example_id for example in fresh}
        refused = tuple(e.example_id for e in self.examples if e.example_id not in kept)
        return replace(self, examples=fresh, in_training=refused)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the examples and rows."""
        rows = {name: self.rows[name] for example in self.examples if (name := example.example_id) in self.rows}
        return digest(digest_of(self.examples), json.dumps(rows, sort_keys=True, default=repr))


def _tokens_digest(example: TokenizedExample) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(example.input_ids, np.int32).tobytes()).digest()


def digest_of(items: Sequence[TrainingRow] | Sequence[TokenizedExample]) -> str:
    """SHA-256 of ids, tokens and what is learnt of each; the order counts."""
    hashed = hashlib.sha256()
    for item in items:
        protected = () if isinstance(item, TrainingRow) else (item.is_protected,)
        hashed.update(f"{item.example_id}\n{len(item)}\n".encode())
        for array in (item.input_ids, item.is_response, item.weights, *protected):
            hashed.update(array.tobytes())
    return hashed.hexdigest()
