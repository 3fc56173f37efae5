"""How to serve what the plan chose: the server's arguments, when to scale, which weights. To be run, then measured."""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit

from msgspec import Struct

from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.economics import Leg
from signalbox.planner.specs import ModelSpec, PlannerError, Quantisation, ServingConfig
from signalbox.planner.workload_file import Option

# What vLLM calls a format that the weights were not published in. It makes fp8 itself while it loads; the others have
# to be there as files.
VLLM_QUANTISATION: dict[Quantisation, str] = {
    "fp8": "fp8",
    "int8": "compressed-tensors",
    "int4": "awq",
    "fp4": "modelopt_fp4",
    "bf16": "",
}
GGUF: dict[Quantisation, str] = {"bf16": "BF16", "fp8": "Q8_0", "int8": "Q8_0", "fp4": "MXFP4", "int4": "Q4_K_M"}
MADE_ON_LOADING = frozenset[Quantisation](("bf16", "fp8"))
# Scale when this part of the planned concurrency is in flight, and back below the other.
SCALE_UP, SCALE_DOWN = 0.8, 0.4
# Up to so many calls at once a guess at the next tokens costs nothing: the arithmetic of a step stands idle.
SPECULATE_UP_TO = 8
DRAFT_TOKENS = 4


class Recipe(Struct, frozen=True):
    """command: to start one replica. replicas: in all. signals: for the autoscaler, calls in flight at a replica.
    weights: the repository they come from. pin: the command that prints their digest. weights_digest: what it printed,
    empty until somebody has pulled them."""

    option: str
    command: tuple[str, ...]
    gpus_per_replica: int
    replicas: int
    concurrency: int
    signals: dict[str, float]
    weights_digest: str = ""
    note: str = ""
    weights: str = ""
    pin: str = ""

    def line(self) -> str:
        return shlex.join(self.command)


def recipe(option_name: str, option: Option, legs: list[Leg], replicas: int, catalogue: Catalogue) -> Recipe | None:
    """None for what is not served by ourselves. The smallest batch that any workload's targets allow holds."""
    configs = [leg.config for leg in legs if leg.config is not None]
    if not configs or option.engine not in ("vllm", "llama.cpp"):
        return None
    config = configs[0]
    concurrency = max(1, min(leg.capacity.concurrency for leg in legs if leg.capacity is not None))
    try:
        spec = catalogue.model(option.model)
    except PlannerError:
        return None
    weights = repository(option.model, spec)
    longest = option.context_tokens or _longest(legs, spec)
    device = option.engine == "llama.cpp"
    build = _llama_cpp if device else _vllm
    where = shlex.quote(weights)
    fetch = f"hf download {where} --local-dir weights && (cd weights && sha256sum *.safetensors | sha256sum)"
    made = spec.native == config.quantisation or (config.quantisation in MADE_ON_LOADING and option.engine == "vllm")
    other = "" if made else f" Name weights that are in {_format(option, config)} already: those published are not."
    return Recipe(
        option=option_name,
        command=tuple(build(option_name, weights, spec, config, concurrency, longest)),
        gpus_per_replica=config.gpus,
        replicas=replicas,
        concurrency=concurrency,
        signals={
            "in_flight_up": round(SCALE_UP * concurrency, 1),
            "in_flight_down": round(SCALE_DOWN * concurrency, 1),
        },
        note=f"Pin the weights: write what `pin` prints into weights_digest.{other} "
        "Measure with `signalbox bench deployment` before traffic moves.",
        weights=weights,
        pin=f"sha256sum {_gguf(spec, config)}" if device else fetch,
    )


def repository(asked: str, spec: ModelSpec) -> str:
    """Where the weights are: as the option says, else where the catalogue's own figures come from."""
    if "/" in asked:
        return asked
    source = urlsplit(spec.source.url)
    parts = [part for part in source.path.split("/") if part]
    if source.hostname == "huggingface.co" and len(parts) >= 2:
        return "/".join(parts[:2])
    return next((alias for alias in spec.aliases if "/" in alias), spec.name)


def _longest(legs: list[Leg], spec: ModelSpec) -> int:
    """Room for calls four times as long as the mean one of any workload, in steps of 4,096."""
    mean = max((leg.tokens for leg in legs), default=0.0)
    return min(spec.context_tokens, max(8192, -(-int(4 * mean) // 4096) * 4096))


def _format(option: Option, config: ServingConfig) -> str:
    names = GGUF if option.engine == "llama.cpp" else VLLM_QUANTISATION
    return f"{config.quantisation} ({names[config.quantisation]})"


def _vllm(name: str, weights: str, spec: ModelSpec, config: ServingConfig, concurrency: int, longest: int) -> list[str]:
    command = ["vllm", "serve", weights, "--served-model-name", name]
    command += ["--tensor-parallel-size", str(config.tensor_parallel)]
    quantisation = "" if spec.native == config.quantisation else VLLM_QUANTISATION[config.quantisation]
    if quantisation:
        command += ["--quantization", quantisation]
    command += ["--max-num-seqs", str(concurrency), "--gpu-memory-utilization", f"{config.memory_share:g}"]
    if config.kv_bits == 8:
        command += ["--kv-cache-dtype", "fp8"]
    command += ["--enable-prefix-caching", "--max-model-len", str(longest)]
    if concurrency <= SPECULATE_UP_TO:
        draft = f'{{"method": "ngram", "num_speculative_tokens": {DRAFT_TOKENS}, "prompt_lookup_max": {DRAFT_TOKENS}}}'
        command += ["--speculative-config", draft]
    return command


def _llama_cpp(
    name: str, weights: str, spec: ModelSpec, config: ServingConfig, concurrency: int, longest: int
) -> list[str]:
    """One server for each device; its context is shared out over the calls at once."""
    del weights
    command = ["llama-server", "--model", _gguf(spec, config), "--alias", name, "--n-gpu-layers", "999"]
    return [*command, "--parallel", str(concurrency), "--ctx-size", str(longest * concurrency)]


def _gguf(spec: ModelSpec, config: ServingConfig) -> str:
    return f"{spec.name}-{GGUF[config.quantisation]}.gguf"
