"""Training runs: updates, order, resumption, and the base that is left as it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.architectures import architecture
from tests.tiny import TinyKind, tiny_model, tiny_tokenizer
from tests.training.test_loss import by_hand, example_rows
from xtf.config import LoraSettings, TrainingConfig
from xtf.errors import DataError, ModelError
from xtf.training import TrainingJob, TrainingRow, TrainResult, train_model

CONFIG = TrainingConfig(batch_size=2, epochs=2, learning_rate=1e-2, warmup_ratio=0.0, lora=LoraSettings(r=2, alpha=4))
LENGTHS = (14, 9, 11, 8, 13)


class Spy(Sequence[TrainingRow]):
    """Records in which order rows are read; raises KeyboardInterrupt at the chosen read."""

    def __init__(self, rows: list[TrainingRow], interrupt_at: int | None = None) -> None:
        self.rows, self.interrupt_at, self.seen = rows, interrupt_at, list[str]()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[TrainingRow]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> TrainingRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TrainingRow]: ...
    def __getitem__(self, index: int | slice) -> TrainingRow | Sequence[TrainingRow]:
        if isinstance(index, slice):
            return self.rows[index]
        self.seen.append(self.rows[index].example_id)
        if self.interrupt_at is not None and len(self.seen) > self.interrupt_at:
            raise KeyboardInterrupt
        return self.rows[index]


def train(
    folder: Path,
    rows: Sequence[TrainingRow] | None = None,
    config: TrainingConfig = CONFIG,
    model: Any = None,
    kind: TinyKind = "llama",
    **options: Any,
) -> TrainResult:
    settings: dict[str, Any] = {"fingerprint": "f", **options}
    return train_model(
        tiny_model(kind) if model is None else model,
        tiny_tokenizer(),
        example_rows(lengths=LENGTHS) if rows is None else rows,
        config,
        TrainingJob(folder, **settings),
    )


def state(model: Any) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_training_lowers_the_loss_and_release_restores_the_base(tmp_path: Path, kind: TinyKind, method: str) -> None:
    model = tiny_model(kind)
    before = state(model)
    config = CONFIG.model_copy(update={"method": method, "epochs": 6, "batch_size": 5})
    result = train(tmp_path, config=config, model=model, kind=kind)
    assert result.steps == len(result.losses) == 6
    assert result.losses[-1] < result.losses[0]
    assert (result.tokens_response, result.seconds > 0) == (sum(LENGTHS) - 3 * len(LENGTHS), True)
    result.release()
    assert equal(state(model), before)
    assert [parameter.requires_grad for parameter in model.parameters()] == [False] * len(list(model.parameters()))
    assert not model.training
    result.release()


@pytest.mark.parametrize("normalise", ["kept", "response"])
def test_the_loss_of_an_update_spans_its_micro_batches(tmp_path: Path, normalise: str) -> None:
    model, rows = tiny_model(), example_rows(lengths=LENGTHS, real=True)
    column = "weights" if normalise == "kept" else "is_response"
    expected = by_hand(model, rows).item() / sum(float(getattr(row, column).sum()) for row in rows)
    config = CONFIG.model_copy(update={"gradient_accumulation": 3, "normalise": normalise, "max_steps": 1})
    together = config.model_copy(update={"gradient_accumulation": 1, "batch_size": 5})
    trained = []
    for name, settings in (("parts", config), ("whole", together)):
        with train(tmp_path / name, rows, settings, model=model) as result:
            assert result.losses == pytest.approx([expected], rel=1e-5)
            trained.append(state(result.model))
    for name, value in trained[0].items():
        assert torch.allclose(value, trained[1][name], atol=1e-5), name


def test_normalisers_differ_by_the_share_kept(tmp_path: Path) -> None:
    rows = example_rows(lengths=LENGTHS)
    config = CONFIG.model_copy(update={"max_steps": 1, "batch_size": 5})
    kept = train(tmp_path / "a", rows, config)
    response = train(tmp_path / "b", rows, config.model_copy(update={"normalise": "response"}))
    share = kept.tokens_kept / kept.tokens_response
    assert response.losses[0] == pytest.approx(kept.losses[0] * share, rel=1e-5)


def test_a_batch_without_kept_tokens_moves_nothing(tmp_path: Path) -> None:
    rows = [TrainingRow(r.example_id, r.input_ids, np.zeros(len(r), np.float32), r.is_response) for r in example_rows()]
    model = tiny_model()
    before = state(model)
    config = CONFIG.model_copy(update={"method": "full"})
    result = train(tmp_path, rows, config, model=model)
    assert result.losses == (0.0,) * 4
    assert equal(state(model), before)


def test_order_and_updates_are_the_same_whatever_is_masked(tmp_path: Path) -> None:
    rows = example_rows(lengths=LENGTHS)
    full = [TrainingRow(r.example_id, r.input_ids, r.is_response.astype(np.float32), r.is_response) for r in rows]
    config = CONFIG.model_copy(update={"lora": LoraSettings(r=2, alpha=4, dropout=0.3)})
    spies = [Spy(rows), Spy(full), Spy(rows)]
    results = [train(tmp_path / str(i), spy, config, seed=i // 2) for i, spy in enumerate(spies)]
    assert spies[0].seen == spies[1].seen
    assert sorted(spies[0].seen[:5]) == sorted(row.example_id for row in rows)
    assert spies[0].seen != spies[2].seen, "another seed, another order"
    assert [result.steps for result in results] == [6, 6, 6]


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    models = [state(train(tmp_path / str(i), seed=i // 2).model) for i in range(3)]
    assert equal(models[0], models[1])
    assert not equal(models[0], models[2])


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("interrupt_at", [6, 8])
def test_resuming_equals_never_having_stopped(tmp_path: Path, method: str, interrupt_at: int) -> None:
    lora = LoraSettings(r=2, alpha=4, dropout=0.2)
    config = CONFIG.model_copy(update={"method": method, "save_steps": 1, "lora": lora})
    whole = train(tmp_path / "whole", config=config)
    rows = example_rows(lengths=LENGTHS)
    model = tiny_model()
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", Spy(rows, interrupt_at), config, model=model)
    assert equal(state(model), before)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["checkpoints", "started.json"]
    (tmp_path / "parts/checkpoints/checkpoint-99").mkdir()  # as if killed while writing
    resumed = train(tmp_path / "parts", rows, config, model=model)
    assert resumed.losses == whole.losses
    assert resumed.steps == whole.steps == 6
    assert equal(state(resumed.model), state(whole.model))
    assert not (tmp_path / "parts/checkpoints").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_finished_training_is_loaded_not_repeated(tmp_path: Path, method: str) -> None:
    config = CONFIG.model_copy(update={"method": method})
    first = train(tmp_path, config=config)
    spy = Spy(example_rows(lengths=LENGTHS))
    second = train(tmp_path, spy, config)
    assert (second.reused, spy.seen) == (True, [])
    assert (second.steps, second.losses, second.seconds) == (first.steps, first.losses, first.seconds)
    assert equal(state(second.model), state(first.model))
    third = train(tmp_path, spy, config, fingerprint="other")
    assert (third.reused, len(spy.seen)) == (False, 10)
    assert json.loads((tmp_path / "done.json").read_text())["fingerprint"] == "other"
    train(tmp_path, spy, config, fingerprint="other", resume=False)
    assert len(spy.seen) == 20


def test_checkpoints_of_another_training_are_discarded(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"save_steps": 1})
    rows = example_rows(lengths=LENGTHS)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Spy(rows, 6), config)
    spy = Spy(rows)
    train(tmp_path, spy, config, fingerprint="other")
    assert len(spy.seen) == 10


def test_the_saved_adapter_holds_the_trained_values(tmp_path: Path) -> None:
    result = train(tmp_path)
    saved = load_file(tmp_path / "model/adapter_model.safetensors")
    trained = state(result.model)
    assert len(saved) == 2 * 7 * 2
    for name, value in saved.items():
        assert torch.equal(value, trained[name.replace(".weight", ".default.weight")])
    assert (tmp_path / "model/tokenizer.json").exists()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_bfloat16_trains_and_restores_float32(tmp_path: Path, method: str) -> None:
    model = tiny_model()
    before = state(model)
    config = CONFIG.model_copy(update={"method": method, "dtype": "bfloat16", "epochs": 6, "batch_size": 5})
    with train(tmp_path, config=config, model=model) as result:
        assert result.losses[-1] < result.losses[0]
        kinds = {(parameter.requires_grad, parameter.dtype) for parameter in result.model.parameters()}
        frozen = {(False, torch.bfloat16)} if method == "lora" else set()
        assert kinds == {(True, torch.float32), *frozen}
    assert equal(state(model), before)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", ["llama", "qwen3_moe", "bamba"])
def test_gradient_checkpointing_computes_activations_again_and_changes_nothing(
    tmp_path: Path, name: str, method: str
) -> None:
    lora = LoraSettings(r=2, alpha=4, dropout=0.3 if name == "llama" else 0.0)
    config = CONFIG.model_copy(update={"method": method, "lora": lora, "max_steps": 2})
    trained, norms = [], Counter[bool]()
    for checkpointing in (False, True):
        model: Any = architecture(name)
        model.model.layers[1].input_layernorm.register_forward_hook(lambda *_, now=checkpointing: norms.update([now]))
        settings = config.model_copy(update={"gradient_checkpointing": checkpointing})
        result = train(tmp_path / str(checkpointing), config=settings, model=model)
        trained.append((result.losses, state(result.model)))
        assert model.is_activation_checkpointing is checkpointing
        result.release()
        assert not model.is_activation_checkpointing
    (plain_losses, plain), (losses, again) = trained
    assert norms[True] - norms[False] == 2, "each of the two updates runs a layer once more"
    assert losses == pytest.approx(plain_losses, rel=1e-6)
    assert method == "full" or any("experts" in parameter and "lora_A" in parameter for parameter in plain) == (
        name == "qwen3_moe"
    )
    for parameter, value in plain.items():
        torch.testing.assert_close(again[parameter], value, rtol=1e-5, atol=1e-6)


def test_mistakes_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no example to train on"):
        train(tmp_path, [])
    model = tiny_model()
    config = CONFIG.model_copy(update={"lora": LoraSettings(target_modules=("nothing",))})
    with pytest.raises(ModelError, match=r"training\.lora\.target_modules.*all-linear"):
        train(tmp_path, config=config, model=model)
    config = CONFIG.model_copy(update={"lora": LoraSettings(dropout=0.1)})
    with pytest.raises(ModelError, match=r"training\.lora\.dropout: adapters on the experts of Qwen3MoeForCausalLM"):
        train(tmp_path, config=config, model=architecture("qwen3_moe"))
    monkeypatch.setattr(type(model), "supports_gradient_checkpointing", False)
    config = CONFIG.model_copy(update={"gradient_checkpointing": True})
    with pytest.raises(ModelError, match=r"training\.gradient_checkpointing: LlamaForCausalLM.*batch_size"):
        train(tmp_path, config=config, model=model)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str], method: str) -> None:
    config = CONFIG.model_copy(update={"method": method, "save_steps": 2})
    train(tmp_path, config=config, progress=True).release()
    train(tmp_path, config=config, progress=True).release()
    assert tuple(capfd.readouterr()) == ("", "")
