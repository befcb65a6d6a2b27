"""Training with weights in shards: two processes under ``accelerate launch`` do what one does."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import DistributedType
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from safetensors.torch import load_file
from torch.distributed.fsdp import CPUOffloadPolicy

import xtf.model.head
from tests.conftest import run_module
from tests.tiny import tiny_model
from tests.training.in_shards import METHODS, losses_of
from tests.training.test_trainer import CONFIG
from xtf.config import TrainingConfig
from xtf.errors import ConfigError, ModelError, XTFError
from xtf.model.head import Head
from xtf.training.sharding import refuse_first_version, refuse_launch
from xtf.training.zero import OLDEST

LAUNCH = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
mixed_precision: 'no'
num_machines: 1
num_processes: 2
fsdp_config: {fsdp_version: 2, fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP, fsdp_cpu_ram_efficient_loading: true}
"""


def test_two_processes_with_weights_in_shards_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xtf.model.head, "LOGITS_BYTES", xtf.model.head.LOGITS_BYTES)  # losses_of sets it
    settings = tmp_path / "launch.yaml"
    settings.write_text(LAUNCH, encoding="utf-8")
    command = ["accelerate.commands.launch", "--config_file", str(settings), "--module"]
    apart, alone = tmp_path / "apart", tmp_path / "alone"
    apart.mkdir()
    run_module(*command, "tests.training.in_shards", str(apart))
    expected = losses_of(alone, 1)
    for rank in ("0", "1"):
        found = json.loads((apart / f"losses-{rank}.json").read_text(encoding="utf-8"))
        assert found == {method: pytest.approx(losses, rel=1e-3) for method, losses in expected.items()}
        assert all(found[method][0] == pytest.approx(expected[method][0], rel=1e-6) for method in METHODS)
    for method, name in zip(METHODS, ("adapter_model.safetensors", "model.safetensors"), strict=True):
        saved = [load_file(folder / method / "model" / name) for folder in (apart, alone)]
        assert saved[0].keys() == saved[1].keys()
        for key, value in saved[0].items():
            assert (value - saved[1][key]).abs().mean() < 1e-4, key


def launch(kind: DistributedType, precision: str = "no", **plugin: Any) -> Any:
    settings = {"activation_checkpointing": False, "cpu_offload": None, **plugin}
    return SimpleNamespace(
        distributed_type=kind,
        mixed_precision=precision,
        device=torch.device("cpu"),
        state=SimpleNamespace(fsdp_plugin=SimpleNamespace(**settings)),
    )


@pytest.mark.parametrize(
    ("asked", "config", "text"),
    [
        (launch(DistributedType.MEGATRON_LM), CONFIG, "asks for Megatron-LM.*choose FSDP .* or DeepSpeed"),
        (
            launch(DistributedType.FSDP, activation_checkpointing=True),
            CONFIG,
            r"fsdp_activation_checkpointing: training\.gradient_checkpointing decides this",
        ),
        (
            launch(DistributedType.FSDP, cpu_offload=CPUOffloadPolicy(pin_memory=False)),
            CONFIG,
            "fsdp_offload_params: the weights are in host memory already",
        ),
        (launch(DistributedType.FSDP), CONFIG.model_copy(update={"save_steps": 2}), r"training\.save_steps: no check"),
    ],
)
def test_launches_that_training_cannot_follow_are_refused(asked: Any, config: TrainingConfig, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        refuse_launch(asked, config, tiny_model(), "no")


def zero(device: str = "cpu", contradicts: tuple[str, ...] = (), **settings: Any) -> Any:
    """A launch by DeepSpeed, of a configuration that accelerate has read."""
    config = HfDeepSpeedConfig({"zero_optimization": {"stage": 2}, **settings})
    config.mismatches = [f"- {line}" for line in contradicts]
    asked = launch(DistributedType.DEEPSPEED)
    asked.device, asked.state = (
        torch.device(device),
        SimpleNamespace(deepspeed_plugin=SimpleNamespace(hf_ds_config=config)),
    )
    return asked


OFFLOADED: dict[str, Any] = {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}
TO_DISK: dict[str, Any] = {"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        (zero(bf16={"enabled": True}), ConfigError, r"DeepSpeed's bf16 rounds the weights.*mixed_precision: 'no'"),
        (zero(zero_optimization={"stage": 0}), ModelError, "zero_stage 0 shares nothing out"),
        (zero(optimizer={"type": "Lamb"}), ModelError, r"optimizer in the DeepSpeed configuration: .*training\.args"),
        (zero(**OFFLOADED), ModelError, "offload_optimizer_device: cpu: the weights are in host memory already"),
        (zero("cuda", **TO_DISK), ModelError, "offload_param_device: nvme: no more than host memory"),
        (
            zero(contradicts=("ds gradient_accumulation_steps=1 vs hf gradient_accumulation_steps=2",)),
            ConfigError,
            r"contradicts the section training.*ds gradient_accumulation_steps=1 vs hf .*=2\. Set it to 'auto'",
        ),
    ],
)
def test_settings_of_deepspeed_that_training_cannot_follow_are_refused(
    asked: Any, error: type[XTFError], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: OLDEST)
    with pytest.raises(error, match=text):
        refuse_launch(asked, CONFIG, tiny_model(), "no")


def test_deepspeed_that_is_not_in_the_way_of_training_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: OLDEST)
    refuse_launch(zero(gradient_clipping="auto"), CONFIG, tiny_model(), "no")
    refuse_launch(zero("cuda", **OFFLOADED), CONFIG, tiny_model(), "no")
    with pytest.raises(ModelError, match=r"training\.save_steps: no checkpoints"):
        refuse_launch(zero(), CONFIG.model_copy(update={"save_steps": 2}), tiny_model(), "no")
    monkeypatch.setattr(metadata, "version", lambda _: "0.18.2")
    with pytest.raises(ModelError, match=r"DeepSpeed 0\.18\.2 is older than .*pip install 'deepspeed>="):
        refuse_launch(zero(), CONFIG, tiny_model(), "no")


def test_the_first_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_first_version()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ModelError, match=r"asks for FSDP 1\. Set fsdp_version: 2"):
        refuse_first_version()
    monkeypatch.setenv("FSDP_VERSION", "2")
    refuse_first_version()


def test_the_precision_of_the_launch_must_be_that_of_the_configuration() -> None:
    for kind in (DistributedType.FSDP, DistributedType.MULTI_CPU, DistributedType.NO):
        refuse_launch(launch(kind), CONFIG, tiny_model(), "no")
        refuse_launch(launch(kind, "bf16"), CONFIG, tiny_model(), "bf16")
        with pytest.raises(ConfigError, match=r"training\.dtype: .* precision 'no', but the launch asks for 'bf16'"):
            refuse_launch(launch(kind, "bf16"), CONFIG, tiny_model(), "no")


def test_a_head_called_once_projects_any_number_of_pieces() -> None:
    model = tiny_model("gemma3")
    head = Head.find(model)
    assert head is not None
    calls = []
    head.project.register_forward_pre_hook(lambda *_: calls.append(1))
    hidden = torch.randn(5, 32)
    together = head.logits(hidden)
    pieces = head.in_one_call(hidden, lambda states, logits: torch.cat([logits(states[:2]), logits(states[2:])]))
    assert torch.allclose(pieces, together, atol=1e-6)
    assert len(calls) == 2
    assert "forward" not in vars(head.project)
