"""Influence in whole runs: references given, on disk or made by the run, directions kept, and bad input refused."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xtf
from tests.conftest import chat_row, chat_rows, tiny_config, write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.api import Run
from xtf.attribute import LossDerivative, Reference
from xtf.errors import ConfigError, DataError, DegenerateAttributeError, ModelError
from xtf.model.direction import task_direction
from xtf.model.tokenizer import quiet
from xtf.training import TrainingJob, TrainingRow, train_model

WARM_UP = {"share": 0.5, "steps": 2, "learning_rate": 1e-2, "batch_size": 4}


def influence(folder: Path, model: Path, *, overwrite: bool = False, **params: Any) -> Run:
    config = tiny_config(folder, model, attributes={"influence": params})
    return xtf.score(config, overwrite=overwrite)


def scores(run: Run, name: str = "influence") -> Any:
    found = np.concatenate([shard.scores[name] for shard in run.shards()])
    return found[np.isfinite(found)]


def losses(model: Any, run: Run) -> Any:
    """Loss of every response token from full logits."""
    found = []
    for shard in run.shards():
        for index in range(len(shard)):
            example = shard.example(index)
            ids = torch.from_numpy(example.input_ids.astype(np.int64))
            with torch.no_grad():
                log_probs = model(ids[None]).logits[0].log_softmax(-1)
            places = np.flatnonzero(example.is_response)
            found.append(-log_probs[places - 1, ids[places]].numpy())
    return np.concatenate(found)


def save_model(folder: Path, **options: Any) -> Path:
    tiny_model(**options).save_pretrained(str(folder))
    tiny_tokenizer().save_pretrained(str(folder))
    return folder


def save_adapter(folder: Path, base: Path, kind: Any = "llama", *, scale: float = 0.05) -> Path:
    from peft import LoraConfig, get_peft_model

    model: Any = tiny_model(kind)
    model.config._name_or_path = str(base)
    with quiet():
        wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(1)).mul_(scale)
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def test_a_reference_model(tmp_path: Path, tiny_folder: Path) -> None:
    reference = save_model(tmp_path / "reference", seed=1)
    run = influence(tmp_path, tiny_folder, reference=str(reference))
    expected = losses(tiny_model("llama"), run) - losses(tiny_model("llama", seed=1), run)
    np.testing.assert_allclose(scores(run), expected, atol=1e-4)
    cut = {"kind": "top_share", "keep": 0.6, "scope": "dataset", "over": "responses", "at_most": None}
    assert run.config.thresholds["influence"].model_dump() == cut


@pytest.mark.parametrize("key", ["adapter", "path"])
def test_an_adapter_shares_the_weights_of_the_base(
    tmp_path: Path, tiny_folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    from xtf.model import load

    adapter = save_adapter(tmp_path / "adapter", tiny_folder)
    loads = []
    original = load._load_folder

    def counted(*arguments: Any) -> Any:
        loads.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(load, "_load_folder", counted)
    run = influence(tmp_path, tiny_folder, reference={key: str(adapter)})
    assert len(loads) == 1, "one set of base weights"
    with quiet():
        adapted = PeftModel.from_pretrained(tiny_model("llama"), str(adapter))
    np.testing.assert_allclose(scores(run), losses(tiny_model("llama"), run) - losses(adapted, run), atol=1e-4)


def test_a_reference_made_by_the_run_is_trained_once(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import xtf.training

    trainings: list[Any] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        done = train_model(*arguments, **options)
        trainings.append(done.reused)
        return done

    monkeypatch.setattr(xtf.training, "train_model", counted)
    shared = {"attribute": "influence", "reference": WARM_UP}
    attributes = {"influence": {"reference": WARM_UP}, "again": shared, "knowledge_novelty": {"reference": WARM_UP}}
    config = tiny_config(tmp_path, tiny_folder, attributes=attributes)
    run = xtf.score(config)
    assert trainings == [False]
    np.testing.assert_array_equal(scores(run), scores(run, "again"))
    folders = list((tmp_path / "run/references").iterdir())
    assert len(folders) == 1
    assert (folders[0] / "model/adapter_model.safetensors").exists()
    config["attributes"] = {**attributes, "third": shared}
    xtf.score(config)
    assert trainings == [False, True], "found in the run folder"
    facts = run.manifest["references"][f"references/{folders[0].name}"]
    assert facts["what"] == "the reference trained on the first 50% of the data"
    assert facts["steps"] == 2
    assert facts["examples"] == 6
    longer = {"attribute": "influence", "reference": {**WARM_UP, "steps": 3}}
    config["attributes"] = {"influence": {"reference": {**WARM_UP, "seed": 1}}, "longer": longer}
    run = xtf.score(config)
    assert trainings == [False, True, False, False], "other settings are another reference"
    assert not np.array_equal(scores(run), scores(run, "longer"))


def test_references_learn_all_folds_but_one_and_stops_are_those_of_one_training(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import xtf.training

    learnt: list[tuple[int | None, set[str], list[float]]] = []

    def noted(model: Any, tokenizer: Any, rows: Any, settings: Any, job: TrainingJob) -> Any:
        done = train_model(model, tokenizer, rows, settings, job)
        learnt.append((settings.max_steps, {row.example_id for row in rows}, list(done.losses)))
        return done

    monkeypatch.setattr(xtf.training, "train_model", noted)
    attributes = {
        "out_of_fold": {"folds": 3, "steps": 1, "batch_size": 4},
        "loss_trajectory": {"steps": [2, 5], "batch_size": 4, "learning_rate": 1e-2},
    }
    run = xtf.score(tiny_config(tmp_path, tiny_folder, attributes=attributes))
    everything = {name for shard in run.shards() for name in shard.example_ids}
    fold = {name: zlib.crc32(name.encode()) % 3 for name in everything}
    assert set(fold.values()) == {0, 1, 2}
    folds = {frozenset(names) for steps, names, _ in learnt if steps == 1}
    assert folds == {frozenset(name for name in everything if fold[name] != left_out) for left_out in range(3)}
    short, long = (next(one for one in learnt if one[0] == steps) for steps in (2, 5))
    assert short[1] == long[1] == everything
    np.testing.assert_allclose(short[2], long[2][:2], rtol=1e-5)
    assert not np.allclose(long[2][1:], long[2][:-1])


def test_scores_equal_those_of_the_model_trained_by_hand(tmp_path: Path, tiny_folder: Path) -> None:
    warm_up = write_jsonl(tmp_path / "warm-up.jsonl", chat_rows(20)[12:])
    run = influence(tmp_path, tiny_folder, reference={**WARM_UP, "share": None, "train_on": str(warm_up)})
    from xtf.config import DataConfig, TrainingConfig
    from xtf.data import DataReport, read_examples

    rows = [
        TrainingRow(e.example_id, e.input_ids, e.is_response.astype(np.float32), e.is_response)
        for e in read_examples(DataConfig(path=str(warm_up)), tiny_tokenizer(), DataReport())
    ]
    training = TrainingConfig(learning_rate=1e-2, batch_size=4, max_steps=2, warmup_ratio=0.0)
    base: Any = tiny_model("llama")
    before = losses(base, run)
    with train_model(base, tiny_tokenizer(), rows, training, TrainingJob(tmp_path / "hand", "x")) as done:
        np.testing.assert_allclose(scores(run), before - losses(done.model, run), atol=1e-4)
    assert np.abs(scores(run)).max() > 1e-2


def test_the_model_object_is_given_back_as_it_was(tmp_path: Path, tiny_folder: Path) -> None:
    model: Any = tiny_model("llama")
    names = [name for name, _ in model.named_parameters()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    config = tiny_config(tmp_path, tiny_folder, attributes={"influence": {"reference": WARM_UP}})
    config["attributes"]["lora"] = {"attribute": "influence", "method": "gradient", "parameters": "lora"}
    xtf.score(config, model=model, tokenizer=tiny_tokenizer())
    assert [name for name, _ in model.named_parameters()] == names
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name], atol=0.0, rtol=0.0)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_directions_are_kept_and_reused(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xtf.steps import references

    computed = []

    def counted(forward: Any, request: LossDerivative, *rest: Any) -> Any:
        computed.append(request.parameters)
        return task_direction(forward, request, *rest)

    monkeypatch.setattr(references, "task_direction", counted)
    specs: dict[str, dict[str, Any]] = {
        "plain": {"method": "gradient", "target": {"share": 0.25}},
        "fresh": {"method": "gradient", "parameters": "lora"},
        "adapted": {"method": "gradient", "parameters": "lora", "adapter": WARM_UP},
    }
    attributes = {name: {"attribute": "influence", **spec} for name, spec in specs.items()}
    config = tiny_config(tmp_path, tiny_folder, attributes=attributes)
    run = xtf.score(config)
    assert sorted(computed) == ["linear", "lora", "lora"]
    assert len(list((tmp_path / "run/state").glob("direction-*.safetensors"))) == 3
    first = scores(run, "plain")
    assert len({scores(run, name).tobytes() for name in specs}) == 3
    config["attributes"] = {"other_name": attributes["plain"]}
    again = xtf.score(config)
    assert len(computed) == 3
    np.testing.assert_array_equal(scores(again, "other_name"), first)
    modes = [entry["mode"] for key, entry in run.manifest["references"].items() if key.startswith("derivative")]
    assert set(modes) == {"forward"}


def test_a_step_along_the_direction_lowers_the_target_loss_as_predicted(tmp_path: Path, tiny_folder: Path) -> None:
    """The sign: train on the tokens that score highest and the target's loss falls; on the lowest, it rises."""
    target = write_jsonl(tmp_path / "target.jsonl", chat_rows(18)[12:])
    run = influence(tmp_path, tiny_folder, method="gradient", target={"path": str(target)}, parameters="all")
    other = tmp_path / "target"
    other.mkdir()
    on_target = xtf.score(tiny_config(other, tiny_folder, chat_rows(18)[12:], attributes={"random": {}}))
    change = {}
    for pick in (np.argmax, np.argmin):
        model: Any = tiny_model("llama")
        place, value = int(pick(scores(run))), float(scores(run)[pick(scores(run))])
        before = losses(model, on_target).mean()
        model.requires_grad_(True)
        offset = 0
        for shard in run.shards():
            for index in range(len(shard)):
                example = shard.example(index)
                places = np.flatnonzero(example.is_response)
                if offset <= place < offset + len(places):
                    ids = torch.from_numpy(example.input_ids.astype(np.int64))
                    position = places[place - offset]
                    (-model(ids[None]).logits[0, position - 1].log_softmax(-1)[ids[position]]).backward()
                offset += len(places)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-5 * parameter.grad
        change[pick] = (losses(model, on_target).mean() - before) / (-1e-5 * value)
    assert change[np.argmax] == pytest.approx(1.0, abs=0.2)
    assert change[np.argmin] == pytest.approx(1.0, abs=0.2)


