"""The masked loss against full logits computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import xtf.model.head
from tests.tiny import TINY_KINDS, TinyKind, tiny_model
from xtf.model.head import Head, target_losses
from xtf.training.loss import loss_as_forward, step_normaliser, weighted_loss_sum
from xtf.training.rows import TrainingRow, collate


def example_rows(seed: int = 0, lengths: tuple[int, ...] = (14, 9, 11), real: bool = False) -> list[TrainingRow]:
    """Rows with a prompt of 3 tokens; about a third of the response weighs nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, length in enumerate(lengths):
        is_response = np.arange(length) >= 3
        kept = is_response & (rng.random(length) > 0.35)
        weights = kept * (rng.random(length) if real else 1.0)
        ids = rng.integers(3, 300, length).astype(np.int32)
        rows.append(TrainingRow(f"row-{index}", ids, weights.astype(np.float32), is_response))
    return rows


def by_hand(model: Any, rows: list[TrainingRow]) -> Tensor:
    """Sum over kept tokens, one unpadded row and one token at a time, in the model's own precision."""
    total = torch.zeros((), dtype=next(model.parameters()).dtype)
    for row in rows:
        logits = model(input_ids=torch.from_numpy(row.input_ids.astype(np.int64))[None]).logits[0]
        for position in np.flatnonzero(row.weights):
            log_probs = torch.log_softmax(logits[position - 1], dim=-1)
            total = total - float(row.weights[position]) * log_probs[int(row.input_ids[position])]
    return total


def gradients(model: Any) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("real", [False, True], ids=["mask", "weight"])
@pytest.mark.parametrize("kind", TINY_KINDS)
def test_loss_and_gradient_equal_the_sum_over_kept_tokens(kind: TinyKind, real: bool) -> None:
    model, rows = tiny_model(kind).double(), example_rows(real=real)
    model.requires_grad_(True)
    expected = by_hand(model, rows)
    expected.backward()  # type: ignore[no-untyped-call]
    wanted = gradients(model)
    head = Head.find(model)
    assert head is not None, "the head path must be used, not the fallback"
    loss = weighted_loss_sum(model, head, collate(rows))
    loss.backward()  # type: ignore[no-untyped-call]
    found = gradients(model)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name] - value).abs().max() <= 1e-6 * max(1.0, float(value.abs().max())), name


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_chunks_and_gradient_checkpointing_change_nothing(kind: TinyKind, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = example_rows()
    model: Any = tiny_model(kind).requires_grad_(True)
    head = Head.find(model)
    plain = weighted_loss_sum(model, head, collate(rows))
    plain.backward()  # type: ignore[no-untyped-call]
    wanted = gradients(model)
    monkeypatch.setattr(xtf.model.head, "LOGITS_BYTES", 4 * 300 * 5)
    heads: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda _module, _inputs, output: heads.append(len(output)))
    model.activation_checkpointing_enable()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with loss_as_forward(model, head):
        chunked = model(**collate(rows))["loss"]
    chunked.backward()
    found = gradients(model)
    assert sum(heads) == sum(int((row.weights != 0).sum()) for row in rows), "logits are computed once"
    assert max(heads) <= 5
    torch.testing.assert_close(chunked, plain)
    assert all(torch.allclose(found[name], value, rtol=1e-4, atol=1e-5) for name, value in wanted.items())


def test_a_model_that_scales_logits_in_an_unknown_way_uses_its_full_logits() -> None:
    model, rows = tiny_model("llama").requires_grad_(True), example_rows()
    model.lm_head.register_forward_hook(lambda module, inputs, output: output)  # harmless: still the head path
    assert Head.find(model) is not None
    plain = type(model).forward

    def doubled(*args: Any, **kwargs: Any) -> Any:
        output = plain(model, *args, **kwargs)
        output.logits = output.logits * 2
        return output

    model.forward = doubled
    assert Head.find(model) is None
    with loss_as_forward(model, None):
        found = model(**collate(rows))["loss"]
    assert found.item() == pytest.approx(by_hand(model, rows).item(), rel=1e-5)
    assert model.forward is doubled


