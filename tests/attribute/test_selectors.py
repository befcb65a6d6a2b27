"""Published selectors against a rewrite in NumPy, from eager attention maps and full logits of plain transformers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny import tiny_model, tiny_tokenizer
from xtf.attribute import AlternativeLogProb, Divergence, GradientNorm, Reference, SignalRequest, registry
from xtf.engine.score import checked_scores
from xtf.model import LoadedModel, SignalPass
from xtf.tokens import TokenBatch, TokenizedExample

Floats = NDArray[np.float64]

LENGTH, START = 14, 5
IDS = np.random.default_rng(3).integers(3, 300, LENGTH).astype(np.int32)
IS_RESPONSE = np.arange(LENGTH) >= START
EXAMPLE = TokenizedExample("one", IDS, IS_RESPONSE, np.zeros(LENGTH, np.bool_))
BASE, OTHER = 0, 1
"""Seeds of the base and of the second model."""


def of(spec: Reference, other: LoadedModel) -> LoadedModel:
    """The model of a reference: one for each number of updates and for each fold, else the other."""
    if spec.without_fold is None and spec.steps is None:
        return other
    return LoadedModel.from_objects(tiny_model(seed=seed_of(spec)), tiny_tokenizer())


def seed_of(spec: Reference) -> int:
    return 10 + spec.without_fold[0] if spec.without_fold is not None else 20 + (spec.steps or 0)


def scored(name: str, spec: dict[str, Any]) -> Floats:
    """What our scorer says of the response tokens."""
    scorer = registry.build(name, spec)
    tokenizer = tiny_tokenizer()
    base, other = (LoadedModel.from_objects(tiny_model(seed=seed), tokenizer) for seed in (BASE, OTHER))
    scorer.fit(cast(Any, Sample()))
    signals = SignalPass(base, scorer.requires(), lambda spec: of(spec, other)).run(TokenBatch.collate([EXAMPLE]))
    return np.asarray(checked_scores(name, scorer, signals)[0][START:], np.float64)


@dataclass(frozen=True)
class Seen:
    """One model's view of the response tokens.

    Attributes:
        logits: ``(tokens, vocabulary)`` that predict them.
        attention: ``(layers, heads, queries, keys)`` of the whole example.
    """

    logits: Floats
    attention: Floats

    @property
    def probabilities(self) -> Floats:
        raised = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)

    @property
    def of_targets(self) -> Floats:
        return np.asarray([row[i] for row, i in zip(self.probabilities, IDS[START:], strict=True)], np.float64)


def seen(seed: int) -> Seen:
    model: Any = tiny_model(seed=seed)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(torch.from_numpy(IDS.astype(np.int64))[None], output_attentions=True)
    maps = torch.stack([layer[0] for layer in output.attentions])
    return Seen(output.logits[0, START - 1 : -1].double().numpy(), maps.double().numpy())


@pytest.mark.parametrize("newest", ["current", "history"])
def test_ss_token(newest: str) -> None:
    """gamma * minmax(loss under history - loss now) + (1 - gamma) * attention of the token to the prompt, now."""
    base, other = seen(BASE), seen(OTHER)
    before, now = (base, other) if newest == "current" else (other, base)
    progress = np.log(now.of_targets) - np.log(before.of_targets)
    scaled = (progress - progress.min()) / (progress.max() - progress.min())
    to_prompt = now.attention[-1].mean(axis=0)[START:, :START].sum(axis=1)
    found = scored("ss_token", {newest: "other", "gamma": 0.3})
    np.testing.assert_allclose(found, 0.3 * scaled + 0.7 * to_prompt, atol=2e-5)


def entropy_of(probabilities: Floats) -> Floats:
    return np.asarray(-(probabilities * np.log(probabilities)).sum(axis=1), np.float64)


def test_probabilities_as_weights_and_scores() -> None:
    """DFT and ProFit: p. STM: log p. Entropy minority: H. EAFT: entropy of the renormalised top k over log k."""
    base = seen(BASE)
    for name, want in (("dft", base.of_targets), ("profit", base.of_targets), ("stm", np.log(base.of_targets))):
        np.testing.assert_allclose(scored(name, {}), want, rtol=1e-4)
    np.testing.assert_allclose(scored("entropy", {}), entropy_of(base.probabilities), rtol=1e-4)
    top = np.sort(base.probabilities, axis=1)[:, -20:]
    want = entropy_of(top / top.sum(axis=1, keepdims=True)) / np.log(20)
    np.testing.assert_allclose(scored("eaft", {}), want, rtol=1e-4)


class Sample:
    """A fitting context of the one example, with the signals of the base."""

    examples = (EXAMPLE,) * 2

    def signals(self, examples: Any, requests: Any) -> Any:
        loaded = LoadedModel.from_objects(tiny_model(seed=BASE), tiny_tokenizer())
        yield [0, 1], SignalPass(loaded, requests).run(TokenBatch.collate(examples))


def test_talr() -> None:
    """max(exp(-loss / tau), floor), tau the median over examples of their mean loss; not what DFT gives."""
    losses = -np.log(seen(BASE).of_targets)
    want = np.maximum(np.exp(-losses / losses.mean()), 0.3)
    found = scored("talr", {"floor": 0.3})
    np.testing.assert_allclose(found, want, rtol=1e-4)
    assert np.isclose(found, 0.3).any()
    assert np.abs(found - scored("dft", {})).max() > 0.1
    np.testing.assert_allclose(scored("talr", {"temperature": 2.0, "floor": 0}), np.exp(-losses / 2), rtol=1e-4)


def test_s_ifd() -> None:
    """|log p(token | prompt, before) - log p(token | before)|; nothing before the first but the uniform guess."""
    model: Any = tiny_model(seed=BASE)
    with torch.no_grad():
        logits = model(torch.from_numpy(IDS[START:].astype(np.int64))[None]).logits[0, :-1].double().numpy()
    without = Seen(logits, np.empty(0)).probabilities
    apart = np.array([1 / without.shape[1], *(row[i] for row, i in zip(without, IDS[START + 1 :], strict=True))])
    want = np.abs(np.log(seen(BASE).of_targets) - np.log(apart))
    np.testing.assert_allclose(scored("s_ifd", {}), want, atol=2e-4)


def test_token_seek() -> None:
    """alpha log(attention received from all) + beta minmax(length of W^T (p - onehot)), the gradient by hand."""
    base = seen(BASE)
    received = base.attention[-1].mean(axis=0).sum(axis=0)[START:]
    model: Any = tiny_model(seed=BASE)
    head = model.lm_head.weight.detach().double().numpy()
    gradients = np.linalg.norm((base.probabilities - np.eye(len(head))[IDS[START:]]) @ head, axis=1)
    scaled = (gradients - gradients.min()) / (gradients.max() - gradients.min())
    want = 0.7 * np.log(received) + 2.0 * scaled
    np.testing.assert_allclose(scored("token_seek", {"alpha": 0.7, "beta": 2.0}), want, atol=1e-4)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_clipping(epsilon: float) -> None:
    """The gradient of the clipped objective by log p, found by differences."""
    ratio = seen(OTHER).of_targets / seen(BASE).of_targets

    def objective(gain: float) -> Floats:
        moved = ratio * np.exp(gain)
        return np.asarray(np.minimum(moved, np.clip(moved, 1 - epsilon, 1 + epsilon)), np.float64)

    want = (objective(1e-6) - objective(-1e-6)) / 2e-6
    assert 0 < (want == 0).sum() < len(want)
    found = scored("clipping", {"current": "other", "epsilon": epsilon})
    np.testing.assert_allclose(found, want, atol=1e-3)


def test_out_of_fold() -> None:
    """Log p under the model that was trained without the example's own fold."""
    fold = zlib.crc32(b"one") % 3
    want = np.log(seen(10 + fold).of_targets)
    np.testing.assert_allclose(scored("out_of_fold", {"folds": 3}), want, rtol=1e-4)


