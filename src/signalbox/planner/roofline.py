"""Time of one decoding step as a sum of physical terms, each weighted by one fitted parameter.

`Decode.terms` turns a model, an accelerator, a configuration and a load into six terms, without any fitted number;
a step is their sum weighted by the eight `Parameters`. So a fit is linear in what it fits, and a prediction costs a
few dozen multiplications:

    step = (weights touched + cache read) / (bandwidth x e1)
         + (prompt, decode and attention arithmetic / peak + all-reduce bytes / link) / e2
         + layers x overhead(engine) + all-reduces x log2(ranks) x hop
         + layers x experts per token x expert + sequences x sequence
"""

from __future__ import annotations

import math

import msgspec

from signalbox.planner.specs import (
    WEIGHT_BITS,
    Engine,
    GpuSpec,
    LengthMix,
    ModelSpec,
    PlannerError,
    Quantisation,
    ServingConfig,
)

# What an engine takes beside weights and cache: contexts, graphs, communication buffers, activations.
RESERVED_BYTES = 4.0e9
RESERVED_BYTES_LLAMA_CPP = 0.5e9

# The formats that local engines take by default, Q4_K_M and Q8_0, all told; they spare no table and no head.
LLAMA_CPP_BITS: dict[Quantisation, float] = {"int4": 4.85, "int8": 8.5}