def test_a_noise_token_has_no_gradient_but_stays_in_the_context() -> None:
    model, (row,) = tiny_model(), example_rows(lengths=(12,))
    masked = int(np.flatnonzero(row.is_response & (row.weights == 0))[0])
    model.requires_grad_(True)
    head = Head.find(model)

    def loss_of(row: TrainingRow, weights: Any) -> tuple[float, Tensor]:
        loss = weighted_loss_sum(
            model, head, collate([TrainingRow("x", row.input_ids, weights.astype(np.float32), row.is_response)])
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item(), gradients(model)["lm_head.weight"]

    alone = np.zeros(len(row))
    alone[masked] = 1.0
    last = np.zeros(len(row))
    last[-1] = 1.0
    other = row.input_ids.copy()
    other[masked] = (other[masked] + 7) % 300
    changed = TrainingRow("x", other, row.weights, row.is_response)

    everything, full = loss_of(row, row.is_response)
    without, rest = loss_of(row, row.is_response * (np.arange(len(row)) != masked))
    its_own, own = loss_of(row, alone)
    assert everything == pytest.approx(without + its_own, rel=1e-5)
    torch.testing.assert_close(full, rest + own, rtol=1e-4, atol=1e-5)
    assert masked < len(row) - 1
    assert loss_of(row, last)[0] != pytest.approx(loss_of(changed, last)[0], rel=1e-4)


def test_no_kept_token_gives_zero_loss_and_zero_gradient() -> None:
    model, (row,) = tiny_model(), example_rows(lengths=(8,))
    model.requires_grad_(True)
    empty = TrainingRow("x", row.input_ids, np.zeros(8, np.float32), row.is_response)
    loss = weighted_loss_sum(model, Head.find(model), collate([empty]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert all(torch.count_nonzero(gradient) == 0 for gradient in gradients(model).values())


def test_weights_of_zero_and_one_are_a_mask() -> None:
    model, rows = tiny_model(), example_rows()
    head, batch = Head.find(model), collate(rows)
    parts = target_losses(model, head, batch["input_ids"], batch["attention_mask"], batch["weights"] > 0)
    assert weighted_loss_sum(model, head, batch).item() == pytest.approx(
        sum(losses.sum().item() for _, losses in parts), rel=1e-6
    )


def test_normalisers_count_over_all_batches() -> None:
    rows = example_rows(real=True)
    batches = [collate(rows[:1]), collate(rows[1:])]
    assert step_normaliser(batches, "kept").item() == pytest.approx(sum(float(row.weights.sum()) for row in rows))
    assert step_normaliser(batches, "response").item() == sum(int(row.is_response.sum()) for row in rows)
    assert step_normaliser([], "kept").item() == 0


def test_a_token_of_negative_weight_is_unlearnt_down_to_chance() -> None:
    """Each is by hand: -|w| times its loss, whose gradient is 0 once the loss is that of a uniform guess."""
    model = tiny_model().double()
    model.requires_grad_(True)
    rows = example_rows()
    turned = []
    for row in rows:
        noise = row.is_response & (row.weights == 0)
        turned.append(
            TrainingRow(row.example_id, row.input_ids, row.weights - np.float32(0.3) * noise, row.is_response)
        )
    expected, sides = torch.zeros((), dtype=torch.float64), set()
    for row in turned:
        logits = model(input_ids=torch.from_numpy(row.input_ids.astype(np.int64))[None]).logits[0]
        for position in np.flatnonzero(row.weights):
            weight = float(row.weights[position])
            loss = -torch.log_softmax(logits[position - 1], dim=-1)[int(row.input_ids[position])]
            if weight < 0:
                sides.add(loss.item() < math.log(300))
                loss = loss if loss.item() < math.log(300) else torch.tensor(math.log(300), dtype=torch.float64)
            expected = expected + weight * loss
    assert sides == {True, False}
    expected.backward()  # type: ignore[no-untyped-call]
    wanted = gradients(model)
    loss = weighted_loss_sum(model, Head.find(model), collate(turned))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, value in gradients(model).items():
        assert (value - wanted[name]).abs().max() <= 1e-6 * max(1.0, float(wanted[name].abs().max())), name
    kept = sum(float(row.weights.sum()) for row in rows)
    assert step_normaliser([collate(turned)], "kept").item() == pytest.approx(kept)


def test_forward_is_put_back_after_an_error() -> None:
    model = tiny_model()
    with pytest.raises(KeyError), loss_as_forward(model, None):
        model(input_ids=torch.ones(1, 3, dtype=torch.int64))
    assert "forward" not in model.__dict__
    assert model(input_ids=torch.ones(1, 3, dtype=torch.int64)).logits.shape == (1, 3, 300)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0, 1, 0], "only targets weigh"),
        ([0, 0, -1.5], "at least -1"),
        ([0, 0, float("nan")], "finite"),
        ([0, 0], "equally long"),
    ],
)
def test_rows_are_checked(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingRow("x", np.arange(3, dtype=np.int32), np.array(weights, np.float32), np.array([False, False, True]))
