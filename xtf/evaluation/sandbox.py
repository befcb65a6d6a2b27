"""Run a Python program that a model wrote: in a process of its own, without network, new processes, or writing.

Linux only: the process gives up, before it reads the program, what :mod:`xtf.evaluation.sandbox_child` lists, by a
filter of system calls (seccomp) that the program cannot lift. What it can still do is compute and read files, within
limits of time and memory; nothing that it prints is kept.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

from xtf.errors import ConfigError

_CHILD = Path(__file__).with_name("sandbox_child.py")
_NO_FILTER = 86
SECONDS = 10
MEMORY = 2 << 30


def runs_through(program: str, seconds: int = SECONDS) -> bool:
    """Whether ``program`` comes to its last line, without an error, in time; leaving early counts as an error.

    Raises:
        ConfigError: the machine has no such sandbox.
    """
    word = secrets.token_hex(16)
    reader, writer = os.pipe()
    try:
        done = subprocess.run(  # noqa: S603 — the program is data to our own interpreter
            [sys.executable, "-I", "-B", str(_CHILD), str(writer)],
            input=json.dumps({"program": program, "word": word, "seconds": seconds, "memory": MEMORY}).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writer],
            env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            cwd="/",
            timeout=seconds + 5,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        os.close(writer)
        said = os.read(reader, 1 << 12).decode("utf-8", "replace")
        os.close(reader)
    if done.returncode == _NO_FILTER:
        raise ConfigError(
            "evaluation.metrics: unit_tests runs generated code, for which this machine has no sandbox without network "
            "(it takes Linux with seccomp, on x86-64 or ARM64). Evaluate on such a machine, or leave unit_tests out."
        )
    return done.returncode == 0 and said == word
