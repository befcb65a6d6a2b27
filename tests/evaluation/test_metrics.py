"""The metrics: what counts as right, what as wrong, and what cannot be judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import xtf.evaluation.sandbox as sandbox
from xtf.config import METRICS
from xtf.errors import ConfigError
from xtf.evaluation import Metric, Task, Verdict
from xtf.evaluation.final_answer import marked_answer
from xtf.evaluation.judging import choose_judges, load_metric
from xtf.evaluation.sandbox import runs_through
from xtf.testing import check_metric

HUMAN_EVAL = {
    "prompt": 'from typing import List\n\ndef total(xs: List[int]) -> int:\n    """Sum up."""\n',
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
    "entry_point": "total",
}
MBPP = {"test_list": ["assert double(2) == 4", "assert double(0) == 0"], "test_setup_code": ""}
JUDGED: dict[str, list[Task]] = {
    "math": [Task("g", "", "3 + 4 = 7\n#### 7"), Task("m", "", r"so \boxed{\frac34}"), Task("no", "", "It rains.")],
    "choice": [Task("c", "", "B. Paris"), Task("d", "", "The answer is (C)."), Task("no", "", "A dog barks.")],
    "yes_no": [Task("y", "", "Yes, it does (p=0.02)."), Task("no", "", "It may.")],
    "text_match": [Task("t", "", "The Eiffel Tower."), Task("no", "", "word " * 13)],
    "unit_tests": [
        Task("h", HUMAN_EVAL["prompt"], "    return sum(xs)\n", HUMAN_EVAL),
        Task("p", "", "```python\ndef double(x):\n    return 2 * x\n```", MBPP),
        Task("bad", "", "def double(x): return 5", MBPP),
        Task("no", "", "def f(): pass"),
    ],
    "last_word": [Task("w", "", "so it is blue"), Task("no", "", " ")],
}


def test_every_metric_is_held_to_the_contract() -> None:
    assert set(JUDGED) == set(METRICS.points())


@pytest.mark.parametrize("name", JUDGED)
def test_contract(name: str) -> None:
    check_metric(load_metric(name), JUDGED[name])


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        (r"\boxed{\frac34}", r"\boxed{\frac54}", False),
        (r"\boxed{\frac34}", "so it is $0.75$", True),
        (r"#### 2\sqrt3", r"#### 5\sqrt3", False),
        (r"#### 2\sqrt3", r"#### \sqrt{12}", True),
        ("The answer is x*2", "The answer is x+2", False),
        ("The answer is x*2", "The answer is 2x", True),
        ("The answer is x*2", "2", False),
        ("so\n#### 1,234", "#### $1234", True),
        ("so\n#### 1,234", "It costs $1,234.00.", True),
        ("#### 18", "It is **18**.", True),
        ("#### 18", "18-hour shifts", True),
        ("#### 18", "x + 18", False),
        ("#### 18", "18/2", False),
        ("#### 18", r"5\sqrt{18}", False),
        ("#### 18", "1.18", False),
        ("#### 18", "-18", False),
        ("#### 18", "18 hours for 3 days", False),
        ("#### 18", "18 - 15 = 3", False),
        ("#### 18", "#### 18 and later 9", True),
        ("#### 18", "The answer is 18. Next question: 7?", True),
        ("#### -3", "falls to −3", True),
        ("#### -3", "10-3", False),
        (r"\boxed{(3,\frac{\pi}{2})}", r"$\left( 3, \frac{\pi}{2} \right)$", True),
        (r"\boxed{2n+1}", "2", False),
        (r"\boxed{2n+1}", "$1+2n$", True),
        (r"\boxed{6 - 5i}", r"\boxed{5i}", False),
        (r"\boxed{\text{Evelyn}}", r"\boxed{\text{Bob}}", False),
        ("7", "3 + 4 = 7", True),
        ("#### 3", "9" * 4000, False),
        (r"\boxed{1{,}234}", r"\boxed{1234}", True),
        (r"\boxed{10,\!000}", "#### 10 000", False),
        (r"\boxed{10,\!000}", "#### 10,000", True),
        ("#### 1.5 million", "#### 1.5 billion", False),
        ("#### 1.5 million", "#### $1,500,000", True),
        ("#### 1.5", "It is 1.5 million", False),
        ("#### 24", "two, that is 2 dozen", True),
        ("#### 1 1/2", "#### 1.5", True),
        ("#### 1 1/2", "#### 1 1/3", False),
        ("#### 1 1/2", "It is 1 1/2.", True),
        ("#### 1½", r"\boxed{\frac32}", True),
        ("#### 1e5", "#### 100000", True),
        ("#### 3 x 10^4", "#### 3 x 10^5", False),
        ("#### 3 x 10^4", "#### 30000", True),
        ("#### 10²", "#### 10³", False),
        ("#### 3√2", r"\boxed{3\sqrt2}", True),
        ("#### 3√2", "#### 3√5", False),
        ("#### x²", "#### x³", False),
        ("The answer is 3 and 5", "The answer is 3 and 7", False),
        ("The answer is 3 and 5", "The answer is 3 and 5.", True),
        ("#### 3", "The answer is 3 or 5", False),
        ("#### 5", "It is between 3 and 5", False),
        ("#### 30", "It takes 2 hours 30 minutes", False),
        ("#### 2 hours 30 minutes", "#### 2 hours and 30 min", True),
        ("#### 2 hours 30 minutes", "#### 2 hours 45 minutes", False),
        ("#### 5 R 2", "#### 5 R 3", False),
        ("#### 5 remainder 2", "#### 5", False),
        ("#### 10 mod 3", "#### 10", False),
        ("#### 3:30 pm", "#### 3:30 am", False),
        ("#### 3:30 pm", "#### 3:30 P.M.", True),
        (r"\boxed{101_2}", r"\boxed{101_{2}}", True),
        (r"\boxed{101_2}", r"\boxed{101_3}", False),
        (r"\boxed{5!}", r"\boxed{120}", True),
        (r"\boxed{5!}", r"\boxed{5}", False),
        ("#### 5", "The answer is 5!", True),
        (r"\boxed{(1,2]}", r"\boxed{[1,2)}", False),
        (r"\boxed{3\pm\sqrt2}", r"\boxed{3+\sqrt2}", False),
        ("#### ±3", "#### 3", False),
        ("#### 50%", "#### 5%", False),
        (r"\boxed{1, 2, 3}", r"\boxed{1, 2}", False),
    ],
)
def test_mathematics(reference: str, answer: str, right: bool) -> None:
    metric, task = load_metric("math"), Task("x", "", reference)
    assert metric.unfit(task) is None
    assert metric.judge(task, answer).correct is right


@pytest.mark.parametrize(
    "reference",
    ["Yes … p=0.02", "No number.", "the answer is yes", r"\boxed{A}", "#### none", "", "Paris has 2 million people."],
)
def test_what_is_no_mathematics_is_not_judged_by_it(reference: str) -> None:
    assert load_metric("math").unfit(Task("x", "", reference)) is not None


def test_a_number_that_takes_for_ever_is_wrong_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtf.evaluation.metrics.math._SECONDS", 1)
    assert not load_metric("math").judge(Task("x", "", "#### 2"), "#### 9^{9^{9^9}}").correct


@pytest.mark.parametrize(
    ("name", "reference", "answer", "right"),
    [
        ("yes_no", "Yes … p=0.02", "No … p=0.02", False),
        ("yes_no", "Yes … p=0.02", "**Yes**, for sure", True),
        ("yes_no", "maybe", "Maybe.", True),
        ("yes_no", "no", "No one knows; yes", False),
        ("yes_no", "no", "Yes at first, but the answer is: no", True),
        ("yes_no", "yes", "The drug works.\nYes", True),
        ("yes_no", "yes", "yesterday", False),
        ("yes_no", "yes", r"so \boxed{\text{Yes}}", True),
        ("yes_no", "yes", r"so \boxed{\text{No}}", False),
        ("choice", "B", "(B) Paris", True),
        ("choice", "B", "A dog; the answer is B.", True),
        ("choice", "B", "B is a letter", False),
        ("choice", "B", "C", False),
        ("choice", "B", "The correct option is B.", True),
        ("choice", "B", "The correct choice is (C), not B.", False),
        ("choice", "B", r"\boxed{\text{B}}", True),
        ("text_match", "the Eiffel tower", "Eiffel Tower!", True),
        ("text_match", "Paris", "It is Paris", False),
        ("text_match", "1.5", "15", False),
        ("text_match", "x-1", "x1", False),
        (
            "unit_tests",
            "def total(xs): return sum(xs)",
            "Sure:\n```python\ndef total(xs):\n    return sum(xs)\n```",
            True,
        ),
        ("unit_tests", "    return sum(xs)", "    return sum(xs)", True),
        ("unit_tests", "    return sum(xs)", "    return 3", False),
        ("unit_tests", "    return sum(xs)", "import sys; sys.exit(0)", False),
        ("unit_tests", "    return sum(xs)", "def total(xs: List[int]): return sum(xs)", True),
    ],
)
def test_other_answers(name: str, reference: str, answer: str, right: bool) -> None:
    metric, task = load_metric(name), Task("x", "", reference, HUMAN_EVAL)
    assert metric.unfit(task) is None
    assert metric.judge(task, answer).correct is right


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### 5\n", "5"),
        ("4 before #### none", "none"),
        (r"\boxed{1} then \boxed{a{b}c}", "a{b}c"),
        (r"\boxed{open", None),
        ("The final answer is: **12**. I hope so.", "12"),
        ("Answer: 3.5 km.", "3.5 km"),
        ("An answer key lists 12.", None),
        ("", None),
    ],
)
def test_marked_answer(text: str, answer: str | None) -> None:
    assert marked_answer(text) == answer


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.socket()",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.kill(os.getppid(), 0)",
        "open(PLACE + '/new', 'w')",
        "import os; os.remove(PLACE + '/kept')",
        "import os; os.rename(PLACE + '/kept', PLACE + '/other')",
        "import os; os.mkdir(PLACE + '/new')",
        "import os; os.truncate(PLACE + '/kept', 0)",
        "import os; os.open(PLACE + '/kept', os.O_RDWR)",
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        "assert False",
        "bytearray(4 << 30)",
        "while True: pass",
        "import time; time.sleep(60)",
        "(",
    ],
)
def test_the_sandbox_refuses(program: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    assert not runs_through(f"PLACE = {str(tmp_path)!r}\n{program}", seconds=1)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kept", "kept")]


def test_the_sandbox_lets_compute_and_read(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    assert runs_through(
        f"assert open({str(tmp_path / 'kept')!r}).read() == 'kept'\n"
        "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()\n"
        "def f(n): return f(n - 1) + 1 if n else 0\nassert f(3000) == 3000"
    )


def test_without_a_filter_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text(sandbox._CHILD.read_text().replace('{"x86_64": _X86, "aarch64": _ARM}', "{}"))
    monkeypatch.setattr(sandbox, "_CHILD", child)
    with pytest.raises(ConfigError, match="no sandbox without network"):
        runs_through("x = 1")


def rows(**counts: int) -> list[Task]:
    texts = {"number": "#### 7", "decision": "Yes.", "story": "It rained all day long, and " * 3}
    return [Task(f"{kind}-{i}", "", texts[kind]) for kind, count in counts.items() for i in range(count)]


@pytest.mark.parametrize(
    ("tasks", "chosen"),
    [
        (rows(number=4), ["math"]),
        (rows(number=1, story=11), []),
        (rows(number=2, decision=2), ["math", "yes_no"]),
        (rows(decision=3, number=1), ["yes_no"]),
        ([Task("a", "", "An apple.")], ["text_match"]),
        ([Task("h", "", "    return sum(xs)", HUMAN_EVAL)], ["text_match"]),
        ([], []),
    ],
)
def test_auto_takes_what_fits(tasks: list[Task], chosen: list[str]) -> None:
    assert sorted(metric.name for metric in choose_judges(tasks, "auto").metrics) == sorted(chosen)


def test_rows_that_cannot_be_judged_are_named() -> None:
    judges = choose_judges(rows(number=1, story=2), ["math"])
    assert judges.asked == [True, False, False]
    (result,), shown = judges.judge({"number-0": "#### 7"})
    assert (result.correct, result.judged) == (1, 1)
    assert list(result.unjudged.values()) == [("story-0", "story-1")]
    assert [(one["example_id"], one["predicted"], one["correct"]) for one in shown] == [("number-0", "7", True)]


def test_a_named_metric_that_fits_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"math can judge none of the 2 held-out rows: 2 × the reference marks no"):
        choose_judges(rows(story=2), ["math"])
    with pytest.raises(ConfigError, match=r"evaluation.metrics: no metric of that name. Did you mean 'math'"):
        choose_judges(rows(story=2), ["maths"])


class Generous(Metric):
    """Calls anything right."""

    name, label = "last_word", "generous"

    def unfit(self, task: Task) -> str | None:
        return None if task.reference else "empty"

    def judge(self, task: Task, answer: str) -> Verdict:
        return Verdict(True, answer, task.reference)


class Strict(Generous):
    def judge(self, task: Task, answer: str) -> Verdict:
        return Verdict(False, answer, task.reference)


class Fragile(Generous):
    def judge(self, task: Task, answer: str) -> Verdict:
        return Verdict(bool(int(answer)), answer, task.reference)


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [(Generous, "empty answer"), (Strict, "reference itself"), (Fragile, "raises ValueError for the answer")],
)
def test_the_contract_notices(metric: Any, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtf.testing.metrics.load_metric", lambda name: metric())
    if metric is Fragile:
        monkeypatch.setattr("xtf.testing.metrics._ANYTHING", ("x",))
        monkeypatch.setattr(metric, "judge", lambda self, t, a: Verdict(bool(a and int(a)), a, ""))
    with pytest.raises(AssertionError, match=complaint):
        check_metric(metric(), [Task("a", "", "1"), Task("no", "", "")])
