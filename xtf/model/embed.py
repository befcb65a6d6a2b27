"""Embeddings of tokens and texts: from the base model without context, or from a sentence encoder with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import align_module_device
from numpy.typing import NDArray
from torch import Tensor

from xtf.errors import ModelError
from xtf.model.encoder import Encoder
from xtf.model.forward import Forward
from xtf.model.load import LoadedModel
from xtf.model.precision import in_float32
from xtf.runs.vocabulary import Vocabulary, read_vocabulary
from xtf.tokens import TokenBatch

ENCODER = "encoder:"
_IDS_PER_BATCH = 1024


class Embedder:
    """Embeds token ids and texts; what is computed once is remembered per id and source.

    A source is ``"hidden"`` (last hidden state of the token fed alone), ``"input"`` (row of the embedding matrix) or
    ``"encoder:PATH"`` (a sentence-transformers model).
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._forward: Forward | None = None
        self._vocabulary: Vocabulary | None = None
        self._encoders: dict[str, Encoder] = {}
        self._caches: dict[str, _RowCache] = {}

    @torch.no_grad()
    def embed_tokens(self, ids: NDArray[np.int64], source: str) -> Tensor:
        """Embed token ids without context: ``(k,)`` to ``(k, dim)`` float32. An encoder reads each one's text."""
        wanted = torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64)).to(self._loaded.device)
        if source == "input":
            embeddings: Any = self._loaded.model.get_input_embeddings()
            with align_module_device(embeddings):
                rows: Tensor = embeddings.weight[wanted]
            return rows.float()
        cache = self._caches.setdefault(source, _RowCache())
        missing = cache.missing(wanted)
        for start in range(0, len(missing), _IDS_PER_BATCH):
            part = missing[start : start + _IDS_PER_BATCH]
            cache.add(part, self._embed_new(part, source))
        return cache.rows(wanted)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str], source: str) -> Tensor:
        """Embed texts: ``(k, dim)`` float32, the mean over a text's tokens, or the encoder's sentence embedding.

        Raises:
            ModelError: when a text has no tokens.
        """
        if source.startswith(ENCODER):
            return self._encoder(source).embed_texts(texts)
        means = []
        for text in texts:
            ids = np.asarray(self._loaded.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)
            if not len(ids):
                raise ModelError(f"a text to embed has no tokens: {text!r}")
            means.append(self.embed_tokens(ids, source).mean(dim=0))
        return torch.stack(means)

    @torch.no_grad()
    def embed_batch(self, tokens: TokenBatch, source: str, prompts: bool = False) -> Tensor:
        """Embed the tokens of a batch: ``(batch, seq, dim)`` float32, NaN on padding.

        An encoder reads each example as a whole, so it embeds the prompt as well; special tokens stand there as line
        breaks. The other sources leave the prompt NaN unless it is asked for: a token that has no score needs no
        forward pass.
        """
        if source.startswith(ENCODER):
            return self._embed_in_context(tokens, self._encoder(source))
        wanted = tokens.attention_mask.bool() if prompts else tokens.is_response
        distinct, index = torch.unique(tokens.input_ids[wanted], return_inverse=True)
        rows = self.embed_tokens(distinct.cpu().numpy(), source)
        out = rows.new_full((*tokens.input_ids.shape, rows.shape[1]), torch.nan)
        out[wanted] = rows[index]
        return out

    def _embed_new(self, ids: Tensor, source: str) -> Tensor:
        if source == "hidden":
            if self._forward is None:
                self._forward = Forward(self._loaded)
            with in_float32(self._loaded.model):  # what tells tokens apart is small beside what all of them share
                return self._forward.last_hidden(ids[:, None])[:, 0].float()
        tokenizer: Any = self._loaded.tokenizer
        return self._encoder(source).embed_texts([str(tokenizer.decode([int(i)])) for i in ids])

    def _embed_in_context(self, tokens: TokenBatch, encoder: Encoder) -> Tensor:
        if self._vocabulary is None:
            self._vocabulary = read_vocabulary(self._loaded.tokenizer)
        out: Tensor | None = None
        for row, length in enumerate(tokens.lengths.tolist()):
            text, spans = text_and_spans(tokens.input_ids[row, :length].tolist(), self._vocabulary)
            pieces = encoder.embed_pieces(text, spans)
            if out is None:
                out = pieces.new_full((*tokens.input_ids.shape, pieces.shape[1]), torch.nan)
            out[row, :length] = pieces
        if out is None:
            raise ModelError("a batch without examples has no embeddings")
        return out

    def _encoder(self, source: str) -> Encoder:
        if not source.startswith(ENCODER):
            raise ModelError(f"no embedding source named {source!r}. Known: hidden, input, encoder:PATH")
        if source not in self._encoders:
            self._encoders[source] = Encoder(source.removeprefix(ENCODER), self._loaded.device)
        return self._encoders[source]


class _RowCache:
    """Rows of a growing table, found by token id."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._table: Tensor | None = None

    def missing(self, ids: Tensor) -> Tensor:
        return torch.tensor([i for i in sorted(set(ids.tolist())) if i not in self._slots], dtype=torch.int64).to(ids)

    def add(self, ids: Tensor, rows: Tensor) -> None:
        used = len(self._slots)
        if self._table is None or used + len(rows) > len(self._table):
            grown = rows.new_empty(max(2 * used, used + len(rows)), rows.shape[1])
            if self._table is not None:
                grown[:used] = self._table[:used]
            self._table = grown
        self._table[used : used + len(rows)] = rows
        self._slots.update({i: used + position for position, i in enumerate(ids.tolist())})

    def rows(self, ids: Tensor) -> Tensor:
        if self._table is None:
            raise ModelError("no token ids to embed")
        return self._table[torch.tensor([self._slots[i] for i in ids.tolist()], dtype=torch.int64).to(ids)]


def text_and_spans(ids: Sequence[int], vocabulary: Vocabulary) -> tuple[str, NDArray[np.int64]]:
    """Return the text of ids, and where in it each one lies: ``(n, 2)``, in characters.

    Tokens that hold parts of one character all span that character; special tokens become line breaks.
    """
    pieces = [b"\n" if i in vocabulary.special else vocabulary.pieces[i] for i in ids]
    byte_ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    byte_starts = byte_ends - [len(piece) for piece in pieces]
    escaped = b"".join(pieces).decode("utf-8", errors="surrogateescape")  # a stray byte becomes one surrogate
    codes = np.frombuffer(escaped.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    stray = (codes >= 0xDC80) & (codes <= 0xDCFF)
    sizes = np.where(stray, 1, 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)).astype(np.int64)
    ends = np.cumsum(sizes)
    first = np.searchsorted(ends, byte_starts, side="right")
    last = np.searchsorted(ends - sizes, byte_ends, side="left")
    text = "".join("\ufffd" if odd else character for character, odd in zip(escaped, stray.tolist(), strict=True))
    return text, np.stack([first, np.maximum(first, last)], axis=1)
