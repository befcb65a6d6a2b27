"""What a scorer is: the base class (begin in ``base``), the signals it may ask for, and the registry of all scorers.

Everything that a scorer of your own needs can be imported from here; ``xtf.testing`` holds the checks it must pass.
"""

from xtf.attribute.base import Attribute, AttributeParams, FitContext, NoParams
from xtf.attribute.reference import Reference, Target
from xtf.attribute.signals import (
    AttentionReceived,
    AttentionRowMean,
    AttentionToPrompt,
    Entropy,
    LogProb,
    LossDerivative,
    SignalRequest,
    Signals,
    TokenEmbedding,
)

__all__ = [
    "AttentionReceived",
    "AttentionRowMean",
    "AttentionToPrompt",
    "Attribute",
    "AttributeParams",
    "Entropy",
    "FitContext",
    "LogProb",
    "LossDerivative",
    "NoParams",
    "Reference",
    "SignalRequest",
    "Signals",
    "Target",
    "TokenEmbedding",
]
