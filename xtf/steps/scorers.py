"""The scorers of a configuration on its model: what runs and fitted scorers score with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xtf.attribute import registry
from xtf.attribute.registry import AnyAttribute
from xtf.config import RunConfig
from xtf.engine.batches import TokenBudget
from xtf.engine.score import requests_of, score_examples
from xtf.model import Embedder, LoadedModel, SignalPass
from xtf.progress import Advance
from xtf.runs.folder import RunFolder
from xtf.runs.tables import Column
from xtf.steps.references import ReferenceModels
from xtf.tokens import TokenizedExample


def build_attributes(config: RunConfig) -> dict[str, AnyAttribute]:
    """The scorers that a configuration names, in its order."""
    return {name: registry.build(name, spec) for name, spec in config.attributes.items()}


class Scorers:
    """Scores examples under attributes that are ready: fitted, with what they are measured against at hand.

    Args:
        folder: Where references and directions lie.
        config: What made them.
        loaded: The model.
        attributes: Name to scorer.
        budget: Of a batch.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        loaded: LoadedModel,
        attributes: Mapping[str, AnyAttribute],
        budget: TokenBudget,
    ) -> None:
        self.loaded, self.attributes, self.budget = loaded, attributes, budget
        self.embedder = Embedder(loaded)
        self.references = ReferenceModels(folder, config, loaded)
        self._passes: dict[tuple[str, ...], SignalPass] = {}

    def score(self, examples: Sequence[TokenizedExample], names: Sequence[str], advance: Advance) -> dict[str, Column]:
        """The scores and details of ``names``, ``(tokens,)`` each, examples end to end.

        Raises:
            ModelError: an example does not fit the memory, or a model cannot answer what an attribute asks.
            PluginError: a scorer fails or returns something else than it declares.
        """
        chosen = {name: self.attributes[name] for name in names}
        return score_examples(examples, chosen, self._pass(tuple(names)), self.budget, advance)

    def close(self) -> None:
        """Give the model back as it was."""
        self.references.close()

    def _pass(self, names: tuple[str, ...]) -> SignalPass:
        """The pass for the attributes of those names; the same object for the same names."""
        if names not in self._passes:
            self._passes[names] = SignalPass(
                self.loaded,
                requests_of(self.attributes[name] for name in names),
                self.references.reference,
                direction_loader=self.references.direction,
                embedder=self.embedder,
            )
            self.note(self._passes[names])
        return self._passes[names]

    def note(self, signal_pass: SignalPass) -> None:
        """Called with each pass that is made; runs write down how references came about."""
