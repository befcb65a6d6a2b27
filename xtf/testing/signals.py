"""Made-up signals: the engine's own readings of made-up logits, attention and states; and the checks of a signal.

In a test file of your own package::

    from xtf.testing import parametrize_signals_with_checks

    @parametrize_signals_with_checks([MySignal(), MySignal(k=3)])
    def test_contract(signal, check):
        check(signal)
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pytest
import torch

from xtf.attribute import (
    AttentionBlock,
    AttentionSignal,
    Continuation,
    Divergence,
    LogProbAlone,
    LossDerivative,
    PredictionSignal,
    Reference,
    SignalRequest,
    Signals,
    StateSignal,
    TokenEmbedding,
)
from xtf.attribute.signals.known import SIGNALS, refuse_unknown
from xtf.model.asked import spread
from xtf.model.prediction import predictions
from xtf.model.states import shifted
from xtf.testing.examples import VOCABULARY, example_batch, padded
from xtf.testing.suite import parametrize_checks
from xtf.tokens import TokenBatch

SignalCheck = Callable[[SignalRequest], None]

DIM = 8
_HEADS, _SPREAD = 2, 3.0


def parametrize_signals_with_checks(
    signals: Sequence[SignalRequest], expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Parametrise a test taking ``signal`` and ``check``; see :func:`xtf.testing.parametrize_with_checks`."""
    return parametrize_checks("signal", {repr(s): s for s in signals}, SIGNAL_CHECKS, expected_failures)


def make_up(requests: Iterable[SignalRequest], batch: TokenBatch) -> Signals:
    """Every request's tensor; a value depends on the example's id, on positions and token ids, never on the batch."""
    return Signals(batch, {request: _made_up(request, batch) for request in requests}, words)


def words(ids: Iterable[int]) -> str:
    """Words made of the ids."""
    return " ".join(f"w{i}" for i in ids)


def vector(key: str) -> torch.Tensor:
    """``(dim,)`` float32, normal, decided by ``key``."""
    return torch.from_numpy(_generator(key).normal(size=DIM)).float()


def _generator(key: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(key.encode()))


def _made_up(request: SignalRequest, batch: TokenBatch) -> torch.Tensor:
    match request:
        case PredictionSignal():
            targets = batch.input_ids[:, 1:][batch.is_response[:, 1:]]
            logits = _logits(request.reference, batch)
            return spread(predictions(logits, targets, lambda rows: rows, [request], len(logits) or 1)[request], batch)
        case AttentionSignal():
            return _by_example(batch, lambda row: _attention(request, batch, row))
        case StateSignal():
            states = _by_example(batch, lambda row: _states(request, batch, row))
            return shifted(request.reduce(states.nan_to_num()), request.offset, batch)
        case TokenEmbedding():
            return _embeddings(request, batch)
        case Divergence():
            return spread(request.compare(_logits(None, batch), _logits(request.model, batch)), batch)
        case LogProbAlone():
            return _by_example(batch, lambda row: _alone(request, batch, row))
        case Continuation():
            return _continuations(request, batch)
        case LossDerivative():
            return _by_example(batch, lambda row: _derivatives(request, batch, row))
    raise TypeError(f"no made-up values for the request {request!r}")


def _by_example(batch: TokenBatch, values: Callable[[int], torch.Tensor]) -> torch.Tensor:
    """Values of each example alone, ``(length,)`` or ``(length, dim)``, as one tensor with NaN off-response."""
    rows = [values(row) for row in range(len(batch.example_ids))]
    out = torch.full((*batch.input_ids.shape, *rows[0].shape[1:]), torch.nan)
    for row, found in enumerate(rows):
        out[row, : len(found)] = found
    return out.masked_fill(~batch.is_response.view(*batch.is_response.shape, *[1] * (out.ndim - 2)), torch.nan)


def _logits(reference: Reference | None, batch: TokenBatch) -> torch.Tensor:
    """``(targets, vocabulary)`` float32, wide enough for sure predictions and unsure ones; targets are often likely."""
    rows = []
    for row, place in batch.is_response.nonzero().tolist():
        generator = _generator(f"{batch.example_ids[row]}:{reference}:{place}")
        logits = torch.from_numpy(generator.normal(size=VOCABULARY, scale=_SPREAD)).float()
        logits[int(batch.input_ids[row, place]) % VOCABULARY] += _SPREAD
        rows.append(logits)
    return torch.stack(rows) if rows else torch.empty(0, VOCABULARY)


def _attention(request: AttentionSignal, batch: TokenBatch, row: int) -> torch.Tensor:
    """What the signal reads of made-up causal attention of one layer, ``(length,)``."""
    alone = padded(batch, row)
    length = alone.input_ids.shape[1]
    generator = _generator(f"{batch.example_ids[row]}:{request.reference}:attention")
    scores = torch.from_numpy(generator.normal(size=(1, _HEADS, length, length))).float()
    visible = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    reading = request.begin(alone)
    reading.add(AttentionBlock(scores.masked_fill(~visible, -torch.inf).softmax(-1), visible, 0))
    return reading.finish()[0]


