"""Derivatives by hand against torch's own forward mode through the plain formulas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import jvp
from torch.nn import functional

from xtf.model.attention import attend_in_blocks
from xtf.model.dual import (
    DualAttention,
    DualLinear,
    LowRank,
    duals,
    make_dual,
    replaced_forwards,
    split,
    target_losses_along,
)
from xtf.tokens import TokenBatch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

flags = st.tuples(*[st.booleans()] * 5)


def forward_mode(function: Any, values: list[Tensor], changes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The function's value and its derivative, by torch."""
    found: Any = jvp(function, tuple(values), tuple(changes))
    return found[0], found[1]


def close(found: Tensor | None, expected: Tensor) -> None:
    torch.testing.assert_close(torch.zeros_like(expected) if found is None else found, expected, atol=1e-5, rtol=1e-4)


@given(flags, st.integers(0, 99))
def test_a_linear_layer(drawn: tuple[bool, ...], seed: int) -> None:
    has_bias, has_adapter, moves, thin, input_moves = drawn
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    weight, bias, along, bias_along = normal(5, 4), normal(5), normal(5, 4), normal(5)
    left, right, along_left, along_right = normal(5, 2), normal(2, 4), normal(5, 3), normal(3, 4)
    inputs, change = normal(2, 3, 4), normal(2, 3, 4) * input_moves
    whole = weight + left @ right * has_adapter
    expected, expected_change = forward_mode(
        lambda w, b, x: functional.linear(x, w, b),
        [whole, bias * has_bias, inputs],
        [(along_left @ along_right if thin else along) * moves, bias_along * (moves and has_bias), change],
    )
    layer = DualLinear(
        weight,
        bias if has_bias else None,
        bias_along if moves and has_bias else None,
        LowRank(left, right) if has_adapter else None,
        (LowRank(along_left, along_right) if thin else along) if moves else None,
    )
    with torch.no_grad(), duals():
        found, found_change = split(layer(make_dual(inputs, change if input_moves else None)))
    close(found, expected)
    close(found_change, expected_change)
    assert (found_change is None) == (not moves and not input_moves), "what does not move costs nothing"


def heads(kv_heads: int, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Queries, keys and values of two texts of seven tokens, and how they change."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((2, 4, 7, 3), (2, kv_heads, 7, 3), (2, kv_heads, 7, 3))
    made = [torch.randn(shape, generator=generator) for _ in range(2) for shape in shapes]
    return made[:3], made[3:]


def masks(kind: str, seed: int) -> Tensor | None:
    """Causal with one key out of sight; bool, or what is added to the scores."""
    visible = torch.ones(7, 7, dtype=torch.bool).tril().expand(2, 1, 7, 7).clone()
    visible[1, :, 3:, 2] = False
    added = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
    return {"causal": None, "bool": visible, "float": added}[kind]


@given(
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["causal", "bool", "float"]),
    st.sampled_from([None, 0.3]),
    st.integers(1, 600),
    st.sampled_from([{}, {"softcap": 2.0}]),
    st.integers(0, 99),
)
def test_attention(
    kv_heads: int, kind: str, scaling: float | None, block_bytes: int, options: dict[str, Any], seed: int
) -> None:
    values, changes = heads(kv_heads, seed)
    mask = masks(kind, seed)
    visible = torch.ones(7, 7, dtype=torch.bool).tril().expand(2, 1, 7, 7) if mask is None else mask

    def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        key, value = (part.repeat_interleave(4 // kv_heads, dim=1) for part in (key, value))
        scores = query @ key.transpose(2, 3) * (3**-0.5 if scaling is None else scaling)
        if options:
            scores = torch.tanh(scores / 2.0) * 2.0
        scores = scores.masked_fill(~visible, -1e30) if visible.dtype == torch.bool else scores + visible
        return (scores.softmax(-1) @ value).transpose(1, 2)

    expected, expected_change = forward_mode(plain, values, changes)
    ids = torch.zeros(2, 7, dtype=torch.int64)
    tokens = TokenBatch(ids, ids == 0, (ids == 0) & (torch.arange(7) > 2), ("a", "b"))
    meter = DualAttention((), 1, tokens)
    meter.block_bytes = block_bytes
    module = SimpleNamespace(is_causal=True, training=False)
    with torch.no_grad(), duals():
        query, key, value = map(make_dual, values, changes)
        found, found_change = split(meter.attend(module, query, key, value, mask, scaling=scaling, **options)[0])
    close(found, expected)
    close(found_change, expected_change)
    query, key, value = values
    same = attend_in_blocks(module, query, key, value, mask, (), block_bytes, scaling=scaling, **options)
    close(found, same)


def test_the_derivative_of_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, change = (torch.randn(6, 9, generator=generator) * 30 for _ in range(2))
    targets = torch.arange(6)
    _, expected = forward_mode(lambda z: functional.cross_entropy(z, targets, reduction="none"), [logits], [change])
    with torch.no_grad(), duals():
        close(target_losses_along(make_dual(logits, change), targets), expected)
        close(target_losses_along(logits, targets), torch.zeros(6))


def test_forwards_are_given_back() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    inputs = torch.ones(1, 3)
    before = model(inputs)

    def broken() -> None:
        with replaced_forwards({model[2]: DualLinear(torch.zeros(2, 3))}):
            assert not model(inputs).any()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert torch.equal(model(inputs), before)
    assert "forward" not in model[2].__dict__
