"""One causal language model as the signal pass uses it: taken apart once, and checked to be what it seems.

At construction two short probes run. The first compares the decoder and the output head, run apart, with the model's
own logits (:class:`xtf.model.head.Head`); a model that computes its logits in a way not known there is run whole. The
second makes sure that later tokens never change earlier predictions, which is what lets padding go without a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xtf.errors import ModelError
from xtf.model.attention import bounded
from xtf.model.head import Head
from xtf.model.load import LoadedModel
from xtf.model.quantization import is_quantized
from xtf.model.tokenizer import quiet
from xtf.tokens import TokenBatch

Project = Callable[[Tensor], Tensor]


class Forward:
    """Hidden states and logits of one model.

    Args:
        loaded: The model.

    Raises:
        ModelError: when the model lets a prediction depend on later tokens or on padding, or computes no numbers.

    Attributes:
        loaded: The model.
        vocabulary: Columns of its logits.
        layers: Number of its layers.
        head: How hidden states become logits; None when only the whole model knows.
        needs_mask: Whether padding must be marked for this model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        model: Any = loaded.model
        config = model.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        self.layers = int(config.num_hidden_layers)
        self.needs_mask = False
        with quiet(), torch.no_grad():
            self.head = Head.find(model, self._probe())
            self._check_causal()

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Project]:
        """Run the model over ``(batch, seq)`` ids.

        Returns:
            ``(batch, seq, dim)``, and the function that turns ``(n, dim)`` rows of it into ``(n, vocab)`` logits.
        """
        mask = attention_mask.long() if self.needs_mask else None
        if self.head is None:
            model: Any = self.loaded.model
            with bounded(model, self.layers, input_ids):
                logits = model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits
            return logits.to(input_ids.device), _same
        return self._decode(self.head.decoder, input_ids, mask), self._project

    def last_hidden(self, input_ids: Tensor) -> Tensor:
        """Return the last hidden states, after the final norm, of unpadded ids: ``(batch, seq, dim)``."""
        if self.head is not None:
            return self._decode(self.head.decoder, input_ids, None)
        model: Any = self.loaded.model
        output = model(input_ids=input_ids, use_cache=False, output_hidden_states=True)
        last: Tensor = output.hidden_states[-1]
        return last.to(input_ids.device)

    def probe_batch(self) -> TokenBatch:
        """One row of eight ids, the second half of it a response."""
        ids = self._probe()
        is_real = torch.ones_like(ids, dtype=torch.bool)
        return TokenBatch(ids, is_real, is_real.cumsum(1) > ids.shape[1] // 2, ("probe",))

    def _decode(self, decoder: Any, input_ids: Tensor, mask: Tensor | None) -> Tensor:
        with bounded(self.loaded.model, self.layers, input_ids):
            output = decoder(input_ids=input_ids, attention_mask=mask, use_cache=False)
        states: Tensor = output[0]
        return states.to(input_ids.device)

    def _project(self, rows: Tensor) -> Tensor:
        """``(n, dim)`` to ``(n, vocab)``, on the same device wherever the head is."""
        assert self.head is not None
        return self.head.logits(rows).to(rows.device)

    def _probe(self) -> Tensor:
        """``(1, 8)`` distinct ids where the vocabulary allows: low, but past the usual special tokens."""
        return torch.arange(7, 63, 7, device=self.loaded.device).remainder(self.vocabulary)[None]

    def _check_causal(self) -> None:
        ids = self._probe()
        real = torch.ones_like(ids)
        kept = ids.shape[1] // 2
        whole, _ = self.states(ids, real)
        if not torch.isfinite(whole).all():
            raise ModelError(
                f"{type(self.loaded.model).__name__}: its states are not finite, so its weights are damaged or have "
                "diverged in training. Use other weights, or model.dtype: float32 if they overflow."
            )
        other = torch.cat([ids[:, :kept], ids[:, :kept].flip(1), ids], dim=1)  # another, longer continuation
        if self._same(self.states(other, torch.ones_like(other))[0][:, :kept], whole[:, :kept]):
            return
        self.needs_mask = True
        padded = torch.cat([ids, torch.zeros_like(ids)], dim=1)
        masked, _ = self.states(padded, torch.cat([real, torch.zeros_like(ids)], dim=1))
        name = type(self.loaded.model).__name__
        if not self._same(self.states(ids[:, :kept], real[:, :kept])[0], whole[:, :kept]):
            raise ModelError(
                f"{name}: predictions depend on later tokens; XTF scores causal language models only."
                + (_OUTLIERS if is_quantized(self.loaded.model) else "")
            )
        if not self._same(masked[:, : ids.shape[1]], whole):
            raise ModelError(f"{name}: padding changes its predictions even when masked, so batches cannot be scored.")

    def _same(self, found: Tensor, expected: Tensor) -> bool:
        tolerance = 1e-3 if self.loaded.dtype == torch.float32 else 5e-2
        difference = (found.float() - expected.float()).abs().max()
        return bool(difference <= tolerance * expected.float().abs().max().clamp(min=1e-3))


_OUTLIERS = (
    " Weights in 8 bits make it so where they split off the outliers of a whole batch: load it with "
    "llm_int8_threshold=0, or whole weights with model.quantization: 8bit."
)


def _same(rows: Tensor) -> Tensor:
    return rows
