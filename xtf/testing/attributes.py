"""The public contract suite: does a scorer keep the promises that the engine relies on?

In a test file of your own package::

    from xtf.testing import parametrize_with_checks

    @parametrize_with_checks([MyScorer(MyParams())])
    def test_contract(attribute, check):
        check(attribute)

Each (scorer, check) pair is one test. No model is needed: signals are made up, but consistent, from example ids,
positions and token ids. A check that a scorer is known to break is named, with the reason, in ``expected_failures``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from xtf.attribute import (
    AttentionReceived,
    AttentionRowMean,
    AttentionToPrompt,
    Attribute,
    Entropy,
    HiddenState,
    LogProb,
    LogRank,
    LossDerivative,
    MaxLogProb,
    SignalRequest,
    Signals,
    SurpriseSpread,
    TokenEmbedding,
    TopTokens,
)
from xtf.config.kinds import read_cut
from xtf.engine.score import checked_scores
from xtf.testing.suite import parametrize_checks
from xtf.tokens import TokenBatch, TokenizedExample

AnyAttribute = Attribute[Any]
Check = Callable[[AnyAttribute], None]

_DIM = 8
_VOCABULARY = 50


def parametrize_with_checks(
    attributes: Sequence[AnyAttribute], expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Parametrise a test taking ``attribute`` and ``check`` over every pair of them.

    ``expected_failures`` maps a check's name to the reason why these scorers break it; the check must then fail.
    """
    labels: dict[str, AnyAttribute] = {}
    for attribute in attributes:
        variant = getattr(attribute.params, "variant", None)
        label = f"{attribute.name}[{variant}]" if variant else attribute.name
        labels[f"{label}{len(labels)}" if label in labels else label] = attribute
    return parametrize_checks("attribute", labels, CHECKS, expected_failures)


# -- made-up input -----------------------------------------------------------------------------------------------


def example_batch() -> list[TokenizedExample]:
    """Three short examples of different lengths: one with two turns, one with a single response token."""
    plans = [("two-turns", 17, [(4, 9), (12, 17)]), ("short", 6, [(5, 6)]), ("plain", 11, [(3, 11)])]
    examples = []
    for example_id, length, turns in plans:
        generator = np.random.default_rng(zlib.crc32(example_id.encode()))
        is_response = np.zeros(length, np.bool_)
        is_protected = np.zeros(length, np.bool_)
        for start, end in turns:
            is_response[start:end] = True
            is_protected[end - 1] = end - start > 1
        ids = generator.integers(0, _VOCABULARY, length).astype(np.int32)
        examples.append(TokenizedExample(example_id, ids, is_response, is_protected))
    return examples


