"""Makes a tiny model with random weights and serves it with `transformers serve`.

What the model says means nothing, but every byte of it comes from a real engine. Run by the engine environment's own
Python: tiny_engine.py DIRECTORY PORT. One process does both, because importing torch is most of the time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.cli.transformers import main

END = "<|end|>"
LINES = [
    "the signal stands at danger until the line is clear",
    "a train waits at the platform and the bell rings twice",
    "points, levers, locks and rods: the interlocking keeps every route safe",
]
CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = [END, "<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=END, chat_template=CHAT)


def write_model(directory: Path) -> None:
    torch.manual_seed(7)
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.do_sample = False
    # The end token never wins, so that an answer is as long as asked for; nor do parts of characters, which the
    # engine tells differently in streams.
    for number in range(len(words)):
        if number in words.all_special_ids or not words.decode([number]).isascii():
            model.lm_head.weight.data[number] = 0
    model.save_pretrained(directory)
    words.save_pretrained(directory)


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_model(Path(sys.argv[1]))
    sys.argv = ["transformers", "serve", sys.argv[1], "--host", "127.0.0.1", "--port", sys.argv[2], "--device", "cpu"]
    main()
