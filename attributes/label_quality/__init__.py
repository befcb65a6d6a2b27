"""Label quality: the probability that a token is right, by a detector that teaches itself on the user's own data.

Begin reading in ``scorer``. ``copies`` plants known mistakes, ``window`` says what is looked at, ``networks`` and
``trees`` learn to tell wrong from right, a ``committee`` of both answers, ``calibration`` makes a probability of it.
"""

from .scorer import LabelQuality, LabelQualityParams

__all__ = ["LabelQuality", "LabelQualityParams"]
