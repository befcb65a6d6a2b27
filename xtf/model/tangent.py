"""The tangent pass: every token's loss, differentiated along one direction of the weights.

``<grad l_i, v>`` for all tokens of a batch is one forward-mode derivative, ``jvp(theta -> [l_i(theta)], theta, v)``: no
token's gradient is ever formed. Linear layers, attention and losses are differentiated by hand (:mod:`xtf.model.dual`),
everything between them by torch. Beside the activations, one layer at a time, the pass holds their derivatives, and
beside the weights the direction ``v``, as large as the weights it is over. Measured with SmolLM2-135M, 4 × 256 tokens:
0.25 to 0.28 GiB of working memory, beside 0.40 GiB for ``v`` over all linear weights, 9 MiB over a LoRA adapter.

The values beside the derivatives are those of the model itself, so the same pass answers whatever else is asked of it.

Where something in a model has no forward mode, central differences ``(l_i(theta + e v) - l_i(theta - e v)) / 2e`` take
its place. They are faster over all linear weights (2.1 forward passes against 2.8, docs/benchmarks.md), and right to
one part in 10,000; but only in float32, for in bfloat16 the steps vanish in the rounding of the weights. A model scored
in bfloat16, as all larger ones are, has an exact derivative only this way, which is why it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from xtf.attribute import LossDerivative
from xtf.errors import ModelError, first_line
from xtf.model.adapters import Adapter
from xtf.model.asked import Asked, Values, spread
from xtf.model.attention import measuring
from xtf.model.direction import Direction, chosen_parameters, plain_name
from xtf.model.dual import (
    Change,
    DualAttention,
    DualLinear,
    dual_linears,
    duals,
    make_dual,
    replaced_forwards,
    target_losses_along,
)
from xtf.model.forward import Forward
from xtf.model.load import LoadedModel
from xtf.model.prediction import LOGITS_BYTES, Answers
from xtf.tokens import TokenBatch

Mode = Literal["forward", "finite"]

_CHANGE = 0.02
"""Change of loss, in nats, that a step of central differences should bring about: of SmolLM2's 20-token answers, steps
that change the losses by 0.002 to 0.2 are right to 0.4 %, this one to 0.01 %."""


class Tangent:
    """Differentiates the loss of every response token along one direction.

    Args:
        loaded: The model.
        request: What the direction is over, and how to differentiate along it.
        direction: From :func:`xtf.model.direction.task_direction`.
        adapter: The adapter that is on during the pass.
        logits_bytes: Bound on the float32 logits held at once, counted without their tangents.

    Raises:
        ModelError: the direction does not fit, forward mode is asked for where there is none, or central differences
            are needed for weights below float32.

    Attributes:
        mode: How derivatives are computed.
        note: Why not in forward mode, or empty.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        request: LossDerivative,
        direction: Direction,
        adapter: Adapter | None = None,
        *,
        logits_bytes: int = LOGITS_BYTES,
    ) -> None:
        self._request, self._adapter, self._logits_bytes = request, adapter, logits_bytes
        self._by_hand: dict[nn.Module, DualLinear] | None = None
        self._by_torch: dict[str, Change] = {}
        self.note = ""
        with self._adapted():
            self._forward = Forward(loaded)
            self._changes = self._changed(direction)
        self.mode: Mode = self._mode_of(request.mode)
        self._step = 0.0
        if self.mode == "finite" and loaded.dtype != torch.float32:
            raise ModelError(
                f"influence by derivative: {self.note or 'central differences'}; its fallback needs float32 weights, "
                "for the steps vanish in lower precision. Set model.dtype: float32."
            )
        if self.mode == "finite":
            with torch.no_grad(), self._adapted():
                self._step = self._fitting_step()

    @torch.no_grad()
    def run(self, tokens: TokenBatch) -> Tensor:
        """``(batch, seq)`` float32, NaN off-response."""
        if self.mode == "forward":
            return self.run_answering(tokens, Asked((), self._forward))[0]
        with self._adapted():
            return spread(self._central_difference(tokens).float(), tokens)

    @torch.no_grad()
    def run_answering(self, tokens: TokenBatch, asked: Asked) -> tuple[Tensor, Values]:
        """As :meth:`run`, in forward mode; the same pass answers what else is asked of the model.

        Returns:
            ``(batch, seq)`` derivatives, and what was asked.
        """
        with self._adapted():
            derivatives, values = self._forward_mode(tokens, asked)
        return spread(derivatives.float(), tokens), values

    def _adapted(self) -> AbstractContextManager[None]:
        return self._adapter.on() if self._adapter is not None else nullcontext()

    def _changed(self, direction: Direction) -> dict[str, Change]:
        """Present name of each chosen parameter, with its value and its derivative, on the device in its dtype."""
        active = self._adapter.name if self._adapter is not None else ""
        chosen = chosen_parameters(self._forward, self._request, active)
        changes = {}
        for name, parameter in chosen.items():
            along = direction.get(plain_name(name, active))
            if along is None or along.shape != parameter.shape:
                raise ModelError(f"influence by derivative: the saved direction does not fit the parameter {name}")
            changes[name] = (parameter.detach(), along.to(parameter))
        return changes

    def _forward_mode(self, tokens: TokenBatch, asked: Asked) -> tuple[Tensor, Values]:
        if self._by_hand is None:
            self._by_hand, self._by_torch = self._divided()
        model = self._forward.loaded.model
        meter = DualAttention(asked.attention, self._forward.layers, tokens, block_bytes=asked.block_bytes)
        answers = Answers(asked.predicted)
        with duals(), asked.states.reading(), measuring(model, meter), replaced_forwards(self._by_hand):
            weights = {name: make_dual(*change) for name, change in self._by_torch.items()}
            along = _OfTargets(self._forward, self._logits_bytes // 2, target_losses_along, answers)
            derivatives = along.at(weights, tokens)
        return derivatives, asked.values(meter, answers.joined())

    def _divided(self) -> tuple[dict[nn.Module, DualLinear], dict[str, Change]]:
        """The layers differentiated by hand, and the parameters that others have a part in, which torch takes on."""
        model = self._forward.loaded.model
        named = dict(model.named_parameters())
        changes = {id(named[name]): change for name, change in self._changes.items()}
        linears = dual_linears(model, changes, self._adapter.name if self._adapter is not None else "")
        inside = {part for module in linears for part in module.modules()}
        outside = {id(p) for part in model.modules() if part not in inside for p in part.parameters(recurse=False)}
        return linears, {name: change for name, change in self._changes.items() if id(named[name]) in outside}

    def _central_difference(self, tokens: TokenBatch) -> Tensor:
        losses = _OfTargets(self._forward, self._logits_bytes, _cross_entropy)
        ahead = losses.at({name: value + self._step * along for name, (value, along) in self._changes.items()}, tokens)
        behind = losses.at({name: value - self._step * along for name, (value, along) in self._changes.items()}, tokens)
        found: Tensor = (ahead - behind) / (2.0 * self._step)
        return found

    def _fitting_step(self) -> float:
        """The step that changes the losses of a made-up text by :data:`_CHANGE`, found in a few trials."""
        pairs = self._changes.values()
        length = sum(float(along.double().square().sum()) for _, along in pairs) ** 0.5
        size = sum(float(value.double().square().sum()) for value, _ in pairs) ** 0.5
        self._step = 1e-6 * (size or 1.0) / length
        for _ in range(3):
            slope = float(self._central_difference(self._probe(32)).square().mean().sqrt())
            self._step = min(max(_CHANGE / max(slope, 1e-30), self._step / 1e3), self._step * 1e3)
        return self._step

    def _probe(self, width: int) -> TokenBatch:
        """One made-up text."""
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(0, self._forward.vocabulary, (1, width), generator=generator)
        ids = ids.to(self._forward.loaded.device)
        real = torch.ones_like(ids, dtype=torch.bool)
        wanted = real.clone()
        wanted[:, 0] = False
        return TokenBatch(ids, real, wanted, ("probe",))

    def _mode_of(self, wanted: Literal["auto", "forward", "finite"]) -> Mode:
        if wanted == "finite":
            return wanted
        possible = self._supported()
        if wanted == "forward" and possible != wanted:
            raise ModelError(f"influence by derivative: {self.note}. Set mode: finite, or leave it out.")
        return possible

    def _supported(self) -> Mode:
        """Try forward mode on a few tokens."""
        try:
            with torch.no_grad(), self._adapted():
                self._forward_mode(self._probe(8), Asked((), self._forward))
        except (NotImplementedError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            first = first_line(error)
            self.note = f"{type(self._forward.loaded.model).__name__} has no forward-mode derivative ({first[:160]})"
            return "finite"
        return "forward"


class _OfTargets(nn.Module):
    """A function of the response tokens' logits, as a function of some of the weights; ``answers`` read the logits."""

    def __init__(
        self,
        forward: Forward,
        logits_bytes: int,
        function: Callable[[Tensor, Tensor], Tensor],
        answers: Answers | None = None,
    ) -> None:
        super().__init__()
        self.model = forward.loaded.model
        self._states, self._function, self._answers = forward.states, function, answers or Answers(())
        self._rows = max(1, logits_bytes // (4 * forward.vocabulary))

    def at(self, weights: Mapping[str, Tensor], tokens: TokenBatch) -> Tensor:
        """``(n,)`` values at ``weights``; all other parameters as they are."""
        named = {f"model.{name}": value for name, value in weights.items()}
        found = functional_call(self, named, (tokens.input_ids, tokens.attention_mask, tokens.is_response))
        assert isinstance(found, Tensor)
        return found

    def forward(self, input_ids: Tensor, attention_mask: Tensor, is_response: Tensor) -> Tensor:
        """``(batch, seq)`` inputs to ``(n,)`` float32, for each response token, in row-major order."""
        states, project = self._states(input_ids, attention_mask)
        wanted = is_response[:, 1:]
        rows, targets = states[:, :-1][wanted], input_ids[:, 1:][wanted]
        parts = []
        for start in range(0, max(len(targets), 1), self._rows):
            here = slice(start, start + self._rows)
            logits = project(rows[here])
            parts.append(self._function(logits, targets[here]))
            self._answers.add(rows[here].detach(), logits.detach(), targets[here], project)
        return torch.cat(parts)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="none")
