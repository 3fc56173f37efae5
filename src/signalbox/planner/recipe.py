"""How to serve what the plan chose: arguments of vLLM, when to scale, and which weights. To be run, then measured."""

from __future__ import annotations

import shlex

from msgspec import Struct

from signalbox.planner.economics import Leg
from signalbox.planner.workload_file import Option

VLLM_QUANTISATION = {"fp8": "fp8", "int8": "compressed-tensors", "int4": "awq", "fp4": "modelopt_fp4", "bf16": ""}
# Scale when this part of the planned concurrency is in flight, and back below the other.
SCALE_UP, SCALE_DOWN = 0.8, 0.4


class Recipe(Struct, frozen=True):
    """command: to start one replica. replicas: in all. weights_digest: the file to fill in when the weights are pulled,
    empty until then. signals: for the autoscaler."""

    option: str
    command: tuple[str, ...]
    gpus_per_replica: int
    replicas: int
    concurrency: int
    signals: dict[str, float]
    weights_digest: str = ""
    note: str = ""

    def line(self) -> str:
        return shlex.join(self.command)


def recipe(option_name: str, option: Option, legs: list[Leg], replicas: int) -> Recipe | None:
    """None for what is not served by ourselves. The smallest batch that any workload's targets allow holds."""
    configs = [leg.config for leg in legs if leg.config is not None]
    if not configs or option.engine != "vllm":
        return None
    config = configs[0]
    concurrency = min(leg.capacity.concurrency for leg in legs if leg.capacity is not None)
    command = ["vllm", "serve", option.model, "--served-model-name", option_name]
    command += ["--tensor-parallel-size", str(config.tensor_parallel)]
    quantisation = VLLM_QUANTISATION[config.quantisation]
    if quantisation:
        command += ["--quantization", quantisation]
    command += ["--max-num-seqs", str(max(1, concurrency)), "--gpu-memory-utilization", f"{config.memory_share:g}"]
    if config.kv_bits == 8:
        command += ["--kv-cache-dtype", "fp8"]
    command += ["--enable-prefix-caching"]
    if option.context_tokens:
        command += ["--max-model-len", str(option.context_tokens)]
    if concurrency <= 8:
        command += ["--speculative-config", '{"method": "ngram", "num_speculative_tokens": 4}']
    return Recipe(
        option=option_name,
        command=tuple(command),
        gpus_per_replica=config.gpus,
        replicas=replicas,
        concurrency=concurrency,
        signals={"in_flight_up": SCALE_UP * concurrency, "in_flight_down": SCALE_DOWN * concurrency},
        note="Pin the weights: write the sha256 of their files into weights_digest once they are pulled. "
        "Measure with `signalbox bench deployment` before traffic moves.",
    )
