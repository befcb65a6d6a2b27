"""Tiny random models and a tiny tokenizer: real architectures, built in memory in milliseconds.

The models differ where signals could go wrong: grouped key/value heads, tied and untied output heads, rotary and
absolute positions, a sliding window shorter than the sequences that tests feed, and soft-capped logits.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

TinyKind = Literal["llama", "qwen3", "gpt2", "gemma3"]

TINY_KINDS: tuple[TinyKind, ...] = ("llama", "qwen3", "gpt2", "gemma3")
VOCAB_SIZE = 300
SLIDING_WINDOW = 5

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_TEXT = (
    "Maria has three apples and buys five more at the market. How many apples does she have now?",
    "She starts with 3 apples. Then 3 + 5 = 8. The answer is 8.",
    "The train leaves at noon and the next one at three in the afternoon; which of them is faster?",
    "system user assistant You are a helpful assistant. Sure, I can help with that.",
)


def tiny_model(kind: TinyKind = "llama", *, seed: int = 0, vocab_size: int = VOCAB_SIZE) -> PreTrainedModel:
    """Build a random two- to three-layer causal language model in float32, in evaluation mode.

    ``llama``: grouped heads, untied head. ``qwen3``: grouped heads, tied head, query/key norms. ``gpt2``: absolute
    positions, tied head. ``gemma3``: sliding window of 5 on two layers of three, soft-capped final logits, tied head.
    Weights are drawn wide enough for attention and predictions to be far from uniform.
    """
    config: LlamaConfig | Qwen3Config | GPT2Config | Gemma3TextConfig
    auto: Any = AutoModelForCausalLM
    special: dict[str, Any] = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 2}
    match kind:
        case "llama":
            config = LlamaConfig(
                vocab_size=vocab_size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=256,
                tie_word_embeddings=False,
                **special,
            )
        case "qwen3":
            config = Qwen3Config(
                vocab_size=vocab_size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=1,
                head_dim=8,
                max_position_embeddings=256,
                tie_word_embeddings=True,
                **special,
            )
        case "gpt2":
            config = GPT2Config(vocab_size=vocab_size, n_positions=256, n_embd=32, n_layer=2, n_head=4, **special)
        case "gemma3":
            config = Gemma3TextConfig(
                vocab_size=vocab_size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=8,
                query_pre_attn_scalar=8,
                max_position_embeddings=256,
                sliding_window=SLIDING_WINDOW,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                final_logit_softcapping=2.0,
                tie_word_embeddings=True,
                **special,
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = auto.from_config(config, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(0.0, 0.25, generator=generator)
    evaluated: PreTrainedModel = model.requires_grad_(False).eval()
    return evaluated


def tiny_tokenizer(vocab_size: int = VOCAB_SIZE) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer of ``vocab_size`` tokens on four sentences, with a ChatML template.

    Any text can be encoded and decoded without loss. ``<|im_end|>`` (id 1) ends a turn, ``<|pad|>`` (id 2) pads.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\d"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|im_start|>", "<|im_end|>", "<|pad|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    fast: Any = PreTrainedTokenizerFast
    built: PreTrainedTokenizerFast = fast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
    )
    return built
