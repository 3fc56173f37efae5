"""Builds the text encoder of the extra `embed` from its published weights: python scripts/build_encoder.py MODEL OUT

MODEL is a folder with all-MiniLM-L6-v2 (Apache-2.0) as its makers publish it: model.safetensors, config.json and
tokenizer.json. Weights and tokenizer are checked against the hashes below before anything is read from them. OUT gets
encoder.onnx (mean over the tokens' vectors and unit length included, int8 per channel), tokenizer.json and
encoder.json, whose `id` names this model and this quantisation. Needs torch, transformers, onnx and onnxruntime, which
the gateway does not.
"""

# Its imports are not among the tools that check this repository.
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel

HASHES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
TOKENS_MAX = 256
NAME = "all-MiniLM-L6-v2 int8 per channel"


class Sentence(torch.nn.Module):
    """The encoder with what turns its tokens into one vector of unit length."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the built-in text encoder.")
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for name, expected in HASHES.items():
        if sha256(options.model / name) != expected:
            print(f"{options.model / name}: not the published file; nothing was built.", file=sys.stderr)
            return 1
    options.out.mkdir(parents=True, exist_ok=True)
    model = Sentence(AutoModel.from_pretrained(options.model, attn_implementation="eager").eval())
    ids = torch.ones((2, 8), dtype=torch.int64)
    axes = {0: "texts", 1: "tokens"}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        torch.onnx.export(
            model,
            (ids, ids),
            str(plain),
            input_names=["input_ids", "attention_mask"],
            output_names=["vector"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "vector": {0: "texts"}},
            opset_version=17,
            dynamo=False,
        )
        target = options.out / "encoder.onnx"
        quantize_dynamic(plain, target, per_channel=True, weight_type=QuantType.QInt8)
    shutil.copy(options.model / "tokenizer.json", options.out / "tokenizer.json")
    facts = {"id": f"minilm-{sha256(target)[:16]}", "name": NAME, "dimensions": 384, "tokens_max": TOKENS_MAX}
    facts["sha256"] = sha256(target)
    (options.out / "encoder.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
