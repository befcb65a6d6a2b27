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

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from xtf.attribute import Attribute, LogProb, Signals
from xtf.attribute.signals.known import refuse_unknown
from xtf.config.kinds import read_cut
from xtf.engine.score import checked_scores
from xtf.errors import PluginError
from xtf.labelling.degenerate import degenerate
from xtf.labelling.distribution import measure
from xtf.labelling.shard import ScoredShard
from xtf.testing.context import MadeUpFitContext
from xtf.testing.examples import example_batch, padded
from xtf.testing.signals import make_up
from xtf.testing.suite import outside_access, parametrize_checks
from xtf.tokens import TokenBatch, TokenizedExample

AnyAttribute = Attribute[Any]
Check = Callable[[AnyAttribute], None]


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


def made_up_signals(attribute: AnyAttribute, batch: TokenBatch) -> Signals:
    """Every signal the scorer asks for, as the engine gives it."""
    return make_up(attribute.requires(), batch)


def _fresh(attribute: AnyAttribute) -> AnyAttribute:
    return type(attribute)(attribute.params)


def _fitted(attribute: AnyAttribute) -> AnyAttribute:
    fresh = _fresh(attribute)
    fresh.fit(MadeUpFitContext(example_batch()))
    return fresh


def _scores(attribute: AnyAttribute, examples: Sequence[TokenizedExample], padding: int = 0) -> list[NDArray[Any]]:
    """The scores of each example at its response positions."""
    batch = padded(TokenBatch.collate(examples), padding=padding)
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
    read_cut(dict(attribute.default_cut()))


def check_requires(attribute: AnyAttribute) -> None:
    """requires() is a set of known signals, the same each time and before fitting."""
    first = attribute.requires()
    for request in first:
        try:
            refuse_unknown(request)
        except PluginError as error:
            raise AssertionError(str(error)) from error
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


def check_tells_apart(attribute: AnyAttribute) -> None:
    """The tokens of an example score differently: what is constant ranks nothing, and a run refuses it."""
    examples = example_batch()
    scores = np.full(sum(map(len, examples)), np.nan, np.float32)
    response = np.concatenate([example.is_response for example in examples])
    scores[response] = np.concatenate(_scores(_fitted(attribute), examples))
    shard = ScoredShard(
        [example.example_id for example in examples],
        np.cumsum([0, *map(len, examples)]).astype(np.int64),
        np.concatenate([example.input_ids for example in examples]),
        response,
        np.concatenate([example.is_protected for example in examples]),
        {attribute.name: scores},
    )
    why = degenerate(measure([attribute.name], lambda: iter([shard]))[attribute.name])
    assert why is None, f"attribute {attribute.name!r}: {why}"


def check_opens_nothing(attribute: AnyAttribute) -> None:
    """fit() and score() open no file, connect to nothing and start no process; what they need arrives as signals."""
    _scores(_fitted(attribute), example_batch())  # modules that are imported on the way are read now
    with outside_access() as found:
        _scores(_fitted(attribute), example_batch())
    assert not found, f"attribute {attribute.name!r}: fit() or score() went outside: {', '.join(found)}"


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
            after = checked_scores(
                attribute.name, compared, Signals(batch, {**signals, request: better}, signals.decode)
            )
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
    check_tells_apart,
    check_opens_nothing,
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
