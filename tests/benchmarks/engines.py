"""python -m tests.benchmarks.engines 1000 10000: seconds to score so many synthetic rows, plain and on a Ray cluster.

Each is a command of its own, from its start to its end: imports, tokenising, Ray and models included.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import chat_rows, tiny_config, write_config
from tests.tiny import tiny_model, tiny_tokenizer

ENGINES = {
    "plain": [],
    "1 actor": ["--engine", "ray", "--num-cpus", "1", "--actors", "1"],
    "2 actors": ["--engine", "ray", "--num-cpus", "1", "--actors", "2"],
}


def main() -> None:
    """Print one line for each number of rows and engine."""
    with TemporaryDirectory() as place:
        model = Path(place) / "model"
        tiny_model("llama").save_pretrained(str(model))
        tiny_tokenizer().save_pretrained(str(model))
        for rows in map(int, sys.argv[1:]):
            for engine, options in ENGINES.items():
                folder = Path(place) / f"{rows}-{len(options)}-{engine[0]}"
                folder.mkdir()
                config = write_config(folder / "a.yaml", tiny_config(folder, model, chat_rows(rows)))
                started = time.monotonic()
                subprocess.run(
                    [sys.executable, "-m", "xtf", "score", str(config), *options], check=True, capture_output=True
                )
                print(f"{rows:>9,} rows, {engine:<8} {time.monotonic() - started:8.1f} s", flush=True)


if __name__ == "__main__":
    main()
