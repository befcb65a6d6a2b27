"""Every requested signal of a batch from one pass of the base model, and one of each reference model.

The pass of an exact derivative runs the model that it is taken at, so it answers what else is asked of that model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from xtf.attribute import (
    AttentionSignal,
    Continuation,
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
from xtf.model.asked import Asked, Values, spread
from xtf.model.continuations import Continuations
from xtf.model.direction import Direction
from xtf.model.divergence import divergences
from xtf.model.embed import Embedder
from xtf.model.forward import Forward
from xtf.model.generation import text_of
from xtf.model.load import LoadedModel
from xtf.model.placing import refuse_spread
from xtf.model.prediction import LOGITS_BYTES
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
        self._logits_bytes = logits_bytes
        self._embedded = [r for r in self.requests if isinstance(r, TokenEmbedding)]
        self.embedder = embedder
        if self._embedded and embedder is None:
            self.embedder = Embedder(loaded)
        self._alone = [r for r in self.requests if isinstance(r, LogProbAlone)]
        self._divergences = [r for r in self.requests if isinstance(r, Divergence)]
        continued = [r for r in self.requests if isinstance(r, Continuation)]
        self._continuations = Continuations(loaded, continued) if continued else None
        self._decode = partial(text_of, loaded.tokenizer)
        beside = {self._continuations.likeliest} if self._continuations is not None else set()
        asked = _by_model(self.requests | beside)
        references = {*asked, *(request.model for request in self._divergences)} - {None}
        self._models: dict[Reference | None, tuple[Forward, Adapter | None]] = {}
        if None in asked or self._alone or self._divergences:
            self._models[None] = _checked_base(loaded, self.requests), None
        for reference in references:
            assert reference is not None
            self._models[reference] = _load_reference(reference, loaded, reference_loader)
        self._asked = {
            model: Asked(found, self._models[model][0], logits_bytes=logits_bytes, block_bytes=block_bytes)
            for model, found in asked.items()
        }
        with torch.no_grad():
            for asked_here in self._asked.values():
                asked_here.probe()
        self.tangents = {
            request: _tangent(loaded, request, direction_loader, logits_bytes)
            for request in self.requests
            if isinstance(request, LossDerivative)
        }
        exact = {request.adapter: request for request, tangent in self.tangents.items() if tangent.mode == "forward"}
        self._answers = {request: self._asked[model] for model, request in exact.items() if model in self._asked}
        self._served = exact.keys() & self._asked.keys()

    @torch.no_grad()
    def run(self, tokens: TokenBatch) -> Signals:
        """Return every requested signal of one batch.

        All are ``(batch, seq)`` or ``(batch, seq, k)``: float32 and NaN off-response, or int64 and -1 off-response. No
        value depends on padding, on the other examples of the batch, or on their order.
        """
        values: Values = {}
        for derivative, tangent in self.tangents.items():
            if derivative in self._answers:
                values[derivative], found = tangent.run_answering(tokens, self._answers[derivative])
                values.update(found)
            else:
                values[derivative] = tangent.run(tokens)
        for model in self._asked.keys() - self._served:
            adapter = self._models[model][1]
            with adapter.on() if adapter is not None else nullcontext():
                values.update(self._asked[model].run(tokens))
        if self._alone:
            values.update(dict.fromkeys(self._alone, self._without_prompt(tokens)))
        values.update(self._diverged(tokens))
        for embedding in self._embedded:
            assert self.embedder is not None
            values[embedding] = self.embedder.embed_batch(tokens, embedding.source, embedding.prompts)
        if self._continuations is not None:
            values.update(self._continuations.run(tokens, values[self._continuations.likeliest]))
        for request, value in values.items():
            if request.reference is not None:
                _refuse_nan(request.reference, request, value, tokens)
        return Signals(tokens, {request: values[request] for request in self.requests}, self._decode)

    def _without_prompt(self, tokens: TokenBatch) -> Tensor:
        forward, alone = self._models[None][0], without_prompt(tokens)
        found = Asked([LogProb()], forward, logits_bytes=self._logits_bytes).run(alone)[LogProb()]
        found[:, 0] = -math.log(forward.vocabulary)
        return in_place(found, alone, tokens)

    def _diverged(self, tokens: TokenBatch) -> Values:
        found: Values = {}
        for reference in dict.fromkeys(request.model for request in self._divergences):
            base = self._models[None][0]
            wanted = [request for request in self._divergences if request.model == reference]
            at_once = max(1, self._logits_bytes // (8 * base.vocabulary))
            columns = divergences(base, self._models[reference], tokens, wanted, at_once)
            found.update((request, spread(column, tokens)) for request, column in columns.items())
        return found


def _by_model(requests: Iterable[SignalRequest]) -> dict[Reference | None, list[SignalRequest]]:
    """What one pass of each model answers; hidden states are the base's."""
    found: dict[Reference | None, list[SignalRequest]] = {}
    for request in requests:
        if isinstance(request, StateSignal):
            found.setdefault(None, []).append(request)
        elif isinstance(request, PredictionSignal | AttentionSignal):
            found.setdefault(request.reference, []).append(request)
    return found


def _checked_base(loaded: LoadedModel, requests: AbstractSet[SignalRequest]) -> Forward:
    forward = Forward(loaded)
    if GradientNorm() in requests and forward.head is None:
        raise ModelError(
            f"{type(loaded.model).__name__}: its output head cannot be run apart, so no gradient by its input can be "
            "taken (signal 'gradient_norm')"
        )
    return forward


def _tangent(
    loaded: LoadedModel, request: LossDerivative, loader: DirectionLoader | None, logits_bytes: int
) -> Tangent:
    refuse_spread(loaded.model, "influence by derivative", "Leave model.device_map out, or choose other attributes.")
    if loader is None:
        raise ModelError(f"{request.target.shown}: this pass was given no direction to differentiate along")
    direction, adapter = loader(request)
    return Tangent(loaded, request, direction, adapter, logits_bytes=logits_bytes)


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
