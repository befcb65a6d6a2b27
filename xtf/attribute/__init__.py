"""What a scorer is: the base class (begin in ``base``), the signals it may ask for, and the registry of all scorers.

Everything that a scorer of your own needs can be imported from here; ``xtf.testing`` holds the checks it must pass.
"""

from xtf.attribute.base import Attribute, AttributeParams, Detail, FitContext, NoParams, Scored
from xtf.attribute.reference import Reference, Roles, Target
from xtf.attribute.signals import (
    AttentionBlock,
    AttentionReceived,
    AttentionRowMean,
    AttentionSignal,
    AttentionToPrompt,
    Entropy,
    HiddenState,
    LayerReading,
    LogProb,
    LogRank,
    LossDerivative,
    MaxLogProb,
    Prediction,
    PredictionSignal,
    Projection,
    SignalRequest,
    Signals,
    StateSignal,
    SurpriseSpread,
    TokenEmbedding,
    TopTokens,
)

__all__ = [
    "AttentionBlock",
    "AttentionReceived",
    "AttentionRowMean",
    "AttentionSignal",
    "AttentionToPrompt",
    "Attribute",
    "AttributeParams",
    "Detail",
    "Entropy",
    "FitContext",
    "HiddenState",
    "LayerReading",
    "LogProb",
    "LogRank",
    "LossDerivative",
    "MaxLogProb",
    "NoParams",
    "Prediction",
    "PredictionSignal",
    "Projection",
    "Reference",
    "Roles",
    "Scored",
    "SignalRequest",
    "Signals",
    "StateSignal",
    "SurpriseSpread",
    "Target",
    "TokenEmbedding",
    "TopTokens",
]
