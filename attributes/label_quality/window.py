"""What the detector looks at: surprise at a token and around it, the hidden states of a middle layer, checked sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtf.attribute import (
    Entropy,
    HiddenState,
    LogProb,
    LogRank,
    MaxLogProb,
    Projection,
    SignalRequest,
    Signals,
    SurpriseSpread,
)

from .checks import FAILS, check_batch, kinds_of_sums
from .echoes import echo_batch
from .spelling import Spelling

if TYPE_CHECKING:
    import torch

STATE_OFFSETS = (-1, 0, 1, 2)
"""Before the token, at it, and after it: wrong tokens show themselves in what follows them."""

_NEIGHBOURS = range(-2, 5)


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at, for the ``n`` response tokens of a batch, row after row.

    Attributes:
        surprise: ``(n, features)`` float32; with it what else is one number a token.
        states: ``(n, features)`` float32.
        row: ``(n,)`` the token's row in the batch.
        step: ``(n,)`` a number for the sentence or line of the batch that the token belongs to.
        sums: ``(n,)`` an index into :data:`xtf_attributes.label_quality.checks.SUMS`.
    """

    surprise: torch.Tensor
    states: torch.Tensor
    row: torch.Tensor
    step: torch.Tensor
    sums: torch.Tensor

    def of_row(self, row: int) -> Window:
        """The tokens of one row, on the CPU."""
        own = self.row == row
        parts = (self.surprise, self.states, self.row, self.step, self.sums)
        return Window(*(part[own].cpu() for part in parts))

    @classmethod
    def concatenated(cls, windows: Sequence[Window]) -> Window:
        """One after the other; each is a row, and steps are numbered anew."""
        import torch

        steps, begun = [], 0
        for window in windows:
            own = _numbered(window.step)
            steps.append(own + begun)
            begun += int(own.max()) + 1 if len(own) else 0
        rows = torch.arange(len(windows)).repeat_interleave(torch.tensor([len(window.row) for window in windows]))
        surprise, states = [window.surprise for window in windows], [window.states for window in windows]
        sums = torch.cat([window.sums for window in windows])
        return cls(torch.cat(surprise), torch.cat(states), rows, torch.cat(steps), sums)


def surprise_requests() -> set[SignalRequest]:
    """The statistics of surprise."""
    return {LogProb(), Entropy(), SurpriseSpread(), LogRank(), MaxLogProb()}


def state_requests(layer: int | float, projection: Projection | None) -> list[HiddenState]:
    """The hidden states, in order."""
    return [HiddenState(layer, offset, projection) for offset in STATE_OFFSETS]


def read_window(signals: Signals, states: list[HiddenState], spelling: Spelling) -> Window:
    """Lay out the features of every response token.

    Args:
        signals: Of :func:`surprise_requests` and ``states``.
        states: From :func:`state_requests`.
        spelling: Of the token ids.
    """
    import torch

    tokens = signals.tokens
    response = tokens.is_response
    columns = _statistics(signals)
    step = _steps(tokens.input_ids, response, spelling.ends_step)
    chosen = columns[response]
    row = response.nonzero()[:, 0]
    own = _numbered(step[response])
    example_mean, _ = _pooled(chosen[:, :4], row)
    step_mean, step_max = _pooled(chosen[:, :4], own)
    checked = check_batch(tokens, spelling)[response]
    _, fails_in_step = _pooled(checked[:, FAILS : FAILS + 1], own)
    echoes = echo_batch(tokens)[response]
    echoes_of_step, _ = _pooled(echoes, own)
    length = own.bincount()[own].float().log()[:, None]
    surprise = [
        *(_shifted(columns[..., :6], offset)[response] for offset in _NEIGHBOURS),
        chosen[:, 6:],
        chosen[:, :4] - example_mean,
        example_mean,
        step_mean,
        step_max,
        length,
        _seen(tokens.input_ids, tokens.attention_mask)[response],
        checked,
        fails_in_step,
        echoes,
        echoes_of_step,
    ]
    hidden = torch.cat([signals[request][response] for request in states], dim=1)
    return Window(torch.cat(surprise, dim=1), hidden, row, own, kinds_of_sums(checked))


def mean_of_step(values: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """``(n,)``: the mean of ``values`` over each token's sentence or line."""
    return _pooled(values[:, None], step)[0][:, 0]


def _statistics(signals: Signals) -> torch.Tensor:
    """``(batch, seq, 7)`` float32, 0 off-response."""
    import torch

    loss, entropy, spread = -signals[LogProb()], signals[Entropy()], signals[SurpriseSpread()]
    best = signals[MaxLogProb()]
    columns = [loss, entropy, (loss - entropy) / (spread + 0.1), signals[LogRank()], best, best + loss, spread]
    return torch.stack(columns, dim=-1).masked_fill(~signals.tokens.is_response[..., None], 0.0)


def _shifted(columns: torch.Tensor, offset: int) -> torch.Tensor:
    """The values ``offset`` positions on; 0 beyond the ends."""
    import torch

    length = columns.shape[1]
    found = torch.zeros_like(columns)
    if abs(offset) < length:
        into = slice(max(0, -offset), length - max(0, offset))
        out_of = slice(max(0, offset), length - max(0, -offset))
        found[:, into] = columns[:, out_of]
    return found


def _steps(ids: torch.Tensor, response: torch.Tensor, ends_step: torch.Tensor) -> torch.Tensor:
    """``(batch, seq)`` int64: a number that is the same for the tokens of one sentence or line of one response."""
    import torch

    table = ends_step.to(ids.device)
    ends = table[ids.clamp(max=len(table) - 1)] & (ids < len(table)) | ~response
    begun = torch.zeros_like(ids)
    begun[:, 1:] = ends[:, :-1].cumsum(dim=1)
    return begun + torch.arange(len(ids), device=ids.device)[:, None] * (ids.shape[1] + 1)


def _pooled(values: torch.Tensor, group: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and maximum of ``(n, k)`` values over the groups of their rows, each ``(n, k)``."""
    import torch

    groups = int(group.max()) + 1 if len(group) else 0
    count = group.bincount(minlength=groups).double()[:, None]
    total = torch.zeros(groups, values.shape[1], dtype=torch.float64, device=values.device)
    total.index_add_(0, group, values.double())
    index = group[:, None].expand_as(values)
    most = torch.full((groups, values.shape[1]), -torch.inf, device=values.device, dtype=values.dtype)
    most.scatter_reduce_(0, index, values, "amax")
    return (total / count)[group].to(values.dtype), most[group]


def _seen(ids: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """``(batch, seq, 2)`` float32: whether the same token stands earlier in the example, and whether later."""
    import torch

    place = torch.arange(ids.shape[1], device=ids.device)
    distinct = torch.where(real, ids, -1 - place)
    order = distinct.argsort(dim=1, stable=True)
    ranked = distinct.gather(1, order)
    alike = ranked[:, 1:] == ranked[:, :-1]
    no = torch.zeros_like(alike[:, :1])
    found = torch.stack([torch.cat([no, alike], dim=1), torch.cat([alike, no], dim=1)], dim=-1)
    return torch.zeros_like(found).scatter_(1, order[..., None].expand_as(found), found).float()


def _numbered(groups: torch.Tensor) -> torch.Tensor:
    """``(n,)`` int64: the same groups, numbered from 0 without a gap."""
    import torch

    numbers: torch.Tensor = torch.unique(groups, return_inverse=True)[1]
    return numbers