class Terms(msgspec.Struct, frozen=True):
    """memory: seconds at full bandwidth. compute: seconds at full arithmetic and link rate. layers, hops, experts and
    sequences: counts, whose parameters are seconds.
    """

    memory: float
    compute: float
    layers: float
    hops: float
    experts: float
    sequences: float


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The eight fitted numbers. memory_efficiency, compute_efficiency: share of the published peaks that is reached.
    layer_s_*: overhead per layer and step, by engine. hop_s: per all-reduce and doubling of the ranks. expert_s: per
    layer and expert that a token is routed to. sequence_s: per sequence on a rank, for what the server does with each
    between two steps: choosing, sampling, sending.
    """

    memory_efficiency: float
    compute_efficiency: float
    layer_s_vllm: float
    layer_s_sglang: float
    layer_s_trtllm: float
    hop_s: float
    expert_s: float
    sequence_s: float

    def layer_s(self, engine: Engine) -> float:
        if engine == "sglang":
            return self.layer_s_sglang
        return self.layer_s_trtllm if engine == "trtllm" else self.layer_s_vllm


def expert_coverage(spec: ModelSpec, tokens: float) -> float:
    """Share of the routed experts that a batch of so many tokens touches: 1 - (1 - k/E)^B, routing uniformly."""
    if not spec.experts:
        return 0.0
    return 1.0 - (1.0 - spec.experts_per_token / spec.experts) ** max(tokens, 1.0)


def weight_bits(config: ServingConfig) -> float:
    """Bits that a quantised weight takes, its scales included."""
    bits = LLAMA_CPP_BITS.get(config.quantisation) if config.engine == "llama.cpp" else None
    return bits or WEIGHT_BITS[config.quantisation]


def dense_bytes(spec: ModelSpec, config: ServingConfig) -> float:
    """Bytes of everything but routed experts and the input table. Four-bit mixtures quantise experts further than the
    rest, which stays at eight bits in the checkpoints that are published for servers.
    """
    bits = weight_bits(config)
    if config.engine == "llama.cpp" and config.quantisation in LLAMA_CPP_BITS:
        return (spec.parameters - spec.expert_parameters - spec.embedding_parameters) * bits / 8.0
    if spec.experts and config.engine != "llama.cpp":
        bits = max(bits, 8.0)
    quantised = spec.parameters - spec.expert_parameters - spec.unquantised_parameters
    return quantised * bits / 8.0 + (spec.unquantised_parameters - spec.embedding_parameters) * 2.0


def expert_bytes(spec: ModelSpec, config: ServingConfig) -> float:
    return spec.expert_parameters * weight_bits(config) / 8.0


def weight_bytes(spec: ModelSpec, config: ServingConfig) -> float:
    """What the weights take on one rank: attention is copied for each data-parallel rank, experts never are."""
    dense = dense_bytes(spec, config) + spec.embedding_parameters * 2.0
    return dense / config.tensor_parallel + expert_bytes(spec, config) / config.gpus


def cache_bytes(spec: ModelSpec, config: ServingConfig, tokens: float) -> float:
    """What one sequence of so many tokens keeps on each rank that serves it. Latent attention, and more ranks than KV
    heads, mean copies.
    """
    attention = spec.attention
    windowed = min(tokens, attention.window_tokens) * attention.window_layers
    values = attention.values_per_token * (attention.layers * tokens + windowed) + attention.state_values
    shared = 1 if attention.latent else min(config.tensor_parallel, attention.kv_heads)
    return values * config.kv_bits / 8.0 / shared


def sequences_held(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix) -> float:
    """Sequences that one replica decodes together: what fits in memory at their length so far, on average. Below 1 it
    cannot serve at all.
    """
    reserved = RESERVED_BYTES_LLAMA_CPP if config.engine == "llama.cpp" else RESERVED_BYTES
    spare = gpu.memory_bytes * config.memory_share - reserved - weight_bytes(spec, config)
    if spare <= 0:
        return 0.0
    held = spare / cache_bytes(spec, config, mix.input_tokens + 0.6 * mix.output_tokens)
    return min(held, config.sequences_max) * config.data_parallel


def peak_flops(gpu: GpuSpec, config: ServingConfig) -> float:
    """Dense arithmetic rate in the format used; weight-only formats, and those the chip lacks, compute in 16 bit."""
    if config.quantisation in ("fp8", "int8"):
        return gpu.flops_8bit or gpu.flops_16bit
    if config.quantisation == "fp4":
        return gpu.flops_4bit or gpu.flops_16bit
    return gpu.flops_16bit


def prompt_s(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix) -> float:
    """Seconds of arithmetic at full rate that one prompt costs its replica; cached tokens are attended to, not read."""
    tokens = mix.input_tokens * (1.0 - mix.cached_share)
    attention = spec.attention
    reach = attention.layers * (mix.input_tokens + mix.input_tokens * mix.cached_share) / 2.0
    reach += attention.window_layers * min(mix.input_tokens, attention.window_tokens)
    attended = 4.0 * attention.heads * attention.head_dim * tokens * reach
    return (2.0 * spec.active_parameters * tokens / peak_flops(gpu, config) + attended / gpu.flops_16bit) / config.gpus


def check(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix) -> None:
    """Raises PlannerError on a combination that means nothing."""
    if config.tensor_parallel > 1 and gpu.link_bytes_s <= 0:
        raise PlannerError(f"{gpu.name} has no link_bytes_s in the catalogue, so it cannot serve one model in parallel")
    tokens = mix.input_tokens + mix.output_tokens
    if tokens > spec.context_tokens:
        raise PlannerError(
            f"{tokens:.0f} tokens of input and output do not fit the context of {spec.name} ({spec.context_tokens})"
        )


class Decode(msgspec.Struct, frozen=True):
    """What of a replica's step does not depend on its load; `terms` adds the load. Times in seconds at full rate.

    fixed, experts: reading what every batch touches, and all routed experts. sequence: reading one sequence's cache.
    prompt: arithmetic of one prompt. token: of one token. reduced: all-reduce of one token over the link.
    prompt_tokens: those that are not cached. layers, hops, routed: counts of `Terms`.
    """

    model: ModelSpec
    data_parallel: int
    fixed: float
    experts: float
    sequence: float
    prompt: float
    token: float
    reduced: float
    prompt_tokens: float
    output_tokens: float
    layers: float
    hops: float
    routed: float

    def terms(self, running: float) -> Terms:
        """The physical terms of one decoding step with so many sequences in it."""
        per_rank = running / self.data_parallel
        # Each of the others brings its prompt once in output_tokens steps: so much of a prompt falls on one step.
        prompts = max(running - 1.0, 0.0) / self.output_tokens
        tokens = (prompts * self.prompt_tokens + running) / self.data_parallel
        return Terms(
            memory=self.fixed + self.experts * expert_coverage(self.model, running) + self.sequence * per_rank,
            compute=self.prompt * prompts + self.token * running + self.reduced * tokens,
            layers=self.layers,
            hops=self.hops,
            experts=self.routed,
            sequences=per_rank,
        )


def decode(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix) -> Decode:
    """A replica, ready to be asked about any load."""
    tensor, bandwidth = config.tensor_parallel, gpu.bandwidth_bytes_s
    reduced = 0.0
    if tensor > 1:
        link = gpu.link_bytes_s if tensor <= gpu.gpus_per_node else min(gpu.link_bytes_s, gpu.network_bytes_s)
        reduced = 2.0 * spec.layers * spec.hidden_size * 2.0 * 2.0 * (tensor - 1) / tensor / link
    return Decode(
        model=spec,
        data_parallel=config.data_parallel,
        fixed=dense_bytes(spec, config) / tensor / bandwidth,
        experts=expert_bytes(spec, config) / config.gpus / bandwidth,
        sequence=cache_bytes(spec, config, mix.input_tokens + mix.output_tokens / 2.0) / bandwidth,
        prompt=prompt_s(spec, gpu, config, mix),
        token=2.0 * spec.active_parameters / config.gpus / peak_flops(gpu, config),
        reduced=reduced,
        prompt_tokens=mix.input_tokens * (1.0 - mix.cached_share),
        output_tokens=mix.output_tokens,
        layers=float(spec.layers),
        hops=2.0 * spec.layers * math.log2(tensor),
        routed=float(spec.layers * spec.experts_per_token),
    )


def weighted(parts: Terms, engine: Engine, parameters: Parameters) -> float:
    """Seconds of a step: the terms by their parameters."""
    return (
        parts.memory / parameters.memory_efficiency
        + parts.compute / parameters.compute_efficiency
        + parts.layers * parameters.layer_s(engine)
        + parts.hops * parameters.hop_s
        + parts.experts * parameters.expert_s
        + parts.sequences * parameters.sequence_s
    )
