"""Does masking help on these data? Arms × seeds × settings as one resumable job, and what its figures allow to say.

Begin reading in ``running`` (the job), then ``planning`` (what is trained), ``bench`` (one setting's rows, labels and
held-out rows), ``outcomes`` (what is measured of a trained arm), ``statistics``, ``analysis`` and ``verdict``.
"""

from xtf.studies.planning import Plan, plan_study
from xtf.studies.running import run_study

__all__ = ["Plan", "plan_study", "run_study"]
