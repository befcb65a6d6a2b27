"""What the base model writes in place of each response token: an alternative, then greedily to the end of the turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xtf.attribute import Continuation, TopTokens
from xtf.errors import ModelError
from xtf.model.asked import Values
from xtf.model.generation import Ids, Prefix, continue_greedily, end_ids, special_ids, text_of
from xtf.model.load import LoadedModel
from xtf.progress import progress
from xtf.tokens import TokenBatch

TOKENS_AT_ONCE = 4096
"""Most tokens, read and written, whose keys and values are held at once; more where a batch holds more."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One answer to be written: where its tensor wants it, what stands there instead, and how far it may go."""

    request: Continuation
    row: int
    place: int
    alternative: int
    stops: Sequence[int]
    longest: int

    def prefix(self, ids: Ids) -> Prefix:
        """What is read, of the ``(batch, seq)`` ids."""
        return Prefix(np.append(ids[self.row, : self.place], self.alternative), self.stops, self.longest)


class Continuations:
    """Answers every :class:`xtf.attribute.Continuation` that is asked for.

    Args:
        loaded: The base model.
        requests: At least one.

    Raises:
        ModelError: the model cannot generate.

    Attributes:
        likeliest: What the model must be asked beside: the tokens that alternatives are chosen from.
    """

    def __init__(self, loaded: LoadedModel, requests: Sequence[Continuation]) -> None:
        if not loaded.model.can_generate():
            raise ModelError(
                f"{type(loaded.model).__name__}: cannot write answers (signal 'continuation'): transformers offers no "
                "generate() for it. Choose other attributes, or a model that can."
            )
        self.likeliest = TopTokens(1 + max(request.rank for request in requests))
        self._loaded, self._requests = loaded, requests
        self._ends, self._special = end_ids(loaded.model, loaded.tokenizer), special_ids(loaded.tokenizer)
        config = loaded.model.config.get_text_config()
        self._room = int(getattr(config, "max_position_embeddings", None) or 2**31)

    def run(self, tokens: TokenBatch, likeliest: Tensor) -> Values:
        """Write on from every response token.

        Args:
            tokens: The batch.
            likeliest: ``(batch, seq, k)``, the answer to :attr:`likeliest`.
        """
        ids = tokens.input_ids.cpu().numpy()
        jobs = list(self._jobs(ids, tokens, likeliest))
        asked = [job for job in jobs if job.longest > 0]
        written: dict[_Job, list[int]] = {job: [job.alternative] for job in jobs}
        with progress("Writing other answers", len(asked), "answers") as advance:
            for group in _groups(asked, max(TOKENS_AT_ONCE, ids.size)):
                found = continue_greedily(self._loaded.model, [job.prefix(ids) for job in group])
                for job, new in zip(group, found, strict=True):
                    written[job] += new.tolist()
                advance(len(group))
        return {request: _placed(request, written, tokens) for request in self._requests}

    def _jobs(self, ids: Ids, tokens: TokenBatch, likeliest: Tensor) -> Iterator[_Job]:
        wanted, others = tokens.is_response.cpu().numpy(), _others(likeliest, tokens.input_ids).cpu().numpy()
        for row, turns in enumerate(tokens.turns):
            stops = tuple(sorted(self._ends.union(*(self._ending(ids[row, start:end]) for start, end in turns))))
            for start, end in turns:
                last = _last(ids[row], start, end, stops)
                for place in (start + np.flatnonzero(wanted[row, start : last + 1])).tolist():
                    for request in self._requests:
                        alternative = int(others[row, place, request.rank - 1])
                        room = 0 if alternative in stops else self._room - place - 1
                        yield _Job(request, row, place, alternative, stops, min(last - place + request.margin, room))

    def _ending(self, turn: Ids) -> set[int]:
        """The special token that ends a turn, if nothing but blanks stands behind it."""
        for token in turn[::-1].tolist():
            if token in self._special:
                return {token}
            if text_of(self._loaded.tokenizer, [token]).strip():
                break
        return set()


def _placed(request: Continuation, written: Mapping[_Job, list[int]], tokens: TokenBatch) -> Tensor:
    own = {job: ids for job, ids in written.items() if job.request == request}
    values = np.full((*tokens.input_ids.shape, max(map(len, own.values()), default=1)), -1, np.int64)
    for job, ids in own.items():
        values[job.row, job.place, : len(ids)] = ids
    return torch.from_numpy(values).to(tokens.input_ids.device)


def _last(ids: Ids, start: int, end: int, stops: Sequence[int]) -> int:
    """Where a turn's text ends: at its first stop, or with its last token."""
    stopping = np.flatnonzero(np.isin(ids[start:end], stops))
    return start + int(stopping[0]) if len(stopping) else end - 1


def _others(likeliest: Tensor, targets: Tensor) -> Tensor:
    """``(batch, seq, k - 1)``: of the ``k`` likeliest tokens those that are not the target, likeliest first."""
    is_target = (likeliest == targets[..., None]).int()
    order = is_target.argsort(dim=-1, stable=True)
    return likeliest.gather(-1, order)[..., :-1]


def _groups(jobs: Sequence[_Job], at_once: int) -> Iterator[list[_Job]]:
    """Jobs of like lengths together, longest first, so that each group reads and writes at most so many tokens."""
    group: list[_Job] = []
    longest = 0
    for job in sorted(jobs, key=lambda job: -job.place):
        longest = max(longest, job.longest)
        if group and (len(group) + 1) * (group[0].place + 1 + longest) > at_once:
            yield group
            group, longest = [], job.longest
        group.append(job)
    if group:
        yield group
