"""A process that imports everything once and forks a child for each ``xtf`` command, which may be killed on the way.

A child is killed by SIGKILL, which it cannot notice: before its n-th file operation, or after a while. Requests and
answers are lines of JSON. Nothing here has run torch when it forks, so no thread is lost in the child.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

OPERATIONS = ("replace", "rename", "fsync", "unlink", "mkdir", "rmdir")


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: the signal), file operations, seconds, and what it printed."""

    code: int
    operations: int
    seconds: float
    text: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Driver:
    """The other side of :func:`serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *arguments: object, kill_at: int | None = None, delay: float | None = None) -> Ended:
        """Run a command to its end, or until its ``kill_at``-th file operation, or for ``delay`` seconds."""
        return self._ask([[str(argument) for argument in arguments]], kill_at, delay)[0]

    def together(self, *commands: tuple[object, ...]) -> list[Ended]:
        """Run several commands at the same time, to their ends."""
        return self._ask([[str(argument) for argument in command] for command in commands], None, None)

    def _ask(self, commands: list[list[str]], kill_at: int | None, delay: float | None) -> list[Ended]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"commands": commands, "kill_at": kill_at, "delay": delay}) + "\n")
        self._process.stdin.flush()
        return [Ended(**ended) for ended in json.loads(self._process.stdout.readline())]

    def done(self, *arguments: object) -> Ended:
        """Run a command that has to succeed."""
        ended = self.run(*arguments)
        assert ended.code == 0, ended.text
        return ended


@contextmanager
def driver() -> Iterator[Driver]:
    """Start the process, and end it."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "tests.durability.driver"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        yield Driver(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()


def serve() -> None:
    """Answer requests until standard input ends."""
    import torch

    torch.set_num_threads(1)
    _import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        children = [_forked(command, request["kill_at"]) for command in request["commands"]]
        sys.stdout.write(json.dumps([_ended(*child, request["delay"]) for child in children]) + "\n")
        sys.stdout.flush()


def _import_everything() -> None:
    import peft
    import transformers.models.llama.modeling_llama

    import xtf.report.html.write
    import xtf.steps.scoring
    import xtf.steps.training
    from xtf.attribute import registry

    assert peft
    assert transformers
    assert xtf
    for name in registry.names():
        registry.load(name)


def _forked(arguments: list[str], kill_at: int | None) -> tuple[int, int]:
    """A child that runs a command, and the pipe that it prints to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        _command(arguments, kill_at)
    os.close(writing)
    return child, reading


def _ended(child: int, reading: int, delay: float | None) -> dict[str, Any]:
    started = time.monotonic()
    text = _read(reading, child, None if delay is None else started + delay)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    text, _, operations = text.rpartition("operations:")
    count = int(operations) if operations.strip().isdigit() else 0
    return {"code": code, "operations": count, "seconds": time.monotonic() - started, "text": text or operations}


def _read(reading: int, child: int, until: float | None) -> str:
    """What the child prints, until it ends or is killed at ``until``."""
    parts: list[bytes] = []
    while True:
        patience = None if until is None else max(until - time.monotonic(), 0.0)
        ready, _, _ = select.select([reading], [], [], patience)
        if not ready:
            os.kill(child, signal.SIGKILL)
            until = None
            continue
        part = os.read(reading, 1 << 16)
        if not part:
            os.close(reading)
            return b"".join(parts).decode(errors="replace")
        parts.append(part)


def _command(arguments: list[str], kill_at: int | None) -> None:
    """The child: count file operations, run, and leave without going through the parent's exit handlers."""
    import traceback

    from xtf.cli import main

    count = 0

    def counted(original: Any) -> Any:
        def operation(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return operation

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))
    code: Any = 1
    try:
        main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    except BaseException:
        traceback.print_exc()
    os.write(1, f"operations:{count}".encode())
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    serve()
