"""What a scorer is: the base class (begin in ``base``), the signals it may ask for, and the registry of all scorers.

Everything that a scorer of your own needs can be imported from here; ``xtf.testing`` holds the checks it must pass.
"""

from xtf.attribute.base import Attribute, AttributeParams, Detail, FitContext, NoParams, Scored
from xtf.attribute.reference import Reference, Roles, Target
from xtf.attribute.signals import (
    AttentionReceived,
    AttentionRowMean,
    AttentionToPrompt,
    Entropy,
    HiddenState,
    LogProb,
    LogRank,
    LossDerivative,
    MaxLogProb,
    Projection,
    SignalRequest,
    Signals,
    SurpriseSpread,
    TokenEmbedding,
    TopTokens,
    model_of,
)

__all__ = [
    "AttentionReceived",
    "AttentionRowMean",
    "AttentionToPrompt",
    "Attribute",
    "AttributeParams",
    "Detail",
    "Entropy",
    "FitContext",
    "HiddenState",
    "LogProb",
    "LogRank",
    "LossDerivative",
    "MaxLogProb",
    "NoParams",
    "Projection",
    "Reference",
    "Roles",
    "Scored",
    "SignalRequest",
    "Signals",
    "SurpriseSpread",
    "Target",
    "TokenEmbedding",
    "TopTokens",
    "model_of",
]
