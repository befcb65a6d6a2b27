"""Features of any range brought to about normal, as learners like them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_QUANTILES = 129
_BOUND = 6.0


@dataclass(frozen=True)
class Scaling:
    """Brings features to about normal: surprise by its ranks, states by mean and deviation.

    Attributes:
        quantiles: ``(features, 129)`` float32, rising.
        mean: ``(features,)`` float32, of the states.
        deviation: ``(features,)`` float32.
    """

    quantiles: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, surprise: torch.Tensor, states: torch.Tensor) -> Scaling:
        """Measure ``(n, features)`` of both."""
        import torch

        sample = surprise[:: max(1, len(surprise) // 20_000)].cpu().numpy()
        quantiles = np.quantile(sample, np.linspace(0.0, 1.0, _QUANTILES), axis=0).T
        deviation = states.std(dim=0, correction=0)
        return cls(
            torch.from_numpy(np.ascontiguousarray(quantiles, np.float32)), states.mean(dim=0), deviation.clamp(min=1e-6)
        )

    def apply(self, surprise: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """``(n, features)`` float32 of both, side by side."""
        import torch

        ranks = 0.5 * (_rank(surprise, self.quantiles) + 1.0 - _rank(-surprise, -self.quantiles.flip(1)))
        normal = torch.special.ndtri(ranks.clamp(1e-7, 1.0 - 1e-7))
        return torch.cat([normal, (states - self.mean.to(states)) / self.deviation.to(states)], dim=1).clamp(
            -_BOUND, _BOUND
        )


def _rank(values: torch.Tensor, quantiles: torch.Tensor) -> torch.Tensor:
    """``(n, features)`` in [0, 1]: interpolated between quantiles; of equal quantiles the last counts."""
    import torch

    table = quantiles.to(values)
    columns = values.T.contiguous()
    above = torch.searchsorted(table, columns, right=True).clamp(1, table.shape[1] - 1)
    low, high = table.gather(1, above - 1), table.gather(1, above)
    part = ((columns - low) / (high - low).clamp(min=1e-12)).clamp(0.0, 1.0)
    part = torch.where(high > low, part, (columns >= high).to(part))
    return ((above - 1 + part) / (table.shape[1] - 1)).T
