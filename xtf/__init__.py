"""XTF: see which tokens of your fine-tuning data are worth learning, and why.

::

    import xtf

    run = xtf.score("configs/quickstart.yaml")      # tokens -> scores (loads the model)
    xtf.label(run)                                  # scores -> labels (seconds, no model)
    run.explain("train-001")                        # why each token is kept or masked
    xtf.train(run)                                  # fine-tune with noise tokens masked
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtf.api import (
        Run,
        apply_spans,
        detect,
        evaluate,
        export,
        find,
        inspect,
        label,
        load_config,
        open_run,
        plant,
        run,
        score,
        study,
        train,
    )
    from xtf.attribute import (
        AlternativeLogProb,
        AttentionReceived,
        AttentionRowMean,
        AttentionToPrompt,
        Attribute,
        AttributeParams,
        Detail,
        Divergence,
        Entropy,
        FitContext,
        GradientNorm,
        HiddenState,
        LogProb,
        LogProbAlone,
        LogRank,
        LossDerivative,
        MaxLogProb,
        NoParams,
        Projection,
        Reference,
        Roles,
        Scored,
        SignalRequest,
        Signals,
        SurpriseSpread,
        Target,
        TokenEmbedding,
        TopTokens,
    )
    from xtf.attribute.registry import register
    from xtf.errors import XTFError
    from xtf.progress import Activity, watch_progress
    from xtf.scorer import Scorer

_HOMES = {
    "xtf.attribute": (
        "AlternativeLogProb AttentionReceived AttentionRowMean AttentionToPrompt Attribute AttributeParams Detail "
        "Divergence Entropy FitContext GradientNorm HiddenState LogProb LogProbAlone LogRank LossDerivative MaxLogProb "
        "NoParams Projection Reference "
        "Roles Scored SignalRequest Signals SurpriseSpread Target TokenEmbedding TopTokens"
    ),
    "xtf.errors": "XTFError",
    "xtf.progress": "Activity watch_progress",
    "xtf.scorer": "Scorer",
    "xtf.attribute.registry": "register",
    "xtf.api": (
        "Run apply_spans detect evaluate export find inspect label load_config open_run plant run score study train"
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Activity",
    "AlternativeLogProb",
    "AttentionReceived",
    "AttentionRowMean",
    "AttentionToPrompt",
    "Attribute",
    "AttributeParams",
    "Detail",
    "Divergence",
    "Entropy",
    "FitContext",
    "GradientNorm",
    "HiddenState",
    "LogProb",
    "LogProbAlone",
    "LogRank",
    "LossDerivative",
    "MaxLogProb",
    "NoParams",
    "Projection",
    "Reference",
    "Roles",
    "Run",
    "Scored",
    "Scorer",
    "SignalRequest",
    "Signals",
    "SurpriseSpread",
    "Target",
    "TokenEmbedding",
    "TopTokens",
    "XTFError",
    "apply_spans",
    "detect",
    "evaluate",
    "export",
    "find",
    "inspect",
    "label",
    "load_config",
    "open_run",
    "plant",
    "register",
    "run",
    "score",
    "study",
    "train",
    "watch_progress",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import xtf`` stays instant."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'xtf' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
