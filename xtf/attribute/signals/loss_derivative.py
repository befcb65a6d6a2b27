"""What a small step of training on a token changes in the loss of trusted examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from xtf.attribute.reference import Reference, Target
from xtf.attribute.signals.base import SignalRequest


@dataclass(frozen=True, slots=True)
class LossDerivative(SignalRequest):
    """Derivative of each target token's loss along a task direction, ``(batch, seq)`` float32, NaN off-response.

    The value of token ``i`` is ``<grad l_i, P^-1 g>`` at the base model, with ``g`` the gradient of the mean loss over
    the response tokens of ``target``. A small step of training on the token changes the target's loss by minus the
    step size times this value, so higher means that the token helps more. In nats per unit step.

    Attributes:
        target: The trusted examples.
        parameters: ``linear``: the weights of the linear layers inside the decoder, those that LoRA adapts by default.
            ``last_k``: everything in the last ``k`` decoder layers. ``all``: every parameter. ``lora``: the A and B
            matrices of ``adapter``, at the adapted model; or of a fresh adapter of rank and alpha ``r``, whose B is
            zero: the model is then the base, A's gradient vanishes, and the value is that of ``linear`` seen through
            one random projection (from ``seed``) to rank ``r`` for each layer.
        k, r, seed: Layers for ``last_k``; rank and seed of the fresh adapter.
        adapter: An adapter that exists (``adapter``) or that the run trains (``train_on``, ``share``).
        preconditioner: ``P``, estimated on ``target``.
        damping: For ``fisher_diagonal`` and ``ekfac``: added to the diagonal, as a multiple of its mean.
        mode: ``forward``: exact, by forward-mode differentiation. ``finite``: central differences, two forward passes,
            right to about one part in 10,000 in float32. ``auto``: forward where the model's kernels allow it.
    """

    name: ClassVar[str] = "loss_derivative"
    target: Target
    parameters: Literal["linear", "last_k", "all", "lora"] = "linear"
    k: int = 4
    r: int = 8
    seed: int = 0
    adapter: Reference | None = None
    preconditioner: Literal["none", "adam", "fisher_diagonal", "ekfac"] = "none"
    damping: float = 0.1
    mode: Literal["auto", "forward", "finite"] = "auto"
