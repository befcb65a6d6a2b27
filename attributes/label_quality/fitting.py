"""Learning from planted copies: what is run, in which order, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtf.attribute import FitContext, HiddenState, TopTokens
from xtf.errors import DataError
from xtf.noise import Kind, Planted
from xtf.tokens import TokenizedExample

from .calibration import Answers, Calibration, Evidence, estimate_share
from .committee import Committee, Lessons
from .copies import plant_copies
from .detector import Detector
from .false_sums import steps_of_false_sums
from .folds import folds_of
from .scaling import Scaling
from .spelling import Spelling
from .window import Window, read_window, surprise_requests

if TYPE_CHECKING:
    import torch

_MOST_TOKENS = 100_000
_STATE_SAMPLE = 4_000
_ALTERNATIVES = 8
_MOST_SUSPECTS = 0.3


@dataclass(frozen=True)
class Recipe:
    """What is learned from.

    Attributes:
        kinds: Of mistakes.
        examples: Most examples.
        states: The hidden states looked at.
        directions: Directions that they are reduced to.
        networks: Networks a fold.
        step_weight: Weight of the evidence of a token's step.
    """

    kinds: Sequence[Kind]
    examples: int
    states: list[HiddenState]
    directions: int
    networks: int
    step_weight: float


def fit_detector(context: FitContext, recipe: Recipe) -> Detector:
    """Plant copies of the context's first examples, look at them, and learn.

    The data has mistakes of its own, which count as right in its copies. Where a sum fails that nothing was planted in,
    that is certain, and its sentence or line is not learned from. From the rest networks learn twice, as in confident
    learning (Northcutt et al. 2021, arXiv 1911.00068): from all tokens, and from those that are left without the ones
    that look most like a mistake, as many as there seem to be. Trees learn once: less by heart, and better from more.
    The share of wrong tokens is the mean of what is estimated after both times: the first tends to be too high where
    mistakes are rare, the second too low where they are many.

    Raises:
        DataError: there is no example that mistakes can be planted in.
    """
    examples = choose_examples(context.examples, recipe.examples)
    reduce_states(context, recipe, examples)
    data = look(context, recipe, examples)
    planted = plant_copies(context, examples, recipe.kinds, lambda example: data.likely[example.example_id])
    classes = Classes.of(planted)
    copies = look(context, recipe, [one.example for one in planted], likely=False)
    return learn(copies, data, classes, recipe, context.seed)


class Classes(NamedTuple):
    """What was planted.

    Attributes:
        kinds: ``(classes - 1,)`` int64: the kind of mistake of each class but the first, which is *right*.
        of_tokens: ``(n,)`` int64: the class of each response token of the copies.
    """

    kinds: torch.Tensor
    of_tokens: torch.Tensor

    @classmethod
    def of(cls, planted: Sequence[Planted]) -> Classes:
        """Number the kinds that occur.

        Raises:
            DataError: none does.
        """
        import torch

        kinds = np.concatenate([one.kinds[one.example.is_response] for one in planted]).astype(np.int64)
        known, classes = np.unique(np.concatenate([[-1], kinds]), return_inverse=True)
        if len(known) < 2:
            raise DataError("label_quality: no mistake could be planted in any response. Are they empty, or not text?")
        return cls(torch.from_numpy(known[1:]), torch.from_numpy(classes[1:]))


def learn(copies: Look, data: Look, planted: Classes, recipe: Recipe, seed: int) -> Detector:
    """Learn twice from what was seen of the copies and of the data; see :func:`fit_detector`."""
    scaling = Scaling.of(copies.window.surprise, copies.window.states)
    features_of_data, wrong = data.features(scaling), planted.of_tokens > 0
    lessons = Lessons(copies.features(scaling), copies.window.surprise.shape[1], planted.of_tokens, copies.fold)

    def look_again(learned: Committee) -> _Learned:
        """Let it judge the copies and the data."""
        answers = Answers(learned.judge(lessons.features, copies.fold).log_odds, copies.window.step)
        evidence = Evidence.of(answers, wrong, recipe.step_weight)
        on_copies = evidence.at(answers)
        on_data = evidence.at(Answers(learned.judge(features_of_data, data.fold).log_odds, data.window.step))
        return _Learned(learned, evidence, on_copies, estimate_share(on_data, on_copies[wrong.numpy()]))

    certain = ~steps_of_false_sums(copies.window, wrong)
    first = look_again(Committee.train(lessons, certain, 1, seed))
    unsuspected = certain & ~_suspects(first.on_copies, wrong, first.share)
    last = look_again(first.committee.with_networks(lessons, unsuspected, recipe.networks, seed))
    calibration = Calibration.of(last.evidence, (first.share + last.share) / 2)
    return Detector(copies.spelling, planted.kinds, scaling, last.committee, calibration)


class _Learned(NamedTuple):
    """What was learned once.

    Attributes:
        on_copies: ``(n,)`` the evidence at the tokens of the copies.
        share: The share of wrong tokens that it estimates.
    """

    committee: Committee
    evidence: Evidence
    on_copies: NDArray[np.float64]
    share: float


def _suspects(evidence: NDArray[np.float64], planted: torch.Tensor, share: float) -> torch.Tensor:
    """``(n,)`` bool: of the tokens that nothing was planted at, the ``share`` with the most evidence of a mistake."""
    import torch

    found = torch.from_numpy(evidence)
    enough = torch.from_numpy(np.quantile(evidence[~planted.numpy()], [1.0 - min(share, _MOST_SUSPECTS)]))
    return ~planted & (found > enough)


def choose_examples(examples: Sequence[TokenizedExample], most: int) -> list[TokenizedExample]:
    """The first examples, no more than ``most`` and no more tokens than are needed."""
    chosen: list[TokenizedExample] = []
    tokens = 0
    for example in examples[:most]:
        chosen.append(example)
        tokens += len(example)
        if tokens >= _MOST_TOKENS:
            break
    return chosen


def reduce_states(context: FitContext, recipe: Recipe, examples: Sequence[TokenizedExample]) -> None:
    """Find the directions in which hidden states differ most, and have them reduced to these from now on."""
    import torch
    from sklearn.decomposition import PCA

    at_token = next(request for request in recipe.states if request.offset == 0)
    projection = at_token.projection
    assert projection is not None
    projection.mean = projection.matrix = None
    enough = int(np.searchsorted(np.cumsum([example.is_response.sum() for example in examples]), _STATE_SAMPLE)) + 1
    passed = context.signals(examples[:enough], {at_token})
    states = torch.cat([signals[at_token][signals.tokens.is_response].cpu() for _, signals in passed])
    mean, deviation = states.mean(dim=0), states.std(dim=0, correction=0).clamp(min=1e-6)
    scaled = ((states - mean) / deviation).clamp(-8.0, 8.0).numpy()
    directions = min(recipe.directions, *scaled.shape)
    pca = PCA(directions, svd_solver="randomized", random_state=context.seed).fit(scaled)
    projection.set(mean, torch.from_numpy(pca.components_.T.astype(np.float32)) / deviation[:, None])


@dataclass(frozen=True)
class Look:
    """What was seen of some examples.

    Attributes:
        window: Of all their response tokens, on the CPU, in order; ``row`` is the example.
        fold: ``(n,)`` the fold of each token's example.
        likely: For each token of each example, the texts that the model finds likeliest there; none off-response.
        spelling: Of the ids up to the greatest one seen.
    """

    window: Window
    fold: torch.Tensor
    likely: dict[str, list[list[str]]]
    spelling: Spelling

    def features(self, scaling: Scaling) -> torch.Tensor:
        """``(n, features)`` float32."""
        return scaling.apply(self.window.surprise, self.window.states)


def look(context: FitContext, recipe: Recipe, examples: Sequence[TokenizedExample], likely: bool = True) -> Look:
    """Run the model over ``examples`` once."""
    import torch

    top = TopTokens(_ALTERNATIVES)
    requests = surprise_requests() | set(recipe.states) | ({top} if likely else set())
    spelling = Spelling.of(context, examples)
    parts: dict[int, Window] = {}
    texts: dict[str, list[list[str]]] = {}
    for positions, signals in context.signals(examples, requests):
        window = read_window(signals, recipe.states, spelling)
        for row, position in enumerate(positions):
            parts[position] = window.of_row(row)
            if likely:
                example = examples[position]
                ids = signals[top][row, : len(example)].cpu().numpy().astype(np.int32)
                texts[example.example_id] = _texts(context, ids, example)
    windows = [parts[position] for position in range(len(examples))]
    tokens = torch.tensor([len(window.row) for window in windows])
    fold = folds_of([example.example_id for example in examples]).repeat_interleave(tokens)
    return Look(Window.concatenated(windows), fold, texts, spelling)


def _texts(context: FitContext, ids: NDArray[np.int32], example: TokenizedExample) -> list[list[str]]:
    """The texts of ``(seq, k)`` ids, none off-response."""
    return [
        [piece.decode("utf-8", "replace") for piece in context.pieces(likely)] if inside else []
        for likely, inside in zip(ids, example.is_response, strict=True)
    ]