# -- bad input -----------------------------------------------------------------------------------------------------


def test_a_reference_with_another_vocabulary_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    folder = tmp_path / "other"
    tiny_model("llama", vocab_size=290).save_pretrained(str(folder))
    tiny_tokenizer(290).save_pretrained(str(folder))
    with pytest.raises(ModelError, match=r"other token ids than the base model .* Use a reference with the same token"):
        influence(tmp_path, tiny_folder, reference=str(folder))


def test_a_target_without_response_tokens_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    target = write_jsonl(tmp_path / "target.jsonl", [chat_row("a", "What?", "")])
    with pytest.raises(DataError, match=r"target\.jsonl: no usable row\.(.|\n)*empty response"):
        influence(tmp_path, tiny_folder, method="gradient", target={"path": str(target)})


@pytest.mark.parametrize("key", ["path", "train_on", "adapter"])
def test_a_reference_that_is_not_there(tmp_path: Path, tiny_folder: Path, key: str) -> None:
    with pytest.raises(xtf.XTFError, match="nowhere"):
        influence(tmp_path, tiny_folder, reference={key: str(tmp_path / "nowhere")})


def test_a_reference_that_diverged_in_training(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"first 50% of the data: training diverged: .*Lower learning_rate"):
        influence(tmp_path, tiny_folder, reference={**WARM_UP, "learning_rate": 1e30, "steps": 4})


