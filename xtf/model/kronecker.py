"""The bases in which EK-FAC holds curvature to be diagonal (George et al., arXiv 1806.03884; for influence, Grosse et
al., arXiv 2308.03296, section 2.2).

The gradient of a linear layer's weight is a sum over tokens of ``δ aᵀ``: its input ``a``, and the gradient ``δ`` of the
loss with respect to its output. The eigenvectors of the sums of ``a aᵀ`` and of ``δ δᵀ`` are the bases of the weight's
two sides. In them the diagonal of the Fisher information is estimated anew, from whole gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True, slots=True)
class Basis:
    """Orthogonal bases of a weight's two sides.

    Attributes:
        rows: ``(m, m)`` float32, a vector a column, for a weight of shape ``(m, n)``.
        columns: ``(n, n)`` float32, likewise.
    """

    rows: Tensor
    columns: Tensor

    def enter(self, matrix: Tensor) -> Tensor:
        """An ``(m, n)`` matrix in these bases."""
        return self.rows.T @ matrix @ self.columns

    def leave(self, matrix: Tensor) -> Tensor:
        """The ``(m, n)`` matrix that :meth:`enter` took to this one."""
        return self.rows @ matrix @ self.columns.T


class Covariances:
    """Sums of ``a aᵀ`` and ``δ δᵀ`` of linear layers, over all tokens that a model runs over while they are watched.

    Args:
        model: The model.
        parameters: The weights that count, by name; those that are no linear layer's are left out. So is the output
            head, whose vocabulary is too long a side.
    """

    def __init__(self, model: Any, parameters: Mapping[str, nn.Parameter]) -> None:
        names = {id(parameter): name for name, parameter in parameters.items()}
        linear = [module for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
        self._layers = {
            module: names[id(module.weight)]
            for module in linear
            if id(module.weight) in names and module is not model.get_output_embeddings()
        }
        self._inputs = {name: torch.zeros(0) for name in self._layers.values()}
        self._outputs = dict(self._inputs)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Add what forward and backward passes show in here. Padding must not be among it."""
        handles = [layer.register_forward_hook(self._watch(name)) for layer, name in self._layers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _watch(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def watch(layer: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            given = inputs[0].detach()

            def add(gradient: Tensor) -> None:
                _add_outer(self._inputs, name, given)
                _add_outer(self._outputs, name, gradient)

            output.register_hook(add)

        return watch

    @property
    def finite(self) -> bool:
        """Whether every sum is a number."""
        return all(bool(sums.isfinite().all()) for sides in (self._inputs, self._outputs) for sums in sides.values())

    def bases(self) -> dict[str, Basis]:
        """The bases of each weight that was watched, by its name."""
        found = {}
        for layer, name in self._layers.items():
            if self._inputs[name].numel():
                inside, outside = (_eigenvectors(side[name]) for side in (self._inputs, self._outputs))
                found[name] = Basis(inside, outside) if isinstance(layer, Conv1D) else Basis(outside, inside)
        return found


def _eigenvectors(matrix: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(matrix.cpu().double()).eigenvectors
    return vectors.to(matrix)


def _add_outer(sums: dict[str, Tensor], name: str, vectors: Tensor) -> None:
    flat = vectors.reshape(-1, vectors.shape[-1]).float()
    here = flat.T @ flat
    sums[name] = sums[name] + here if sums[name].numel() else here