def _states(request: StateSignal, batch: TokenBatch, row: int) -> torch.Tensor:
    ids = batch.input_ids[row, : int(batch.lengths[row])].tolist()
    name = f"{batch.example_ids[row]}:{request.layer}"
    return torch.stack([vector(f"{name}:{place}:{token}") for place, token in enumerate(ids)])


def _embeddings(request: TokenEmbedding, batch: TokenBatch) -> torch.Tensor:
    """As the engine: an encoder embeds the prompt as well, the other sources leave it NaN unless it is asked for."""
    rows = torch.stack([vector(f"{request.source}:{int(i)}") for i in batch.input_ids.flatten()])
    everywhere = request.prompts or request.source.startswith("encoder:")
    known = batch.attention_mask if everywhere else batch.is_response
    return rows.reshape(*batch.input_ids.shape, DIM).masked_fill(~known[..., None], torch.nan)


def _alone(request: LogProbAlone, batch: TokenBatch, row: int) -> torch.Tensor:
    uniform = _generator(f"{batch.example_ids[row]}:{request}").uniform(0.01, 1.0, int(batch.lengths[row]))
    return torch.from_numpy(uniform).float().log()


def _continuations(request: Continuation, batch: TokenBatch) -> torch.Tensor:
    """Another token than the target, and a few more; every second goes on as the data does."""
    most = 4
    out = torch.full((*batch.input_ids.shape, most), -1)
    for row, place in batch.is_response.nonzero().tolist():
        generator = _generator(f"{batch.example_ids[row]}:{request}:{place}")
        own = int(batch.input_ids[row, place])
        out[row, place, 0] = (own + int(generator.integers(1, VOCABULARY))) % VOCABULARY
        follows = batch.input_ids[row, place + 1 : int(batch.lengths[row])][: most - 1]
        if place % 2:
            follows = torch.from_numpy(generator.integers(0, VOCABULARY, int(generator.integers(0, most))))
        out[row, place, 1 : 1 + len(follows)] = follows
    return out


def _derivatives(request: LossDerivative, batch: TokenBatch, row: int) -> torch.Tensor:
    generator = _generator(f"{batch.example_ids[row]}:{request}")
    return torch.from_numpy(generator.normal(size=int(batch.lengths[row]))).float()


# -- checks ------------------------------------------------------------------------------------------------------


def check_signal_known(signal: SignalRequest) -> None:
    """It is found by its name, is a value (equal, hashed and shown alike), and its class says what it is."""
    refuse_unknown(signal)
    assert signal.name in SIGNALS.points(), f"no entry point {signal.name!r} under {SIGNALS.group}"
    again: SignalRequest = pickle.loads(pickle.dumps(signal))  # noqa: S301
    assert (again, hash(again), repr(again)) == (signal, hash(signal), repr(signal)), "an equal request differs"
    assert (type(signal).__doc__ or "").strip(), "the class has no docstring"


def check_signal_values(signal: SignalRequest) -> None:
    """Every response token has a number, in a tensor of ``(batch, seq)`` or ``(batch, seq, k)``."""
    batch = TokenBatch.collate(example_batch())
    values = _made_up(signal, batch)
    assert values.shape[:2] == batch.input_ids.shape, f"shape {tuple(values.shape)}"
    assert values.ndim in (2, 3), f"shape {tuple(values.shape)}"
    assert values.dtype in (torch.float32, torch.int64), f"dtype {values.dtype}"
    assert torch.isfinite(values[batch.is_response]).all(), "a response token has no finite number"


def check_signal_batch(signal: SignalRequest) -> None:
    """An example's values are the same alone, in company and beside padding."""
    batch = TokenBatch.collate(example_batch())
    together = _made_up(signal, batch)
    for row, example in enumerate(example_batch()):
        alone = _made_up(signal, padded(batch, row, 5))[0, : len(example)][example.is_response]
        torch.testing.assert_close(together[row, : len(example)][example.is_response], alone, atol=1e-5, rtol=1e-4)


def check_signal_inputs_untouched(signal: SignalRequest) -> None:
    """Reading twice gives the same, so what is read was left as it was."""
    batch = TokenBatch.collate(example_batch())
    before = batch.input_ids.clone(), batch.is_response.clone()
    torch.testing.assert_close(_made_up(signal, batch), _made_up(signal, batch), equal_nan=True, atol=0.0, rtol=0.0)
    assert torch.equal(before[0], batch.input_ids), "the token ids were changed"
    assert torch.equal(before[1], batch.is_response), "the response mask was changed"


SIGNAL_CHECKS: tuple[SignalCheck, ...] = (
    check_signal_known,
    check_signal_values,
    check_signal_batch,
    check_signal_inputs_untouched,
)
