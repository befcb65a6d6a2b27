"""Peak memory above the weights for one long example, each side in a process of its own."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def long_example_memory(length: int = 8192) -> dict[str, Any]:
    """Peak memory above the weights: three attributes ÷ a plain forward, one example of ``length`` tokens."""
    ours, plain = _child("ours", length), _child("plain", length)
    return {
        "scoring.peak_memory_over_forward_8k": {
            "median": round(ours / plain, 3),
            "ours_mib": round(ours),
            "forward_mib": round(plain),
            "tokens": length,
        }
    }


def _child(side: str, length: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.memory", side, str(length)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def _measure(side: str, length: int) -> float:
    import numpy as np

    from tests.benchmarks.scoring import three_attributes
    from tests.benchmarks.setting import Setting, plain_forward, setting
    from xtf.tokens import TokenizedExample

    base = setting("float32", None, 60)
    short = Setting(base.loaded, base.examples[:2], base.dtype)
    work = three_attributes if side == "ours" else plain_forward
    work(short)  # libraries and buffers that any first call makes
    ids = np.concatenate([example.input_ids for example in base.examples])
    is_response = np.concatenate([example.is_response for example in base.examples])
    ids, is_response = np.resize(ids, length).astype(np.int32), np.resize(is_response, length)
    is_response[0] = False
    example = TokenizedExample("long", ids, is_response, np.zeros(length, np.bool_))
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew at what is resident now
    before = resident_mib("VmRSS")
    work(Setting(base.loaded, [example], base.dtype))
    return resident_mib("VmHWM") - before


def resident_mib(field: str) -> float:
    """``VmRSS``, memory resident now, or ``VmHWM``, its peak; of this process, on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
