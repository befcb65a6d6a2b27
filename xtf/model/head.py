"""The output head at chosen positions only: what makes losses over few tokens cheap.

A causal language model computes logits for every position, although only response tokens have a loss. Here the
decoder runs on the whole sequence, and the head on the selected hidden states, in chunks of bounded size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from xtf.model.placing import device_of

LOGITS_BYTES = 128 * 2**20
"""Most float32 logits held at once, in bytes."""


def base_of(model: Any) -> Any:
    """Return the causal language model inside a PEFT wrapper, or ``model`` itself."""
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model


@dataclass(frozen=True, slots=True)
class Head:
    """The decoder of a causal language model, and how its hidden states become logits.

    Attributes:
        decoder: Returns ``last_hidden_state``, ``(batch, seq, hidden)``.
        project: The module from hidden states to the vocabulary; it may carry a LoRA adapter.
        scale: Logits are multiplied by this (Cohere, Granite).
        cap: Logits are squashed to ``cap * tanh(logits / cap)`` (Gemma).
    """

    decoder: nn.Module
    project: nn.Module
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def find(cls, model: Any, probe: Tensor | None = None) -> Head | None:
        """Take ``model`` apart and compare with its own logits on ``probe``, ``(1, seq)`` token ids.

        Returns:
            None when this model computes its logits in a way not known here; full logits are then the right path.
        """
        base = base_of(model)
        project = base.get_output_embeddings() if hasattr(base, "get_output_embeddings") else None
        decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
        if project is None or decoder is None or decoder is base:
            return None
        config = base.config.get_text_config()
        divisor = getattr(config, "logits_scaling", None) or 1.0
        scale = (getattr(config, "logit_scale", None) or 1.0) / divisor
        head = cls(decoder, project, float(scale), getattr(config, "final_logit_softcapping", None))
        return head if head._agrees(model, probe) else None

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the last hidden states, ``(batch, seq, hidden)``."""
        output = self.decoder(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        states = output[0]
        assert isinstance(states, Tensor)
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """``(..., hidden)`` -> ``(..., vocab)``."""
        return self._finished(self.project(hidden))

    def in_one_call(self, hidden: Tensor, compute: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]) -> Tensor:
        """Return ``compute(hidden, logits)``, which may ask for the logits of any number of pieces of ``hidden``.

        ``hidden`` is ``(n, hidden)``, ``logits`` makes ``(k, vocab)`` of ``(k, hidden)``. The module is called once all
        the same: its hooks gather weights in shards, for which every process must call it equally often, though they
        have different numbers of pieces.
        """
        module: Any = self.project
        own, plain = vars(module).get("forward"), module.forward
        module.forward = lambda states: compute(states, lambda part: self._finished(plain(part)))
        try:
            found: Tensor = module(hidden)
        finally:
            del module.forward
            if own is not None:
                module.forward = own
        return found

    def _finished(self, logits: Tensor) -> Tensor:
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.cap is not None:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits

    @torch.no_grad()
    def _agrees(self, model: Any, probe: Tensor | None) -> bool:
        device = device_of(base_of(model))
        vocabulary = int(base_of(model).config.get_text_config().vocab_size)
        ids = torch.arange(1, 9).remainder(vocabulary)[None] if probe is None else probe
        ids = ids.to(device)
        mask = torch.ones_like(ids)
        was_training = model.training
        model.eval()
        try:
            expected = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().to(device)
            found = self.logits(self.hidden(ids, mask)).float().to(device)
        finally:
            model.train(was_training)
        if found.shape != expected.shape:
            return False
        tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
        return bool((found - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1.0))


@dataclass(frozen=True, slots=True)
class Targets:
    """The wanted targets of a batch in row-major order, and the states that predict them.

    Attributes:
        states: ``(n, hidden)``; ``(n, vocab)`` logits where a head is not known.
        ids: ``(n,)`` int64.
        project: From rows of ``states`` to logits.
        at_once: The most targets whose float32 logits are held at once.
    """

    states: Tensor
    ids: Tensor
    project: Callable[[Tensor], Tensor]
    at_once: int

    def pieces(self) -> Iterator[slice]:
        """Slices of the targets, each of at most ``at_once``; an empty one where there are no targets."""
        for start in range(0, max(len(self.ids), 1), self.at_once):
            yield slice(start, min(start + self.at_once, len(self.ids)))

    def losses(self, states: Tensor, where: slice) -> Tensor:
        """Cross-entropy of the targets in ``where``, ``(k,)`` float32, from their ``(k, hidden)`` states."""
        return functional.cross_entropy(self.project(states).float(), self.ids[where], reduction="none")


def wanted_targets(model: Any, head: Head | None, input_ids: Tensor, attention_mask: Tensor, wanted: Tensor) -> Targets:
    """Run the decoder, or the whole model when ``head`` is None, on ``(batch, seq)`` ids; see :func:`target_losses`."""
    chosen = wanted[:, 1:].bool()
    mask = attention_mask.to(torch.int64)
    project: Callable[[Tensor], Tensor]
    if head is None:
        states, project = model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits, _same
    else:
        states, project = head.hidden(input_ids, mask), head.logits
    vocabulary = int(base_of(model).config.get_text_config().vocab_size)
    at_once = max(1, LOGITS_BYTES // (4 * vocabulary))
    return Targets(states[:, :-1][chosen], input_ids[:, 1:][chosen], project, at_once)


def target_losses(
    model: Any, head: Head | None, input_ids: Tensor, attention_mask: Tensor, wanted: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the cross-entropy of every wanted target, in row-major order and in pieces.

    Args:
        model: The causal language model, for its full logits when ``head`` is None.
        head: From :meth:`Head.find`.
        input_ids: ``(batch, seq)`` int64.
        attention_mask: ``(batch, seq)``, 1 on real tokens.
        wanted: ``(batch, seq)`` bool, at the target's own position; position 0 is ignored.

    Yields:
        The slice of the wanted targets, and their losses, float32 of the slice's length. Gradients flow; where there
        is more than one piece its logits are computed again in the backward pass instead of being kept.
    """
    targets = wanted_targets(model, head, input_ids, attention_mask, wanted)
    again = head is not None and len(targets.ids) > targets.at_once and torch.is_grad_enabled()
    for where in targets.pieces():
        part = targets.states[where]
        yield (
            where,
            checkpoint(targets.losses, part, where, use_reentrant=False) if again else targets.losses(part, where),
        )


def _same(logits: Tensor) -> Tensor:
    return logits
