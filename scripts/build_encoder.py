"""Builds the text encoder of the extra `embed` from its published weights: python scripts/build_encoder.py MODEL OUT

MODEL is a folder with all-MiniLM-L6-v2 (Apache-2.0) as its makers publish it: model.safetensors and tokenizer.json,
which are checked against the hashes below before anything is read from them. OUT gets encoder.onnx (mean over the
tokens' vectors and unit length included, int8 per channel), tokenizer.json and encoder.json, whose `id` names this
model and this quantisation. Needs numpy and onnx, which the gateway does not.

The graph is written down operator by operator, with those of the runtime that do several steps at once where they are
faster (one multiplication for query, key and value; multiplication with quantisation and bias; attention). What an
exporter writes and a fusing optimiser makes of it takes longer: the fused sum with normalisation is the slower one.
"""

# Its imports are not among the tools that check this repository.
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HASHES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
TOKENS_MAX = 256
NAME = "all-MiniLM-L6-v2 int8 per channel, fused"
LAYERS, HEADS, DIMENSIONS = 6, 12, 384
EPSILON = 1e-12
# Operators of the runtime's own.
OWN = "com.microsoft"
_TYPES = {"F32": "<f4", "I64": "<i8"}


def weights(path: Path) -> dict[str, Any]:
    """Of a file in the safetensors format: the length of a header, the header, then the numbers."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    found: dict[str, Any] = {}
    for name, facts in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = facts["data_offsets"]
            numbers = np.frombuffer(content[start + begin : start + end], dtype=_TYPES[facts["dtype"]])
            found[name] = numbers.reshape(facts["shape"])
    return found


def quantised(values: Any, axis: int) -> tuple[Any, Any]:
    """Whole numbers of one byte, and what each row or column of them is to be multiplied by."""
    scale = np.abs(values).max(axis=axis, keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype("float32")
    return np.clip(np.rint(values / scale), -127, 127).astype("int8"), scale


class Graph:
    """One ONNX graph while it is written."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def step(self, kind: str, *inputs: str, outputs: int = 1, **how: Any) -> list[str]:
        made = [f"value_{len(self.nodes)}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), made, name=f"{kind}_{len(self.nodes)}", **how))
        return made

    def one(self, kind: str, *inputs: str, **how: Any) -> str:
        return self.step(kind, *inputs, **how)[0]

    def normalised(self, values: str, name: str) -> str:
        weight, bias = (self.constant(self.known[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.one("LayerNormalization", values, weight, bias, axis=-1, epsilon=EPSILON)

    def dense(self, values: str, *names: str) -> str:
        """One multiplication for all the names, side by side."""
        weight = np.concatenate([self.known[f"{name}.weight"].T for name in names], axis=1)
        bias = np.concatenate([self.known[f"{name}.bias"] for name in names])
        whole, scale = quantised(weight, 0)
        parts = (self.constant(whole), self.constant(scale[0]), "", self.constant(bias))
        return self.one("DynamicQuantizeMatMul", values, *parts, domain=OWN)

    def embedded(self) -> str:
        whole, scale = quantised(self.known["embeddings.word_embeddings.weight"], 1)
        rows = self.one("Gather", self.constant(whole), "input_ids")
        scales = self.one("Gather", self.constant(scale), "input_ids")
        words = self.one("Mul", self.one("Cast", rows, to=TensorProto.FLOAT), scales)
        places = self.known["embeddings.position_embeddings.weight"][:TOKENS_MAX]
        places = self.constant(places + self.known["embeddings.token_type_embeddings.weight"][0])
        zero = self.constant(np.array([0]))
        used = self.one("Slice", places, zero, self.one("Shape", "input_ids", start=1, end=2), zero)
        return self.normalised(self.one("Add", words, used), "embeddings.LayerNorm")

    def layer(self, values: str, name: str) -> str:
        asked = self.dense(values, *(f"{name}.attention.self.{part}" for part in ("query", "key", "value")))
        seen = self.one(
            "MultiHeadAttention", *self.step("Split", asked, outputs=3, axis=-1), domain=OWN, num_heads=HEADS
        )
        told = self.dense(seen, f"{name}.attention.output.dense")
        values = self.normalised(self.one("Add", told, values), f"{name}.attention.output.LayerNorm")
        wide = self.one("Gelu", self.dense(values, f"{name}.intermediate.dense"), domain=OWN)
        told = self.dense(wide, f"{name}.output.dense")
        return self.normalised(self.one("Add", told, values), f"{name}.output.LayerNorm")

    def model(self) -> Any:
        values = self.embedded()
        for number in range(LAYERS):
            values = self.layer(values, f"encoder.layer.{number}")
        mean = self.one("ReduceMean", values, axes=[1], keepdims=0)
        self.nodes.append(helper.make_node("LpNormalization", [mean], ["vector"], axis=-1, p=2))
        takes = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"])
        gives = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["texts", DIMENSIONS])
        graph = helper.make_graph(self.nodes, "sentence", [takes], [gives], self.constants)
        versions = [helper.make_opsetid("", 17), helper.make_opsetid(OWN, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=8)


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
    target = options.out / "encoder.onnx"
    onnx.save(Graph(weights(options.model / "model.safetensors")).model(), target)
    shutil.copy(options.model / "tokenizer.json", options.out / "tokenizer.json")
    digest = sha256(target)
    facts = {"id": f"minilm-{digest[:16]}", "name": NAME, "dimensions": DIMENSIONS, "tokens_max": TOKENS_MAX}
    facts["sha256"] = digest
    (options.out / "encoder.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