def test_loss_trajectory() -> None:
    """Fall of the line that NumPy fits to the losses at the base and after 3, 5 and 6 updates."""
    losses = -np.log(np.stack([seen(seed).of_targets for seed in (BASE, 23, 25, 26)]))
    slopes = np.polyfit(np.arange(4), losses, 1)[0]
    np.testing.assert_allclose(scored("loss_trajectory", {"steps": [3, 5, 6]}), -3 * slopes, atol=1e-4)


def read(requests: set[SignalRequest], model: Any, other: Any = None, ids: Any = IDS) -> dict[SignalRequest, Floats]:
    """What the engine reads of the response tokens, a few logits at a time."""
    base, second = (LoadedModel.from_objects(m, tiny_tokenizer()) if m is not None else None for m in (model, other))
    found = SignalPass(cast(Any, base), requests, lambda _: cast(Any, second), logits_bytes=20_000)
    signals = found.run(TokenBatch.collate([TokenizedExample("one", ids, IS_RESPONSE, EXAMPLE.is_protected)]))
    return {request: signals[request][0, START:].double().numpy() for request in requests}


def test_alternative_to_tokens_that_are_likeliest_and_to_others() -> None:
    probabilities = seen(BASE).probabilities
    ids = IDS.copy()
    ids[-1] = probabilities[-1].argmax()
    found = read({AlternativeLogProb()}, tiny_model(seed=BASE), ids=ids)[AlternativeLogProb()]
    others = [np.delete(row, i).max() for row, i in zip(probabilities, ids[START:], strict=True)]
    np.testing.assert_allclose(found, np.log(others), atol=1e-4)


def test_divergence_in_both_directions() -> None:
    base, other = seen(BASE).probabilities, seen(OTHER).probabilities
    there, back = (Divergence(Reference(path="other"), under=cast(Any, under)) for under in ("base", "reference"))
    found = read({there, back}, tiny_model(seed=BASE), tiny_model(seed=OTHER))
    np.testing.assert_allclose(found[there], (base * np.log(base / other)).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(found[back], (other * np.log(other / base)).sum(axis=1), atol=1e-5)
    assert np.abs(found[there] - found[back]).max() > 1e-3


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_gradient_norm_by_a_backward_pass_of_the_whole_model(kind: Any) -> None:
    """Also where logits are capped: each token's own loss, one backward pass each."""
    model: Any = tiny_model(kind)
    kept: list[torch.Tensor] = []

    def keep(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        kept.append(inputs[0].detach().requires_grad_())
        return (kept[-1],)

    hook = model.get_output_embeddings().register_forward_pre_hook(keep)
    want = []
    for place in range(START, LENGTH):
        ids = torch.from_numpy(IDS.astype(np.int64))[None]
        model(ids).logits[0, place - 1].double().log_softmax(-1)[IDS[place]].neg().backward()
        want.append(float(cast(Any, kept.pop().grad)[0, place - 1].norm()))
    hook.remove()
    np.testing.assert_allclose(read({GradientNorm()}, model)[GradientNorm()], want, rtol=1e-3)
