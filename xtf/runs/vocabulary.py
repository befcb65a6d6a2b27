"""What every token id spells, as bytes: kept in the run folder so that reading a run needs no tokenizer.

A token may hold part of a character; only the bytes of a whole sequence decode to text. :func:`read_vocabulary` takes
the pieces apart for byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM) and SentencePiece-style vocabularies (Llama 2,
Gemma), and falls back to the tokenizer's own decoding of single ids elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.characters import Spelt, readable, spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The bytes of every token id, and which ids are special (control tokens such as ``<|im_end|>``)."""

    pieces: tuple[bytes, ...]
    special: frozenset[int]

    def __len__(self) -> int:
        return len(self.pieces)

    def text(self, ids: Sequence[int] | NDArray[np.int32]) -> str:
        """Text of ``(n,)`` ids; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self.pieces[int(i)] for i in ids).decode("utf-8", errors="replace")

    def ordinary(self) -> list[str]:
        """The distinct texts of tokens that people could have written: not special, whole characters, not blank."""
        texts = (piece.decode("utf-8", "replace") for i, piece in enumerate(self.pieces) if i not in self.special)
        return sorted({text for text in texts if text.strip() and text.strip().isprintable() and "\ufffd" not in text})

    def alone(self, token_id: int) -> str:
        """Text of one id without its neighbours; bytes of a part of a character show as ``<E2>``."""
        return readable(self.pieces[token_id])

    def spell(self, ids: Sequence[int] | NDArray[np.int32]) -> list[Spelt]:
        """What each of ``(n,)`` tokens of one example spells; each part of a character is told the whole of it."""
        return spell([self.pieces[int(i)] for i in ids])

    def token_texts(self, ids: Sequence[int] | NDArray[np.int32]) -> list[str]:
        """One text for each of ``(n,)`` tokens. A character split over several tokens appears with the last of them.

        The earlier tokens of such a character show their bytes as ``<E2>``, ``<82>``, so that no token is invisible.
        """
        pairs = zip(self.spell(ids), ids, strict=True)
        return [one.text if one.part == one.parts else self.alone(int(i)) for one, i in pairs]

    def write(self, path: Path) -> None:
        """Write as a Parquet table with columns ``piece`` and ``special``, sealed."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from xtf.files import write_sealed

        special = [i in self.special for i in range(len(self.pieces))]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"piece": pa.array(self.pieces, pa.binary()), "special": special}), sink)
        write_sealed(path, sink.getvalue().to_pybytes())

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Read what :meth:`write` wrote.

        Raises:
            RunError: naming the file, if it is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from xtf.display import command
        from xtf.errors import RunError
        from xtf.files import read_sealed

        try:
            content = read_sealed(path)
        except RunError as error:
            repair = command("xtf", "score", path.parent.parent / "config.yaml")
            raise RunError(f"{error}. Repair it: {repair}") from None
        table = pq.ParquetFile(pa.BufferReader(content)).read()  # read_table would import pandas
        special = frozenset(np.flatnonzero(table["special"].to_pylist()).tolist())
        return cls(tuple(table["piece"].to_pylist()), special)


def read_vocabulary(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """Collect the bytes of every id that ``tokenizer`` knows."""
    size = max(len(tokenizer), max(tokenizer.get_vocab().values(), default=-1) + 1)
    names = tokenizer.convert_ids_to_tokens(list(range(size)))
    added = {i: token.content for i, token in tokenizer.added_tokens_decoder.items()}
    plain = [name for i, name in enumerate(names) if name is not None and i not in added]
    byte_level = _is_byte_level(plain)
    sentencepiece = not byte_level and any("\u2581" in name for name in plain)
    pieces = []
    for i, name in enumerate(names):
        if name is None:
            pieces.append(b"")
        elif i in added:
            pieces.append(added[i].encode("utf-8", errors="replace"))
        elif byte_level:
            pieces.append(bytes(_byte_of()[character] for character in name))
        elif sentencepiece:
            pieces.append(_sentencepiece(name))
        else:
            pieces.append(str(tokenizer.decode([i])).encode("utf-8", errors="replace"))
    special = frozenset(i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    return Vocabulary(tuple(pieces), special | frozenset(tokenizer.all_special_ids))


@cache
def _byte_of() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, reversed."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + position): byte for position, byte in enumerate(others)})
    return table


def _is_byte_level(names: Sequence[str]) -> bool:
    known = _byte_of().keys()
    return "\u0120" in "".join(names) and all(known >= set(name) for name in names)


def _sentencepiece(name: str) -> bytes:
    if re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", name):
        return bytes([int(name[3:5], 16)])
    return name.replace("\u2581", " ").encode("utf-8", errors="replace")
