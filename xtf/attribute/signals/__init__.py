"""The signals that a scorer may ask for, one a file: each says what is asked and how it is read from the model.

Begin in ``base``: the three sorts that a package of your own can add to are there (:class:`PredictionSignal`,
:class:`AttentionSignal`, :class:`StateSignal`), and ``xtf.signals`` is the entry-point group that they are found under.
"""

from xtf.attribute.signals.alternative_log_prob import AlternativeLogProb
from xtf.attribute.signals.attention import AttentionBlock, AttentionSignal, LayerReading
from xtf.attribute.signals.attention_received import AttentionReceived
from xtf.attribute.signals.attention_to_prompt import AttentionToPrompt
from xtf.attribute.signals.base import SignalRequest, Signals
from xtf.attribute.signals.continuation import Continuation
from xtf.attribute.signals.divergence import Divergence
from xtf.attribute.signals.entropy import Entropy
from xtf.attribute.signals.gradient_norm import GradientNorm
from xtf.attribute.signals.hidden_state import HiddenState, Projection
from xtf.attribute.signals.log_prob import LogProb
from xtf.attribute.signals.log_prob_alone import LogProbAlone
from xtf.attribute.signals.log_rank import LogRank
from xtf.attribute.signals.loss_derivative import LossDerivative
from xtf.attribute.signals.max_log_prob import MaxLogProb
from xtf.attribute.signals.prediction import Prediction, PredictionSignal
from xtf.attribute.signals.state import StateSignal
from xtf.attribute.signals.surprise_spread import SurpriseSpread
from xtf.attribute.signals.token_embedding import TokenEmbedding
from xtf.attribute.signals.top_tokens import TopTokens

__all__ = [
    "AlternativeLogProb",
    "AttentionBlock",
    "AttentionReceived",
    "AttentionSignal",
    "AttentionToPrompt",
    "Continuation",
    "Divergence",
    "Entropy",
    "GradientNorm",
    "HiddenState",
    "LayerReading",
    "LogProb",
    "LogProbAlone",
    "LogRank",
    "LossDerivative",
    "MaxLogProb",
    "Prediction",
    "PredictionSignal",
    "Projection",
    "SignalRequest",
    "Signals",
    "StateSignal",
    "SurpriseSpread",
    "TokenEmbedding",
    "TopTokens",
]