def test_a_reference_with_nan_weights(tmp_path: Path, tiny_folder: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", tiny_folder, scale=float("nan"))
    with pytest.raises(
        ModelError, match=r"adapter: LlamaForCausalLM: its states are not finite, so its weights .* have diverged"
    ):
        influence(tmp_path, tiny_folder, reference={"adapter": str(adapter)})


def test_a_reference_whose_loss_is_nan_in_places(tmp_path: Path, tiny_folder: Path) -> None:
    model: Any = tiny_model("llama", seed=1)
    digit = tiny_tokenizer()("+")["input_ids"][0]
    model.get_input_embeddings().weight.data[digit] = torch.nan
    model.save_pretrained(str(tmp_path / "damaged"))
    tiny_tokenizer().save_pretrained(str(tmp_path / "damaged"))
    with pytest.raises(ModelError, match=r"damaged: its log_prob is nan at example 'sum-\d+', position \d+; its"):
        influence(tmp_path, tiny_folder, reference=str(tmp_path / "damaged"))


def test_an_adapter_for_another_base(tmp_path: Path, tiny_folder: Path) -> None:
    other = save_model(tmp_path / "sibling", seed=3)
    sibling = save_adapter(tmp_path / "adapter", other)
    with pytest.raises(ModelError, match=r"adapter for another base model: it names .*sibling as its base"):
        influence(tmp_path, tiny_folder, reference={"adapter": str(sibling)})
    save_model(tmp_path / "gpt2", kind="gpt2")
    for kind in ("gpt2", "qwen3"):
        foreign = save_adapter(tmp_path / kind / "adapter", tiny_folder, kind)
        with pytest.raises(ModelError, match=r"adapter for another base model.*set model\.path to the adapter's base"):
            influence(tmp_path, tiny_folder, overwrite=True, reference={"adapter": str(foreign)})


def test_what_is_not_an_adapter(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no adapter_config\.json in .*a whole model goes under path"):
        influence(tmp_path, tiny_folder, reference={"adapter": str(tiny_folder)})


@pytest.mark.parametrize("key", ["path", "adapter"])
def test_a_reference_that_is_the_base_is_refused(tmp_path: Path, tiny_folder: Path, key: str) -> None:
    reference = tiny_folder if key == "path" else save_adapter(tmp_path / "adapter", tiny_folder, scale=0.0)
    with pytest.raises(DegenerateAttributeError, match=r"'influence' does not tell tokens apart: all \d+ scores are 0"):
        influence(tmp_path, tiny_folder, reference={key: str(reference)})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"reference": {}}, "exactly one of path, adapter, train_on, share and without_fold, got none"),
        ({"reference": {"path": "a", "share": 0.1}}, "got path and share"),
        ({"reference": {"path": "a", "steps": 3}}, "steps: for a reference that the run trains"),
        ({"reference": {"share": 1.5}}, r"influence\.reference\.share: .*less than or equal to 1"),
        ({"method": "gradient", "reference": "a"}, "method: gradient takes a target"),
        ({"parameters": "all"}, "parameters: for method: gradient"),
        ({"reference": {"without_fold": [2, 2]}}, "a fold from 0 to n - 1"),
        ({"method": "gradient", "target": {}}, "exactly one of path and share"),
        ({"method": "gradient", "adapter": {"share": 0.2}}, "adapter goes with parameters: lora"),
    ],
)
def test_settings_that_contradict(tmp_path: Path, tiny_folder: Path, params: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        influence(tmp_path, tiny_folder, **params)


def test_more_layers_than_there_are(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match="last_k with k: 9: this model has 2 layers"):
        influence(tmp_path, tiny_folder, method="gradient", parameters="last_k", k=9)


def test_a_bare_string_is_a_path() -> None:
    assert Reference.model_validate("a/b") == Reference(path="a/b")
    assert json.loads(Reference(path="a/b").model_dump_json())["path"] == "a/b"
