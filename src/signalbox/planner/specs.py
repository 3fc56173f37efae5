"""What the planner reasons about: models, accelerators, how one serves the other, lengths, targets and answers."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from signalbox.core.errors import SignalboxError

Engine = Literal["vllm", "sglang", "trtllm", "llama.cpp"]
Quantisation = Literal["bf16", "fp8", "int8", "fp4", "int4"]
Evidence = Literal["configuration", "model+gpu", "gpu", "roofline"]
Limit = Literal["tpot", "ttft", "e2e", "memory", "does-not-fit"]

# The ninetieth percentile of a standard normal distribution.
Z90 = 1.2815515655446004

# Bits per weight as stored: block formats carry their scales (int4 in groups of 128, fp4 in blocks of 16).
WEIGHT_BITS: dict[Quantisation, float] = {"bf16": 16.0, "fp8": 8.0, "int8": 8.0, "fp4": 4.5, "int4": 4.25}


class PlannerError(SignalboxError):
    """A question the planner cannot answer as it was put; the message names what is wrong and where to put it right."""


def _numbers(entry: msgspec.Struct, name: str, at_least_one: tuple[str, ...] = ()) -> None:
    """Raises ValueError for a number that no figure can be: infinite, negative, or below one where that is a count."""
    for field in entry.__struct_fields__:
        value = getattr(entry, field)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= (field in at_least_one)):
            raise ValueError(f"{name}: {field} cannot be {value}")


class Citation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a figure comes from. url: the page that says so. as_of: ISO date for which it says so. checked: what the
    figures were compared with: the `source` itself, another publication of them (`elsewhere`), or nothing (`no`)."""

    url: str
    as_of: str
    checked: Literal["source", "elsewhere", "no"] = "no"


