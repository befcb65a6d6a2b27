"""Task relevance: how close a token's embedding is to what the task is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from xtf.attribute import Attribute, AttributeParams, FitContext, Signals, TokenEmbedding
from xtf.errors import DataError

from .words import WORDS

if TYPE_CHECKING:
    import torch


class TaskRelevanceParams(AttributeParams):
    """Parameters of :class:`TaskRelevance`. The data itself gives the prototypes where none of the sources is named."""

    variant: Literal["paper", "released", "corrected"] = "corrected"
    words: tuple[str, ...] = Field((), description="Expert words of the task: 'sum', 'total', 'percent', …")
    domain: Literal["maths", "code", "medicine", "finance"] | None = Field(
        None, description="Expert words that are at hand."
    )
    examples: str | None = Field(None, description="A file of task examples, in any schema that data.path accepts.")
    clusters: int | None = Field(None, ge=1, description="Prototypes, by k-means. Default 1; corrected: up to 8.")
    embedding: str | None = Field(
        None,
        pattern=r"^(hidden|hidden_stripped|input|encoder:.+)$",
        description="hidden, input, hidden_stripped, or encoder:PATH. Default by variant: hidden, paper input.",
    )

    prompts: bool | None = Field(
        None, description="Score tokens of prompts too, for a cut with over: prompts_and_responses. Default: released."
    )

    @model_validator(mode="after")
    def _one_source(self) -> TaskRelevanceParams:
        if sum((bool(self.words), self.domain is not None, self.examples is not None)) > 1:
            raise ValueError("give one of words, domain and examples")
        return self


class TaskRelevance(Attribute[TaskRelevanceParams]):
    """Similarity of a token's embedding to prototypes of the task (XTF, arXiv 2602.14536, task relevance).

    The score is ``1 - normalise(D)`` in [0, 1], with ``D`` the cosine distance to the nearest prototype, normalised
    over the distinct response tokens of the fitting sample (an encoder's distances by their full range, 2).

    * ``paper``: one prototype, the mean embedding; tokens by their row of the embedding matrix.
    * ``released``: one prototype, distances normalised over prompts too, and one embedding for each text without its
      white space, that of the token seen first, so that ``" the"`` and ``"the"`` share a score. Tokens that the
      fitting sample does not hold have their own. The default cut is fitted over prompts and responses.
    * ``corrected``: tokens by id, last hidden state without context, less its mean and leading ``dim / 100`` principal
      components ("all but the top", arXiv 1702.01417: of SmolLM2's states one direction without meaning holds 96 % of
      the variance, so that plain cosines are all alike); several prototypes, of which the best match counts.
    """

    name: ClassVar[str] = "task_relevance"
    evidence: ClassVar[str] = (
        "does not find planted mistakes on GSM8K (AUROC 0.53, 0.5 is chance); its mask is not shown to differ from a "
        "random one of the same size (+0.003 nats a token [-0.018, 0.024]; docs/evidence.md)"
    )
    Params = TaskRelevanceParams

    _prototypes: torch.Tensor  # (k, dim), unit length
    _centre: torch.Tensor  # (dim,)
    _common: torch.Tensor  # (dim, c) orthonormal directions that are removed
    _range: torch.Tensor  # (2,) the smallest and greatest distance seen
    _known: torch.Tensor  # (n, 2) float64: ids that share an embedding, rising, and their distance

    def default_cut(self) -> Mapping[str, Any]:
        cut: dict[str, Any] = {"kind": "multi_otsu", "classes": 5, "scope": "dataset"}
        if self.params.variant == "released":
            over = "prompts_and_responses" if self.scores_prompts else "responses"
            return {**cut, "lacking": [0], "at_most": 0.05, "over": over}
        return {**cut, "lacking": [0 if self.params.variant == "corrected" else 1]}

    @property
    def _source(self) -> str:
        source = self.params.embedding or ("input" if self.params.variant == "paper" else "hidden")
        return "hidden" if source == "hidden_stripped" else source

    @property
    def _strips(self) -> bool:
        return (self.params.embedding or self.params.variant) in ("hidden_stripped", "released")

    @property
    def scores_prompts(self) -> bool:
        return self.params.variant == "released" if self.params.prompts is None else self.params.prompts

    @property
    def _embedding(self) -> TokenEmbedding:
        return TokenEmbedding(self._source, prompts=self.scores_prompts)

    def requires(self) -> set[TokenEmbedding]:
        return {self._embedding}

    def fit(self, context: FitContext) -> None:
        import torch
        from torch.nn.functional import normalize

        responses = [example.input_ids[example.is_response] for example in context.examples]
        ids, counts = np.unique(np.concatenate(responses), return_counts=True)
        contextual = self._source.startswith("encoder:")
        tokens = context.embed_tokens(ids.astype(np.int64), self._source)
        words = self.params.words or (WORDS[self.params.domain] if self.params.domain else ())
        if words or self.params.examples:
            texts = list(words) or context.texts(str(self.params.examples))
            anchors, weights = context.embed_texts(texts, self._source), np.ones(len(texts))
        elif contextual:
            texts = [context.decode(response) for response in responses]
            anchors, weights = context.embed_texts(texts, self._source), np.ones(len(texts))
        else:
            anchors = tokens
            weights = np.log1p(counts) if self.params.variant == "corrected" else counts.astype(np.float64)
        self._centre = torch.zeros(tokens.shape[1]).to(tokens)
        self._common = torch.zeros(tokens.shape[1], 0).to(tokens)
        if self.params.variant == "corrected" and not contextual:
            self._centre = tokens.mean(dim=0)
            directions = torch.linalg.svd((tokens - self._centre).double(), full_matrices=False).Vh
            self._common = directions[: -(-tokens.shape[1] // 100)].T.to(tokens)
        self._prototypes = normalize(self._cluster(self._distinct(anchors), weights, context.seed), dim=-1)
        self._known = torch.zeros(0, 2, dtype=torch.float64)
        if contextual:
            self._range = torch.tensor([0.0, 2.0]).to(tokens)
            return
        if self.params.variant == "released":
            ids = np.unique(np.concatenate([example.input_ids for example in context.examples]))
        twins = _first_of_text(context) if self._strips else {}
        embedded = np.array([twins.get(int(i), int(i)) for i in ids], np.int64)
        distance = self._distance(context.embed_tokens(embedded, self._source))
        self._range = torch.stack([distance.min(), distance.max()])
        if self._strips:
            self._known = torch.stack([torch.from_numpy(ids.astype(np.float64)), distance.cpu().double()], dim=1)

    def state(self) -> dict[str, torch.Tensor]:
        kept = {"prototypes": self._prototypes, "centre": self._centre, "common": self._common, "range": self._range}
        return {**kept, "known": self._known}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        self._prototypes, self._centre = state["prototypes"], state["centre"]
        self._common, self._range, self._known = state["common"], state["range"], state["known"]

    def score(self, signals: Signals) -> torch.Tensor:
        distance = self._distance(signals[self._embedding])
        if len(self._known):
            import torch

            ids, known = self._known.to(distance.device).unbind(dim=1)
            wanted = signals.tokens.input_ids.double()
            place = torch.searchsorted(ids.contiguous(), wanted).clamp_max(len(ids) - 1)
            distance = known[place].to(distance).where(ids[place] == wanted, distance)
        low, high = self._range.to(distance)
        relevance: torch.Tensor = 1.0 - (distance - low) / (high - low).clamp_min(1e-12)
        return relevance.clamp(0.0, 1.0)

    def describe(self, score: float) -> str:
        return f"by itself, {score:.0%} of the way from farthest to nearest the task"

    def _distance(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Cosine distance to the nearest prototype, ``(…, dim)`` to ``(…)``, in [0, 2]."""
        from torch.nn.functional import normalize

        unit = normalize(self._distinct(embeddings), dim=-1)
        return 1.0 - (unit @ self._prototypes.to(unit).T).amax(dim=-1)

    def _distinct(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings without what all of them share."""
        centred = embeddings - self._centre.to(embeddings)
        common = self._common.to(embeddings)
        return centred - (centred @ common) @ common.T

    def _cluster(self, anchors: torch.Tensor, weights: NDArray[Any], seed: int) -> torch.Tensor:
        import torch
        from sklearn.cluster import KMeans

        if not len(anchors):
            raise DataError("task_relevance: no text to make prototypes from")
        default = 8 if self.params.variant == "corrected" else 1
        clusters = min(self.params.clusters or default, len(anchors))
        points = anchors.double().cpu().numpy()
        if clusters == 1:
            centres = np.average(points, axis=0, weights=weights)[None]
        else:
            points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
            kmeans = KMeans(clusters, n_init=4, random_state=seed).fit(points, sample_weight=weights)
            centres = kmeans.cluster_centers_
        return torch.from_numpy(centres).to(anchors)


def _first_of_text(context: FitContext) -> dict[int, int]:
    """For each id of the sample the one seen first, in prompts or responses, that spells the same but white space."""
    first: dict[str, int] = {}
    found: dict[int, int] = {}
    for token in (int(i) for example in context.examples for i in example.input_ids):
        if token not in found:
            found[token] = first.setdefault(context.decode(np.array([token], np.int32)).strip(), token)
    return found
