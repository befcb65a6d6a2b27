"""Work on a whole run folder, measured in a process that does nothing else: seconds and MiB."""

from __future__ import annotations

import time

from tests.benchmarks.memory import resident_mib


def label(folder: str) -> tuple[float, float]:
    """Label the run; its peak memory."""
    import xtf

    started = time.perf_counter()
    xtf.label(folder)
    return time.perf_counter() - started, resident_mib("VmHWM")


def rows(folder: str) -> tuple[float, float]:
    """Lay out the run's rows as training reads them and go through them in random order.

    The memory is what this process adds of its own; pages of the files on disk belong to nobody and are not counted.
    """
    import numpy as np

    from xtf.api import open_run
    from xtf.steps.labellings import labellings
    from xtf.training import labelled_rows

    run = open_run(folder)
    before, started = resident_mib("RssAnon"), time.perf_counter()
    examples, labelled = labellings(run, {})
    made = labelled_rows("xtf", examples, labelled, objective="mask", seed=0)
    for index in np.random.default_rng(0).permutation(len(made)):
        made[int(index)]
    return time.perf_counter() - started, resident_mib("RssAnon") - before