class Attention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model keeps of the tokens it has read.

    layers: how many layers keep every token. values_per_token: numbers kept per token in one of them: 2 x KV heads x
    head size, or latent + rope size for latent attention. latent: whether it is latent attention, of which every
    tensor-parallel rank needs the whole. kv_heads: ranks beyond this many hold copies. window_layers, window_tokens:
    layers that keep only so many tokens. state_values: kept per sequence whatever its length (linear attention).
    heads, head_dim: query heads and their size, for the work of attention itself.
    """

    layers: int
    values_per_token: int
    kv_heads: int
    heads: int
    head_dim: int
    latent: bool = False
    window_layers: int = 0
    window_tokens: int = 0
    state_values: int = 0

    def __post_init__(self) -> None:
        _numbers(self, "attention", ("kv_heads", "heads", "head_dim"))
        if not self.values_per_token * (self.layers + self.window_layers) + self.state_values:
            raise ValueError("attention: layers, values_per_token and state_values say that nothing is kept")


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """parameters: all. active_parameters: used for one token. expert_parameters: those in routed experts, all layers.
    experts, experts_per_token: 0 for a dense model. native: the precision that the publisher's weights come in.
    architecture: what measurements are filed under; models that differ in nothing but their weights share one (empty:
    the model's own name). unquantised_parameters: those that stay 16 bit whatever the quantisation (embeddings, output
    head, ...). embedding_parameters: of these, the input table, of which a step reads one row a token; 0 where it is
    the head too.
    """

    name: str
    parameters: float
    active_parameters: float
    layers: int
    hidden_size: int
    attention: Attention
    context_tokens: int
    native: Quantisation
    source: Citation
    architecture: str = ""
    expert_parameters: float = 0.0
    experts: int = 0
    experts_per_token: int = 0
    unquantised_parameters: float = 0.0
    embedding_parameters: float = 0.0
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _numbers(self, self.name, ("layers", "hidden_size", "context_tokens"))
        if not 0 < self.active_parameters <= self.parameters:
            raise ValueError(f"{self.name}: active_parameters must be above 0 and at most parameters")
        if self.experts and not 0 < self.experts_per_token <= self.experts:
            raise ValueError(f"{self.name}: experts_per_token must be between 1 and experts")
        if bool(self.experts) != bool(self.expert_parameters):
            raise ValueError(f"{self.name}: experts and expert_parameters go together")
        if self.expert_parameters + self.unquantised_parameters > self.parameters:
            raise ValueError(f"{self.name}: expert_parameters and unquantised_parameters exceed parameters")
        if self.embedding_parameters > self.unquantised_parameters:
            raise ValueError(f"{self.name}: embedding_parameters are part of unquantised_parameters")

    @property
    def filed_under(self) -> str:
        return self.architecture or self.name


class GpuSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One accelerator (or edge device), dense figures. flops_8bit, flops_4bit: None where the chip lacks the format.
    link_bytes_s: to its peers in the node (for racks that are one: in the rack), one direction; network_bytes_s: to
    other nodes. watts: board power; for a device, the whole of it at peak.
    """

    name: str
    kind: Literal["datacenter", "workstation", "edge"]
    memory_bytes: float
    bandwidth_bytes_s: float
    flops_16bit: float
    watts: float
    source: Citation
    flops_8bit: float | None = None
    flops_4bit: float | None = None
    link_bytes_s: float = 0.0
    network_bytes_s: float = 50e9
    gpus_per_node: int = 1
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _numbers(self, self.name)
        for field in ("memory_bytes", "bandwidth_bytes_s", "flops_16bit", "watts"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{self.name}: {field} must be above 0")
        if self.gpus_per_node < 1:
            raise ValueError(f"{self.name}: gpus_per_node must be at least 1")


class ServingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one replica is served. The replica uses `gpus` accelerators = tensor_parallel x data_parallel; data_parallel
    is for attention only (each rank has its own sequences, experts are shared between all). expert_parallel: whole
    experts on each rank instead of a slice of every expert. kv_bits: 16 or 8. memory_share: of the accelerator's
    memory, what the engine may use. sequences_max: the most that one rank decodes together, whatever
    would fit; engines are started with such a limit.
    """

    engine: Engine = "vllm"
    quantisation: Quantisation = "fp8"
    tensor_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: bool = False
    kv_bits: int = 16
    memory_share: float = 0.9
    sequences_max: int = 256

    def __post_init__(self) -> None:
        if self.tensor_parallel < 1 or self.data_parallel < 1:
            raise ValueError("tensor_parallel and data_parallel must be at least 1")
        if self.sequences_max < 1:
            raise ValueError("sequences_max must be at least 1")
        if self.kv_bits not in (8, 16):
            raise ValueError("kv_bits must be 8 or 16")
        if not 0 < self.memory_share <= 1:
            raise ValueError("memory_share must be above 0 and at most 1")

    @property
    def gpus(self) -> int:
        return self.tensor_parallel * self.data_parallel


class LengthMix(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tokens of a request, in the mean. cached_share: of the input, what a prefix cache holds already, so that it is
    kept in memory but not computed again.
    """

    input_tokens: float
    output_tokens: float
    cached_share: float = 0.0

    def __post_init__(self) -> None:
        for value in (self.input_tokens, self.output_tokens):
            if not (math.isfinite(value) and value > 0):
                raise ValueError("input_tokens and output_tokens must be above 0")
        if not 0 <= self.cached_share < 1:
            raise ValueError("cached_share must be at least 0 and below 1")


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a request may take; None: no such target."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    def __post_init__(self) -> None:
        for value in (self.ttft_s, self.tpot_s, self.e2e_s):
            if value is not None and not value > 0:
                raise ValueError("a latency target must be above 0")


class Band(msgspec.Struct, frozen=True):
    """A predicted quantity: the median, and the range that holds eight out of ten."""

    p10: float
    p50: float
    p90: float

    def scaled(self, factor: float) -> Band:
        return Band(self.p10 * factor, self.p50 * factor, self.p90 * factor)

    @classmethod
    def around(cls, median: float, sigma: float) -> Band:
        """Of a log-normal quantity; sigma: standard deviation of its logarithm."""
        reach = math.exp(Z90 * sigma)
        return cls(median / reach, median, median * reach)


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One replica with `concurrency` requests in flight, of which `running` fit into memory; the others wait. tpot_s:
    time per output token. ttft_s: a wide band; plan on throughput and end-to-end time. sigma: spread of the natural
    logarithm of tpot_s. evidence: what the calibration had seen that is nearest to this configuration.
    """

    concurrency: float
    running: float
    tpot_s: Band
    ttft_s: Band
    e2e_s: Band
    requests_per_s: Band
    output_tokens_per_s: Band
    sigma: float
    evidence: Evidence


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The most one replica serves within its targets: the knee of its curve. requests_per_s is 0 where it cannot serve
    at all (`limited_by` says why). concurrency: requests in flight at the knee. at_knee: None when there is none.
    """

    requests_per_s: Band
    output_tokens_per_s: Band
    concurrency: int
    limited_by: Limit
    watts: float
    at_knee: Prediction | None = None
