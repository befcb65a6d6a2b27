"""What is asked of one pass of a model over a batch: predictions, attention and states, read as the pass goes by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress

import torch
from torch import Tensor

from xtf.attribute import AttentionSignal, PredictionSignal, SignalRequest, StateSignal
from xtf.model.attention import AttentionMeter, Enough, chosen_layers, measuring
from xtf.model.forward import Forward
from xtf.model.prediction import LOGITS_BYTES, predictions
from xtf.model.states import StateReader
from xtf.tokens import TokenBatch

Values = dict[SignalRequest, Tensor]
"""What a pass found: ``(batch, seq)`` or ``(batch, seq, k)``, float32 and NaN, or int64 and -1, off-response."""


class Asked:
    """The signals that one pass answers together.

    Args:
        requests: All of them of the same model.
        forward: That model.
        logits_bytes: Bound on the float32 logits held at once.
        block_bytes: Bound on the attention probabilities held at once; fitting the device if None.

    Raises:
        ModelError: the model does not have a layer that is asked for.

    Attributes:
        predicted: Those that follow from logits.
        attention: Those that follow from attention.
        states: Reads those that follow from hidden states.
        block_bytes: As given.
    """

    def __init__(
        self,
        requests: Iterable[SignalRequest],
        forward: Forward,
        *,
        logits_bytes: int = LOGITS_BYTES,
        block_bytes: int | None = None,
    ) -> None:
        requests = list(requests)
        self.predicted = [r for r in requests if isinstance(r, PredictionSignal)]
        self.attention = [r for r in requests if isinstance(r, AttentionSignal)]
        self.states = StateReader(forward.loaded.model, [r for r in requests if isinstance(r, StateSignal)])
        for request in self.attention:
            chosen_layers(request, forward.layers)
        self._forward, self._logits_bytes, self.block_bytes = forward, logits_bytes, block_bytes

    def run(self, tokens: TokenBatch) -> Values:
        """Answer by a plain pass, which ends at the last layer that is wanted."""
        return self._run(tokens, stop_early=not self.predicted and not self.states.requests)

    def probe(self) -> None:
        """Ask for the attention that is wanted on a few tokens.

        Raises:
            ModelError: a layer that is asked for has none, or none that can be read.
        """
        if self.attention:
            self._run(self._forward.probe_batch(), stop_early=False)

    def _run(self, tokens: TokenBatch, stop_early: bool) -> Values:
        meter = AttentionMeter(
            self.attention, self._forward.layers, tokens, block_bytes=self.block_bytes, stop_early=stop_early
        )
        found: Mapping[PredictionSignal, Tensor] = {}
        with (
            self.states.reading(),
            measuring(self._forward.loaded.model, meter) if self.attention else nullcontext(),
            suppress(Enough),
        ):
            found = self._predict(tokens)
        return self.values(meter, found)

    def values(self, meter: AttentionMeter, found: Mapping[PredictionSignal, Tensor]) -> Values:
        """All answers of a pass over the batch of ``meter``: what it measured, what was ``found``, and the states.

        Args:
            meter: What has seen the attention of the pass.
            found: ``(n,)`` or ``(n, k)``, one entry for each response token.
        """
        tokens = meter.tokens
        values: Values = {request: spread(column, tokens) for request, column in found.items()}
        values.update(meter.results().items())
        values.update(self.states.results(tokens).items())
        return values

    def _predict(self, tokens: TokenBatch) -> Mapping[PredictionSignal, Tensor]:
        rows, project = self._forward.states(tokens.input_ids, tokens.attention_mask)
        if not self.predicted:
            return {}
        wanted = tokens.is_response[:, 1:]
        targets = tokens.input_ids[:, 1:][wanted]
        at_once = max(1, self._logits_bytes // (4 * self._forward.vocabulary))
        return predictions(rows[:, :-1][wanted], targets, project, self.predicted, at_once)


def spread(column: Tensor, tokens: TokenBatch) -> Tensor:
    """One entry for each response token, ``(n,)`` or ``(n, k)``, in its place in the batch.

    Returns:
        ``(batch, seq)`` or ``(batch, seq, k)``; off-response NaN, or -1 where whole numbers stand.
    """
    empty: float = torch.nan if column.is_floating_point() else -1
    values = column.new_full((*tokens.input_ids.shape, *column.shape[1:]), empty)
    values[:, 1:][tokens.is_response[:, 1:]] = column
    return values
