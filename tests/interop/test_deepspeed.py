"""Training by DeepSpeed: two processes under ``accelerate launch`` do what one does, at every stage of ZeRO."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import xtf.model.head
from tests.interop.trainers import ROOT, environment, run_in
from tests.tiny import tiny_model
from tests.training.in_shards import METHODS, losses_of

FILES = {"lora": "adapter_model.safetensors", "full": "model.safetensors"}


def configuration_of_the_page() -> dict[str, Any]:
    """The file that ``docs/run.md`` shows."""
    page = (ROOT / "docs" / "run.md").read_text(encoding="utf-8")
    found = re.search(r"# deepspeed\.yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    settings: dict[str, Any] = yaml.safe_load(found[1])
    return settings


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[float]]]:
    """The models that one process trains, and its losses."""
    folder = tmp_path_factory.mktemp("alone")
    before = xtf.model.head.LOGITS_BYTES
    try:
        return folder, losses_of(folder, 1)
    finally:
        xtf.model.head.LOGITS_BYTES = before


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # of peft's own making
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_two_processes_train_as_one(stage: int, alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = environment("deepspeed")
    if shutil.which("c++") is None:
        pytest.skip("DeepSpeed compiles what its processes share memory by, for which a C++ compiler is needed")
    monkeypatch.setenv("PATH", f"{python.parent}:{os.environ['PATH']}")  # where ninja is
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = configuration_of_the_page()
    settings["deepspeed_config"]["zero_stage"] = stage
    launch = tmp_path / "launch.yaml"
    launch.write_text(yaml.safe_dump({**settings, "main_process_port": 0}), encoding="utf-8")
    command = ["-m", "accelerate.commands.launch", "--config_file", str(launch), "--module"]
    run_in("deepspeed", *command, "tests.training.in_shards", tmp_path)

    folder, expected = alone
    for rank in ("0", "1"):
        found = json.loads((tmp_path / f"losses-{rank}.json").read_text(encoding="utf-8"))
        assert found == {method: pytest.approx(losses, rel=1e-5) for method, losses in expected.items()}
    for method in METHODS:
        saved = [load_file(place / method / "model" / FILES[method]) for place in (tmp_path, folder)]
        assert saved[0].keys() == saved[1].keys()
        for key, value in saved[0].items():
            assert (value - saved[1][key]).abs().mean() < 1e-6, key
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "full" / "model").num_parameters() > 0
    assert PeftModel.from_pretrained(tiny_model(), tmp_path / "lora" / "model").peft_config
