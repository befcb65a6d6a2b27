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
        estimate,
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
        AttentionToPrompt,
        Attribute,
        AttributeParams,
        Continuation,
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
    from xtf.attribute import PredictionSignal as PredictionSignal
    from xtf.attribute.registry import register
    from xtf.cluster import RayEngine
    from xtf.config import Scope as Scope
    from xtf.errors import XTFError
    from xtf.evaluation import Metric as Metric
    from xtf.evaluation import Task as Task
    from xtf.evaluation import Verdict as Verdict
    from xtf.evaluation import load_metric as load_metric
    from xtf.exporters import Exporter as Exporter
    from xtf.exporters import TextExporter as TextExporter
    from xtf.integrations.callback import CheckCallback as CheckCallback
    from xtf.integrations.checking import check_batches as check_batches
    from xtf.integrations.datatrove import XtfLabeller as XtfLabeller
    from xtf.integrations.datatrove import whole_row as whole_row
    from xtf.integrations.transformers import WeightedTrainer as WeightedTrainer
    from xtf.integrations.transformers import pad_rows as pad_rows
    from xtf.integrations.trl import WeightedSFTTrainer as WeightedSFTTrainer
    from xtf.labelling.combiners import Combiner as Combiner
    from xtf.labelling.combiners import Decision as Decision
    from xtf.labelling.combiners import FittedCombiner as FittedCombiner
    from xtf.labelling.cuts import Quantile as Quantile
    from xtf.labelling.cuts import Scoped as Scoped
    from xtf.labelling.cuts import StepsControl as StepsControl
    from xtf.labelling.cuts.float32 import float32_up as float32_up
    from xtf.progress import Activity, watch_progress
    from xtf.runs.versions import __version__
    from xtf.scorer import Scorer
    from xtf.testing import check_metric as check_metric
    from xtf.testing import parametrize_combiners_with_checks as parametrize_combiners_with_checks
    from xtf.testing import parametrize_cuts_with_checks as parametrize_cuts_with_checks
    from xtf.testing import parametrize_exporters_with_checks as parametrize_exporters_with_checks
    from xtf.testing import parametrize_signals_with_checks as parametrize_signals_with_checks
    from xtf.testing import parametrize_text_exporters_with_checks as parametrize_text_exporters_with_checks
    from xtf.testing import parametrize_with_checks as parametrize_with_checks
    from xtf.training.loss import weigh as weigh

_HOMES = {
    "xtf.attribute": (
        "AlternativeLogProb AttentionReceived AttentionToPrompt Attribute AttributeParams "
        "Continuation Detail Divergence Entropy FitContext GradientNorm HiddenState LogProb LogProbAlone LogRank "
        "LossDerivative MaxLogProb NoParams Projection Reference "
        "Roles Scored SignalRequest Signals SurpriseSpread Target TokenEmbedding TopTokens"
    ),
    "xtf.cluster": "RayEngine",
    "xtf.errors": "XTFError",
    "xtf.progress": "Activity watch_progress",
    "xtf.runs.versions": "__version__",
    "xtf.scorer": "Scorer",
    "xtf.attribute.registry": "register",
    "xtf.api": (
        "Run apply_spans detect estimate evaluate export find inspect label load_config open_run plant run score study "
        "train"
    ),
}
_PLUG_INS = {
    "xtf.attribute": "PredictionSignal",
    "xtf.config": "Scope",
    "xtf.evaluation": "Metric Task Verdict load_metric",
    "xtf.exporters": "Exporter TextExporter",
    "xtf.integrations.callback": "CheckCallback",
    "xtf.integrations.checking": "check_batches",
    "xtf.integrations.datatrove": "XtfLabeller whole_row",
    "xtf.integrations.transformers": "WeightedTrainer pad_rows",
    "xtf.integrations.trl": "WeightedSFTTrainer",
    "xtf.labelling.combiners": "Combiner Decision FittedCombiner",
    "xtf.labelling.cuts": "Quantile Scoped StepsControl",
    "xtf.labelling.cuts.float32": "float32_up",
    "xtf.testing": (
        "check_metric parametrize_combiners_with_checks parametrize_cuts_with_checks "
        "parametrize_exporters_with_checks parametrize_signals_with_checks parametrize_text_exporters_with_checks "
        "parametrize_with_checks"
    ),
    "xtf.training.loss": "weigh",
}
"""For plug-ins and other trainers; not in ``__all__``, for some of it needs packages of its own (TRL, pytest)."""
_HOME_OF = {name: module for homes in (_HOMES, _PLUG_INS) for module, names in homes.items() for name in names.split()}

__all__ = [
    "Activity",
    "AlternativeLogProb",
    "AttentionReceived",
    "AttentionToPrompt",
    "Attribute",
    "AttributeParams",
    "Continuation",
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
    "RayEngine",
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
    "__version__",
    "apply_spans",
    "detect",
    "estimate",
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
    return sorted(_HOME_OF)
