"""Code: does the answer pass the unit tests of its row?"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

from xtf.evaluation.metric import Metric, Task, Verdict
from xtf.evaluation.sandbox import runs_through

_BLOCK = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:\n?```|\Z)", re.S)
_runs_through = cache(runs_through)


class UnitTests(Metric):
    """The Python code of the answer passes the tests of its row, in a sandbox without network.

    Rows bring them as HumanEval does (``test`` and ``entry_point``) or as MBPP does (``test_list``). A row is judged
    only if its reference passes them.
    """

    name: ClassVar[str] = "unit_tests"
    label: ClassVar[str] = "tests passed"
    chosen: ClassVar[Literal["fitting", "last", "named"]] = "named"

    def unfit(self, task: Task) -> str | None:
        if tests_of(task.row) is None:
            return "the row has no tests (test with entry_point, or test_list)"
        if not _runs_through(program_of(task, task.reference)):
            return "the reference fails the tests of its row"
        return None

    def judge(self, task: Task, answer: str) -> Verdict:
        return Verdict(
            _runs_through(program_of(task, answer)), code_of(answer, entry_point(task.row)), "passes its tests"
        )


def tests_of(row: Mapping[str, Any]) -> str | None:
    """The tests as a program that follows the code; None if the row has none."""
    listed = row.get("test_list")
    if isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed):
        imports = row.get("test_imports")
        return "\n".join(
            [*map(str, imports if isinstance(imports, list) else ()), str(row.get("test_setup_code") or ""), *listed]
        )
    test, name = row.get("test"), entry_point(row)
    if not isinstance(test, str) or not test.strip():
        return None
    return f"{test}\ncheck({name})" if name and "def check(" in test else test


def entry_point(row: Mapping[str, Any]) -> str | None:
    """The function that is tested, if the row names it."""
    name = row.get("entry_point")
    return name if isinstance(name, str) and name.isidentifier() else None


def program_of(task: Task, answer: str) -> str:
    """Code and tests as one program; an answer that only goes on from the prompt's function is put behind it."""
    name, tests = entry_point(task.row), tests_of(task.row)
    given = task.row.get("prompt")
    prompt, code = given if isinstance(given, str) else "", code_of(answer, name)
    if name is not None and not _defines(code, name):
        return f"{prompt}{code}\n{tests}"
    return f"{prompt if _compiles(prompt) else ''}\n{code}\n{tests}"  # imports and helpers may stand in the prompt


def code_of(answer: str, name: str | None) -> str:
    """The fenced block that defines ``name``, or else the first; the whole answer if nothing is fenced."""
    blocks = [match[1] for match in _BLOCK.finditer(answer)]
    return next((block for block in blocks if name and _defines(block, name)), blocks[0] if blocks else answer)


def _defines(code: str, name: str) -> bool:
    return re.search(rf"^(?:async\s+)?def\s+{re.escape(name)}\s*\(", code, re.M) is not None


def _compiles(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
