"""Every requested signal of a batch from one pass of the base model, and one of each reference model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import nullcontext, suppress

import torch
from torch import Tensor

from xtf.attribute import (
    AttentionSignal,
    Divergence,
    GradientNorm,
    LogProb,
    LogProbAlone,
    LossDerivative,
    PredictionSignal,
    Reference,
    SignalRequest,
    Signals,
    StateSignal,
    TokenEmbedding,
)
from xtf.attribute.signals.known import refuse_unknown
from xtf.errors import ModelError
from xtf.model.adapters import Adapter
from xtf.model.alone import in_place, without_prompt
from xtf.model.attention import AttentionMeter, Enough, chosen_layers, measuring
from xtf.model.direction import Direction
from xtf.model.divergence import divergences
from xtf.model.embed import Embedder
from xtf.model.forward import Forward
from xtf.model.load import LoadedModel
from xtf.model.placing import refuse_spread
from xtf.model.prediction import LOGITS_BYTES, predictions
from xtf.model.states import StateReader
from xtf.model.tangent import Tangent
from xtf.tokens import TokenBatch

ReferenceLoader = Callable[[Reference], LoadedModel | Adapter]
DirectionLoader = Callable[[LossDerivative], tuple[Direction, Adapter | None]]


class SignalPass:
    """Computes a fixed set of signals, batch after batch.

    Args:
        loaded: The base model.
        requests: The signals that :meth:`run` computes.
        reference_loader: Loads the reference models that requests name, or puts adapters on the base; each once, here.
        direction_loader: Returns the direction of a derivative, and the adapter that it is taken at if there is one.
        embedder: Shares its cache of embeddings with this pass; a new one is made if None.
        logits_bytes: Bound on the float32 logits held at once.
        block_bytes: Bound on the attention probabilities held at once; fitting the device if None.

    Raises:
        ModelError: when a model cannot answer a request: not causal, no such layer, or another vocabulary.
        PluginError: a request is no signal, or of a kind that is not known by its name.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        requests: AbstractSet[SignalRequest],
        reference_loader: ReferenceLoader | None = None,
        *,
        direction_loader: DirectionLoader | None = None,
        embedder: Embedder | None = None,
        logits_bytes: int = LOGITS_BYTES,
        block_bytes: int | None = None,
    ) -> None:
        self.requests = frozenset(requests)
        for request in self.requests:
            refuse_unknown(request)
        self.device = loaded.device
        self._logits_bytes, self._block_bytes = logits_bytes, block_bytes
        asked = [r for r in self.requests if isinstance(r, PredictionSignal | AttentionSignal)]
        self._asked = [r for r in asked if r.reference is None]
        self._embedded = [r for r in self.requests if isinstance(r, TokenEmbedding)]
        self.embedder = embedder
        if self._embedded and embedder is None:
            self.embedder = Embedder(loaded)
        self._states = StateReader(loaded.model, [r for r in self.requests if isinstance(r, StateSignal)])
        self._alone = [r for r in self.requests if isinstance(r, LogProbAlone)]
        self._divergences = [r for r in self.requests if isinstance(r, Divergence)]
        on_base = self._asked or self._states.requests or self._alone or self._divergences
        self._base = Forward(loaded) if on_base else None
        if GradientNorm() in self.requests and self._base is not None and self._base.head is None:
            raise ModelError(
                f"{type(loaded.model).__name__}: its output head cannot be run apart, so no gradient by its input can "
                "be taken (signal 'gradient_norm')"
            )
        self._references: dict[Reference, tuple[Forward, Adapter | None]] = {}
        for request in [*asked, *self._divergences]:
            reference = request.reference
            if reference is not None and reference not in self._references:
                self._references[reference] = _load_reference(reference, loaded, reference_loader)
            forward = self._base if reference is None else self._references[reference][0]
            if isinstance(request, AttentionSignal) and forward is not None:
                chosen_layers(request, forward.layers)
        self._asked_of = {spec: [r for r in asked if r.reference == spec] for spec in self._references}
        self._refuse_layers_without_attention()
        self.tangents: dict[LossDerivative, Tangent] = {}
        for derivative in (r for r in self.requests if isinstance(r, LossDerivative)):
            refuse_spread(
                loaded.model, "influence by derivative", "Leave model.device_map out, or choose other attributes."
            )
            if direction_loader is None:
                raise ModelError(f"{derivative.target.shown}: this pass was given no direction to differentiate along")
            direction, adapter = direction_loader(derivative)
            self.tangents[derivative] = Tangent(loaded, derivative, direction, adapter, logits_bytes=logits_bytes)

    @torch.no_grad()
    def _refuse_layers_without_attention(self) -> None:
        """Ask every model for the attention wanted of it, on eight tokens, so that what it lacks is said at once."""
        for forward, asked in [
            *([(self._base, self._asked)] if self._base is not None else []),
            *((forward, self._asked_of[spec]) for spec, (forward, _) in self._references.items()),
        ]:
            if attention := [request for request in asked if isinstance(request, AttentionSignal)]:
                self._measured(forward, forward.probe_batch(), attention, stop_early=False)

    @torch.no_grad()
    def run(self, tokens: TokenBatch) -> Signals:
        """Return every requested signal of one batch.

        All are ``(batch, seq)`` or ``(batch, seq, k)``: float32 and NaN off-response, or int64 and -1 off-response. No
        value depends on padding, on the other examples of the batch, or on their order.
        """
        values: dict[SignalRequest, Tensor] = {}
        if self._base is not None and (self._asked or self._states.requests):
            values.update(self._run_base(self._base, tokens))
        if self._base is not None and self._alone:
            values.update(dict.fromkeys(self._alone, self._without_prompt(self._base, tokens)))
        for reference, (forward, adapter) in self._references.items():
            values.update(self._diverged(reference, tokens))
            if not self._asked_of[reference]:
                continue
            with adapter.on() if adapter is not None else nullcontext():
                found = self._measured(forward, tokens, self._asked_of[reference])
            for request, value in found.items():
                _refuse_nan(reference, request, value, tokens)
            values.update(found)
        for derivative, tangent in self.tangents.items():
            values[derivative] = tangent.run(tokens)
        for embedding in self._embedded:
            assert self.embedder is not None
            values[embedding] = self.embedder.embed_batch(tokens, embedding.source)
        return Signals(tokens, values)

    def _without_prompt(self, forward: Forward, tokens: TokenBatch) -> Tensor:
        alone = without_prompt(tokens)
        found = self._predict(forward, alone, [LogProb()])[LogProb()]
        found[:, 0] = -math.log(forward.vocabulary)
        return in_place(found, alone, tokens)

    def _diverged(self, reference: Reference, tokens: TokenBatch) -> dict[SignalRequest, Tensor]:
        wanted = [r for r in self._divergences if r.model == reference]
        if self._base is None or not wanted:
            return {}
        at_once = max(1, self._logits_bytes // (8 * self._base.vocabulary))
        found = divergences(self._base, self._references[reference], tokens, wanted, at_once)
        values: dict[SignalRequest, Tensor] = {request: spread(column, tokens) for request, column in found.items()}
        for request, value in values.items():
            _refuse_nan(reference, request, value, tokens)
        return values

    def _run_base(self, forward: Forward, tokens: TokenBatch) -> dict[SignalRequest, Tensor]:
        if not self._states.requests:
            return self._measured(forward, tokens, self._asked)
        with self._states.reading():
            values = self._measured(forward, tokens, self._asked, stop_early=False)
        values.update((request, value) for request, value in self._states.results(tokens).items())
        return values

    def _measured(
        self,
        forward: Forward,
        tokens: TokenBatch,
        asked: Iterable[PredictionSignal | AttentionSignal],
        stop_early: bool = True,
    ) -> dict[SignalRequest, Tensor]:
        predicted = [r for r in asked if isinstance(r, PredictionSignal)]
        attention = [r for r in asked if isinstance(r, AttentionSignal)]
        if not attention:
            return self._predict(forward, tokens, predicted)
        meter = AttentionMeter(
            attention, forward.layers, tokens, block_bytes=self._block_bytes, stop_early=stop_early and not predicted
        )
        values: dict[SignalRequest, Tensor] = {}
        with measuring(forward.loaded.model, meter), suppress(Enough):
            values = self._predict(forward, tokens, predicted)
        values.update((request, value) for request, value in meter.results().items())
        return values

    def _predict(
        self, forward: Forward, tokens: TokenBatch, requests: Iterable[PredictionSignal]
    ) -> dict[SignalRequest, Tensor]:
        rows, project = forward.states(tokens.input_ids, tokens.attention_mask)
        at_once = max(1, self._logits_bytes // (4 * forward.vocabulary))
        wanted = tokens.is_response[:, 1:]
        targets = tokens.input_ids[:, 1:][wanted]
        found = predictions(rows[:, :-1][wanted], targets, project, requests, at_once) if requests else {}
        return {request: spread(column, tokens) for request, column in found.items()}


def spread(column: Tensor, tokens: TokenBatch) -> Tensor:
    """One entry for each response token, ``(n,)`` or ``(n, k)``, in its place in the batch.

    Returns:
        ``(batch, seq)`` or ``(batch, seq, k)``; off-response NaN, or -1 where whole numbers stand.
    """
    empty: float = torch.nan if column.is_floating_point() else -1
    values = column.new_full((*tokens.input_ids.shape, *column.shape[1:]), empty)
    values[:, 1:][tokens.is_response[:, 1:]] = column
    return values


def _refuse_nan(reference: Reference, request: SignalRequest, values: Tensor, tokens: TokenBatch) -> None:
    wide = (...,) if values.ndim == 2 else (..., None)
    bad = ~torch.isfinite(values) & tokens.is_response[wide]
    if not bad.any():
        return
    row, position = (int(index) for index in bad.nonzero()[0][:2])
    hint = "Lower its learning_rate" if reference.is_trained_here else "Use another reference, or model.dtype: float32"
    raise ModelError(
        f"{reference.shown}: its {request.name} is {values[row, position].tolist()} at example "
        f"{tokens.example_ids[row]!r}, position {position}; its weights have diverged. {hint}."
    )


def _load_reference(
    reference: Reference, base: LoadedModel, loader: ReferenceLoader | None
) -> tuple[Forward, Adapter | None]:
    if loader is None:
        raise ModelError(f"{reference.shown}: a reference model is needed, but this pass was given no way to load one")
    loaded = loader(reference)
    adapter = loaded if isinstance(loaded, Adapter) else None
    if not isinstance(loaded, Adapter):
        _refuse_other_ids(reference, base, loaded)
    try:
        with adapter.on() if adapter is not None else nullcontext():
            return Forward(base if isinstance(loaded, Adapter) else loaded), adapter
    except ModelError as error:
        raise ModelError(f"{reference.shown}: {error}") from error


def _refuse_other_ids(reference: Reference, base: LoadedModel, loaded: LoadedModel) -> None:
    ours, theirs = base.tokenizer.get_vocab(), loaded.tokenizer.get_vocab()
    if ours != theirs:
        different = sum(theirs.get(token) != token_id for token, token_id in ours.items())
        raise ModelError(
            f"{reference.shown}: the reference model reads other token ids than the base model ({different} of "
            f"{len(ours)} tokens differ). Use a reference with the same tokenizer."
        )