class MadeUpFitContext:
    """A :class:`xtf.attribute.FitContext` without a model."""

    def __init__(self, examples: Sequence[TokenizedExample], seed: int = 0) -> None:
        self.examples = examples
        self.seed = seed

    def decode(self, ids: NDArray[np.int32]) -> str:
        """Words made of the ids."""
        return " ".join(f"w{i}" for i in ids)

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ids of words made of ids; other words by their letters."""
        words = text.split()
        ids = [int(w[1:]) if w[1:].isdigit() else zlib.crc32(w.encode()) for w in words]
        return np.array([i % _VOCABULARY for i in ids], np.int32)

    def pieces(self, ids: NDArray[np.int32]) -> list[bytes]:
        """A word and the space before it for each id; the first has none."""
        return [f"{' ' if place else ''}w{i}".encode() for place, i in enumerate(ids)]

    def vocabulary(self) -> Sequence[str]:
        """The words of all ids."""
        return [f" w{i}" for i in range(_VOCABULARY)]

    def signals(
        self, examples: Sequence[TokenizedExample], requests: AbstractSet[SignalRequest]
    ) -> Iterator[tuple[list[int], Signals]]:
        """Made-up signals of each example alone."""
        for position, example in enumerate(examples):
            batch = TokenBatch.collate([example])
            yield [position], Signals(batch, {request: _signal(request, batch) for request in requests})

    def texts(self, path: str) -> list[str]:
        """Two texts that depend on ``path``."""
        return [f"{path} w1 w2", f"{path} w3"]

    def embed_tokens(self, ids: NDArray[np.int64], source: str) -> torch.Tensor:
        """A vector that depends on id and source."""
        return torch.stack([_vector(f"{source}:{int(i)}") for i in ids])

    def embed_texts(self, texts: Sequence[str], source: str) -> torch.Tensor:
        """A vector that depends on text and source."""
        return torch.stack([_vector(f"{source}:{text}") for text in texts])


def made_up_signals(attribute: AnyAttribute, batch: TokenBatch) -> Signals:
    """Every signal the scorer asks for; a value depends on example, position and token alone."""
    return Signals(batch, {request: _signal(request, batch) for request in attribute.requires()})


def _signal(request: SignalRequest, batch: TokenBatch) -> torch.Tensor:
    if isinstance(request, TokenEmbedding):
        vectors = [_vector(f"{request.source}:{int(i)}") for i in batch.input_ids.flatten()]
        return torch.stack(vectors).reshape(*batch.input_ids.shape, _DIM)
    if isinstance(request, HiddenState):
        return _states(request, batch)
    if isinstance(request, TopTokens):
        keys = [
            [f"{request}:{example_id}:{i}" for i in range(batch.input_ids.shape[1])] for example_id in batch.example_ids
        ]
        ids = [
            [[(zlib.crc32(key.encode()) + k) % _VOCABULARY for k in range(request.k)] for key in row] for row in keys
        ]
        return torch.tensor(ids).masked_fill(~batch.is_response[..., None], -1)
    values = torch.full(batch.input_ids.shape, torch.nan)
    for row, example_id in enumerate(batch.example_ids):
        length = int(batch.lengths[row])
        generator = np.random.default_rng(zlib.crc32(f"{example_id}:{request}".encode()))
        uniform = torch.from_numpy(generator.random(length)).float()
        values[row, :length] = _plausible(request, uniform, length)
    return values.masked_fill(~batch.is_response, torch.nan)


def _states(request: HiddenState, batch: TokenBatch) -> torch.Tensor:
    """States that depend on example, layer and position, reduced as the engine reduces them."""
    width = batch.input_ids.shape[1]
    values = torch.full((*batch.input_ids.shape, _DIM), torch.nan)
    for row, example_id in enumerate(batch.example_ids):
        for i in range(int(batch.lengths[row])):
            place = i + request.offset
            inside = place < int(batch.lengths[row])
            key = f"{example_id}:{request.layer}:{place}:{int(batch.input_ids[row, min(place, width - 1)])}"
            values[row, i] = _vector(key) if inside else torch.zeros(_DIM)
    projection = request.projection
    if projection is not None and projection.matrix is not None and projection.mean is not None:
        values = (values - projection.mean) @ projection.matrix
    return values.masked_fill(~batch.is_response[..., None], torch.nan)


def _plausible(request: SignalRequest, uniform: torch.Tensor, length: int) -> torch.Tensor:
    match request:
        case LogProb():
            return uniform.clamp_min(1e-6).log()
        case Entropy():
            return uniform * float(np.log(request.top_k or _VOCABULARY))
        case SurpriseSpread():
            return uniform * 3.0
        case LogRank():
            return (uniform * _VOCABULARY).floor().log1p()
        case MaxLogProb():
            return uniform.clamp_min(1e-6).log() * 0.5
        case AttentionReceived():
            return uniform * (3.0 if request.queries == "response" else 1.0 / length)
        case AttentionRowMean():
            return torch.full((length,), 1.0 / length)
        case AttentionToPrompt():
            return uniform
        case LossDerivative():
            return uniform - 0.5
        case _:
            raise TypeError(f"no made-up values for the request {request!r}")


def _vector(key: str) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(zlib.crc32(key.encode())).normal(size=_DIM)).float()


def _fresh(attribute: AnyAttribute) -> AnyAttribute:
    return type(attribute)(attribute.params)


def _fitted(attribute: AnyAttribute) -> AnyAttribute:
    fresh = _fresh(attribute)
    fresh.fit(MadeUpFitContext(example_batch()))
    return fresh


def _scores(attribute: AnyAttribute, examples: Sequence[TokenizedExample], padding: int = 0) -> list[NDArray[Any]]:
    """The scores of each example at its response positions."""
    batch = TokenBatch.collate(examples)
    if padding:
        wider = [torch.nn.functional.pad(t, (0, padding)) for t in (batch.input_ids, batch.attention_mask)]
        batch = TokenBatch(
            wider[0], wider[1], torch.nn.functional.pad(batch.is_response, (0, padding)), batch.example_ids
        )
    values = checked_scores(attribute.name, attribute, made_up_signals(attribute, batch))
    return [values[row, : len(e)][e.is_response] for row, e in enumerate(examples)]


def _assert_same(attribute: AnyAttribute, what: str, have: list[NDArray[Any]], want: list[NDArray[Any]]) -> None:
    for row, (left, right) in enumerate(zip(have, want, strict=True)):
        change = np.abs(left - right)
        if change.max(initial=0.0) > 1e-5:
            raise AssertionError(
                f"attribute {attribute.name!r}: {what} changed the scores of real tokens "
                f"(largest change {change.max():.2g} at row {row}, response token {int(change.argmax())})"
            )


# -- checks ------------------------------------------------------------------------------------------------------


def check_declaration(attribute: AnyAttribute) -> None:
    """The class has a name, a docstring, and a default cut that configurations accept."""
    scorer = type(attribute)
    assert scorer.name.isidentifier(), f"{scorer.__qualname__}.name {scorer.name!r} is not an identifier"
    assert (scorer.__doc__ or "").strip(), f"{scorer.__qualname__} has no docstring; its first line is shown to users"
    read_cut(dict(attribute.default_threshold()))


def check_requires(attribute: AnyAttribute) -> None:
    """requires() is a set of known requests, the same each time and before fitting."""
    first = attribute.requires()
    assert all(isinstance(request, SignalRequest) for request in first), f"unknown request in {first}"
    assert first == attribute.requires()
    fitted = _fresh(attribute)
    before = fitted.requires()
    fitted.fit(MadeUpFitContext(example_batch()))
    assert before == fitted.requires()
    assert {repr(request) for request in first} == {repr(request) for request in before}


def check_scores(attribute: AnyAttribute) -> None:
    """score() returns (batch, seq), finite on every response token."""
    for values, example in zip(_scores(_fitted(attribute), example_batch()), example_batch(), strict=True):
        assert values.shape == (int(example.is_response.sum()),)
        assert np.isfinite(values).all()


def check_padding(attribute: AnyAttribute) -> None:
    """Adding padding changes no score."""
    fitted = _fitted(attribute)
    have = _scores(fitted, example_batch(), padding=5)
    _assert_same(attribute, "adding padding", have, _scores(fitted, example_batch()))


def check_batch(attribute: AnyAttribute) -> None:
    """An example scores alike alone and in company."""
    fitted = _fitted(attribute)
    alone = [_scores(fitted, [example])[0] for example in example_batch()]
    _assert_same(attribute, "scoring examples together", _scores(fitted, example_batch()), alone)


def check_order(attribute: AnyAttribute) -> None:
    """The order of the rows does not matter."""
    fitted = _fitted(attribute)
    turned = _scores(fitted, example_batch()[::-1])[::-1]
    _assert_same(attribute, "reversing the batch", turned, _scores(fitted, example_batch()))


def check_repeatable(attribute: AnyAttribute) -> None:
    """Scoring twice, and by another instance with the same parameters and seed, gives the same."""
    first, second = _fitted(attribute), _fitted(attribute)
    want = _scores(first, example_batch())
    _assert_same(attribute, "scoring again", _scores(first, example_batch()), want)
    _assert_same(attribute, "a second instance", _scores(second, example_batch()), want)


def check_inputs_untouched(attribute: AnyAttribute) -> None:
    """score() leaves signals and tokens as they were."""
    fitted = _fitted(attribute)
    batch = TokenBatch.collate(example_batch())
    signals = made_up_signals(fitted, batch)
    before = {request: tensor.clone() for request, tensor in signals.items()}
    ids = batch.input_ids.clone()
    fitted.score(signals)
    assert torch.equal(ids, batch.input_ids), "score() changed input_ids"
    for request, tensor in before.items():
        assert torch.equal(tensor.nan_to_num(), signals[request].nan_to_num()), f"score() changed {request}"


def check_refit_forgets(attribute: AnyAttribute) -> None:
    """Fitting on other data and then on these equals fitting on these alone."""
    refitted = _fresh(attribute)
    refitted.fit(MadeUpFitContext(example_batch()[:1], seed=1))
    refitted.fit(MadeUpFitContext(example_batch()))
    want = _scores(_fitted(attribute), example_batch())
    _assert_same(attribute, "an earlier fit", _scores(refitted, example_batch()), want)


def check_state(attribute: AnyAttribute) -> None:
    """What state() returns restores a fresh instance."""
    fitted, restored = _fitted(attribute), _fresh(attribute)
    restored.load_state({key: value.clone() for key, value in fitted.state().items()})
    want = _scores(fitted, example_batch())
    _assert_same(attribute, "restoring the state", _scores(restored, example_batch()), want)


def check_params_yaml(attribute: AnyAttribute) -> None:
    """Parameters survive a round trip through YAML, and are frozen."""
    dumped = yaml.safe_dump(attribute.params.model_dump(mode="json"))
    assert type(attribute).Params.model_validate(yaml.safe_load(dumped)) == attribute.params


def check_unknown_parameter(attribute: AnyAttribute) -> None:
    """A parameter that does not exist is refused."""
    with pytest.raises(ValidationError):
        type(attribute).Params.model_validate({**attribute.params.model_dump(), "no_such_parameter": 1})


def check_describe(attribute: AnyAttribute) -> None:
    """describe() says something, in one line, without having been fitted."""
    for value in np.concatenate(_scores(_fitted(attribute), example_batch())):
        text = _fresh(attribute).describe(float(value))
        assert text, "describe() returned nothing"
        assert "\n" not in text, "describe() must return one line"
        assert not text.endswith("."), "describe() must not end with a full stop"


def check_roles(attribute: AnyAttribute) -> None:
    """What the newest of two models predicts better scores no lower, and what the earlier one does, no higher."""
    roles = type(attribute).roles
    if roles is None:
        return
    given = attribute.params.model_dump()
    try:
        params = type(attribute).Params.model_validate({**given, roles.newest: {"path": "the newest model"}})
    except ValidationError:
        return  # these parameters choose a way of scoring that compares no models
    compared = type(attribute)(params)
    compared.fit(MadeUpFitContext(example_batch()))
    batch = TokenBatch.collate(example_batch())
    signals = made_up_signals(compared, batch)
    earlier = getattr(params, roles.earlier) if roles.earlier else None
    models = {"newest": LogProb(getattr(params, roles.newest)), "earlier": LogProb(earlier)}
    for role, request in models.items():
        assert request in signals, f"roles name a {role} model, but requires() does not ask for {request}"
    before = checked_scores(attribute.name, compared, signals)
    for (role, request), sign in zip(models.items(), (1, -1), strict=True):
        moved = 0.0
        for place in batch.is_response.nonzero().tolist():
            better = signals[request].clone()
            better[tuple(place)] *= 0.5
            after = checked_scores(attribute.name, compared, Signals(batch, {**signals, request: better}))
            change = sign * float(after[tuple(place)] - before[tuple(place)])
            assert change >= -1e-6, (
                f"attribute {attribute.name!r}: a token that the {role} model predicts better scores "
                f"{'lower' if sign > 0 else 'higher'}; newest and earlier are swapped"
            )
            moved += change
        assert moved > 0, f"attribute {attribute.name!r}: what the {role} model predicts moves no score"


CHECKS: tuple[Check, ...] = (
    check_declaration,
    check_requires,
    check_scores,
    check_padding,
    check_batch,
    check_order,
    check_repeatable,
    check_inputs_untouched,
    check_refit_forgets,
    check_state,
    check_params_yaml,
    check_unknown_parameter,
    check_describe,
    check_roles,
)
