"""Time of one decoding step as a sum of physical terms, each weighted by one fitted parameter.

`terms` turns a model, an accelerator, a configuration and a load into eight times in seconds, without any fitted
number in them; a step is their sum weighted by `Parameters`. So the fit is linear in what it fits, and a prediction
costs a few dozen multiplications.
"""

from __future__ import annotations

import msgspec

from signalbox.planner.specs import WEIGHT_BITS, GpuSpec, LengthMix, ModelSpec, PlannerError, ServingConfig

# What an engine takes beside weights and cache: contexts, graphs, communication buffers, activations.
RESERVED_BYTES = 3.0e9


class Terms(msgspec.Struct, frozen=True):
    """Seconds of one decoding step at full efficiency, or counts where the parameter is itself a time.

    memory: weights touched and cache read, over the bandwidth. prefill: arithmetic of the prompts that arrive while
    one token is made, over the peak. decode: arithmetic of the batch itself, over the peak. layers_*: layers, for
    the engine in use. link: bytes of all-reduce over the link. hops: all-reduces per step times log2 of the ranks.
    batch: square root of the sequences on one rank.
    """

    memory: float
    compute: float
    layers: float
    hops: float
    link: float
    batch: float


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The eight fitted numbers. memory_efficiency, compute_efficiency: share of the published peak that is reached.
    layer_s_*: seconds of overhead per layer and step, by engine. hop_s: per all-reduce and doubling of ranks.
    link_efficiency: of the published link rate. batch_s: seconds per square root of sequences on a rank.
    """

    memory_efficiency: float
    compute_efficiency: float
    layer_s_vllm: float
    layer_s_sglang: float
    layer_s_trtllm: float
    hop_s: float
    link_efficiency: float
    batch_s: float

    def layer_s(self, engine: str) -> float:
        if engine == "sglang":
            return self.layer_s_sglang
        return self.layer_s_trtllm if engine == "trtllm" else self.layer_s_vllm


# First guesses from published micro-benchmarks; the fitted ones ship as data.
DEFAULTS = Parameters(
    memory_efficiency=0.65,
    compute_efficiency=0.45,
    layer_s_vllm=60e-6,
    layer_s_sglang=60e-6,
    layer_s_trtllm=45e-6,
    hop_s=5e-6,
    link_efficiency=0.4,
    batch_s=0.2e-3,
)


def expert_coverage(spec: ModelSpec, tokens: float) -> float:
    """Share of the routed experts that a batch of so many tokens touches: 1 - (1 - k/E)^B, routing uniformly."""
    if not spec.experts:
        return 0.0
    return 1.0 - (1.0 - spec.experts_per_token / spec.experts) ** max(tokens, 1.0)


def _weight_bytes(spec: ModelSpec, config: ServingConfig, experts: float) -> float:
    quantised = spec.parameters - spec.unquantised_parameters - spec.expert_parameters * (1.0 - experts)
    return quantised * WEIGHT_BITS[config.quantisation] / 8.0 + spec.unquantised_parameters * 2.0


def _cache_share(spec: ModelSpec, config: ServingConfig) -> float:
    """Of a sequence's cache, what one rank holds: latent attention and too many ranks mean copies."""
    if spec.attention.latent:
        return 1.0
    return 1.0 / min(config.tensor_parallel, spec.attention.kv_heads)


def cache_bytes(spec: ModelSpec, config: ServingConfig, tokens: float) -> float:
    """Bytes that one sequence of so many tokens keeps on each rank that serves it."""
    attention = spec.attention
    windowed = min(tokens, attention.window_tokens) * attention.window_layers
    values = attention.values_per_token * (attention.layers * tokens + windowed) + attention.state_values
    return values * config.kv_bits / 8.0 * _cache_share(spec, config)


def peak_flops(gpu: GpuSpec, config: ServingConfig) -> float:
    """Dense arithmetic rate in the format used; weight-only formats and missing ones compute in 16 bit."""
    if config.quantisation in ("fp8", "int8"):
        return gpu.flops_8bit or gpu.flops_16bit
    if config.quantisation == "fp4":
        return gpu.flops_4bit or gpu.flops_16bit
    return gpu.flops_16bit


def check(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix) -> None:
    """Raises PlannerError on a combination that means nothing."""
    if config.tensor_parallel > 1 and gpu.link_bytes_s <= 0:
        raise PlannerError(f"{gpu.name} has no link_bytes_s in the catalogue, so it cannot serve one model in parallel")
    if config.gpus > gpu.gpus_per_node:
        raise PlannerError(
            f"{config.gpus} accelerators in one replica, but a node of {gpu.name} has {gpu.gpus_per_node}"
        )
    if mix.input_tokens + mix.output_tokens > spec.context_tokens:
        raise PlannerError(
            f"{mix.input_tokens + mix.output_tokens:.0f} tokens of input and output do not fit the context of"
            f" {spec.name} ({spec.context_tokens})"
        )


def concurrency_max(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix) -> int:
    """Sequences that fit in the memory of one replica at their mean length; 0: the weights alone do not fit."""
    spare = gpu.memory_bytes * config.memory_share - RESERVED_BYTES - _weight_bytes(spec, config, 1.0) / config.gpus
    if spare <= 0:
        return 0
    held = cache_bytes(spec, config, mix.input_tokens + mix.output_tokens / 2.0)
    return int(spare / held) * config.data_parallel


def terms(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix, concurrency: float) -> Terms:
    """The physical terms of one decoding step with `concurrency` requests in flight."""
    per_rank = concurrency / config.data_parallel
    ranks = config.gpus
    experts = _weight_bytes(spec, config, expert_coverage(spec, concurrency)) / ranks
    cache = cache_bytes(spec, config, mix.input_tokens + mix.output_tokens / 2.0) * per_rank
    prompt_tokens = concurrency * mix.input_tokens * (1.0 - mix.cached_share) / mix.output_tokens
    flops = 2.0 * spec.active_parameters * (prompt_tokens + concurrency) / ranks
    spread = max(config.tensor_parallel, 1)
    doublings = float((spread - 1).bit_length())
    reduced = 2.0 * spec.layers * (prompt_tokens + concurrency) / config.data_parallel * spec.hidden_size * 2.0
    return Terms(
        memory=(experts + cache) / gpu.bandwidth_bytes_s,
        compute=flops / peak_flops(gpu, config),
        layers=float(spec.layers),
        hops=2.0 * spec.layers * doublings,
        link=reduced * 2.0 * (spread - 1) / spread / gpu.link_bytes_s if spread > 1 else 0.0,
        batch=per_rank**0.5,
    )


def step_time(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix, concurrency: float) -> float:
    """Seconds per output token by the roofline alone, with the parameters that ship."""
    return weighted(terms(spec, gpu, config, mix, concurrency), config.engine, DEFAULTS)


def weighted(parts: Terms, engine: str, parameters: Parameters) -> float:
    return (
        parts.memory / parameters.memory_efficiency
        + parts.compute / parameters.compute_efficiency
        + parts.layers * parameters.layer_s(engine)
        + parts.hops * parameters.hop_s
        + parts.link / parameters.link_efficiency
        + parts.batch * parameters.batch_s
    )


def prefill_s(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix, parameters: Parameters) -> float:
    """Seconds to read one prompt on an idle replica."""
    tokens = mix.input_tokens * (1.0 - mix.cached_share)
    flops = 2.0 * spec.active_parameters * tokens / config.tensor_parallel
    flops += 2.0 * spec.attention.heads * spec.attention.head_dim * spec.attention.layers * tokens * mix.input_tokens
    return flops / peak_flops(gpu, config) / parameters.compute_efficiency
