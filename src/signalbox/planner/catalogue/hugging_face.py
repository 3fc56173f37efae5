"""A catalogue entry from a model's own configuration file, as Hugging Face publishes it beside the weights.

Geometry is copied; parameters are counted from it: embeddings, attention, dense and routed experts (norms and biases,
below half a per cent, are left out). What the planner has no terms for, such as state-space layers, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from signalbox.planner.specs import Attention, Citation, ModelSpec, PlannerError, Quantisation

# Parts of configurations of models that keep or compute something else than attention and experts.
UNKNOWN = (
    "ssm_state_size",
    "mamba_d_state",
    "state_size",
    "rglru_block_width",
    "num_heads_per_layer",
    "is_encoder_decoder",
)

_NATIVE: dict[str, Quantisation] = {
    "fp8": "fp8",
    "mxfp4": "fp4",
    "nvfp4": "fp4",
    "awq": "int4",
    "gptq": "int4",
    "compressed-tensors": "int4",
}


class _Config:
    """The mapping with its defaults: a missing count is an error that names it."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def number(self, *names: str, default: int | None = None) -> int:
        for name in names:
            value = self._fields.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                if not 0 <= value <= 10**9:
                    raise PlannerError(f"{name} is {value}")
                return value
        if default is None:
            raise PlannerError(f"the configuration lacks {' or '.join(names)}")
        return default

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        return self._fields.get(name) is True

    def layer_types(self) -> list[str]:
        value = self._fields.get("layer_types")
        return [str(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def from_config(content: bytes, name: str, source: Citation) -> ModelSpec:
    """Raises PlannerError when the file is no such configuration, or one of a model that is not understood."""
    try:
        whole = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise PlannerError(f"this is no model configuration: {error}") from None
    try:
        return _entry(whole, name, source)
    except ValueError as error:
        raise PlannerError(str(error)) from None


def _entry(whole: dict[str, Any], name: str, source: Citation) -> ModelSpec:
    nested = whole.get("text_config")
    fields = cast("dict[str, Any]", nested) if isinstance(nested, dict) else whole
    for part in UNKNOWN:
        if fields.get(part):
            raise PlannerError(f"{part}: the planner has no model of such layers")
    config = _Config(fields)
    hidden, layers = config.number("hidden_size"), config.number("num_hidden_layers")
    attention, weights = _attention(config, hidden, layers)
    routed, dense, experts, chosen = _feed_forward(config, hidden, layers)
    quantisation = whole.get("quantization_config") or fields.get("quantization_config")
    table = config.number("vocab_size") * hidden
    tied = config.flag("tie_word_embeddings") or whole.get("tie_word_embeddings") is True
    total = weights + routed + dense + table * (1 if tied else 2)
    kept = total - routed if _attention_unquantised(quantisation) else table * (1 if tied else 2)
    return ModelSpec(
        name=name,
        parameters=float(total),
        active_parameters=float(total - routed + (routed * chosen / experts if experts else 0)),
        layers=layers,
        hidden_size=hidden,
        attention=attention,
        context_tokens=config.number("max_position_embeddings"),
        native=_native(quantisation),
        source=source,
        experts=experts,
        experts_per_token=chosen,
        expert_parameters=float(routed),
        unquantised_parameters=float(kept),
        embedding_parameters=0.0 if tied else float(table),
    )


def _attention(config: _Config, hidden: int, layers: int) -> tuple[Attention, int]:
    """What is kept, and the parameters of all attention layers, linear ones included."""
    heads = config.number("num_attention_heads")
    if config.number("kv_lora_rank", default=0):
        return _latent(config, hidden, layers, heads)
    kv_heads = config.number("num_key_value_heads", default=heads)
    size = config.number("head_dim", default=hidden // max(heads, 1))
    gate = heads * size if config.flag("attn_output_gate") or config.text("model_type") == "qwen3_next" else 0
    per_layer = hidden * (2 * heads * size + 2 * kv_heads * size + gate)
    kinds = config.layer_types()
    every = config.number("full_attention_interval", default=0)
    if every and not kinds:
        kinds = ["full_attention" if (index + 1) % every == 0 else "linear_attention" for index in range(layers)]
    if not kinds and config.text("model_type").startswith("llama4"):
        kinds = ["full_attention" if (index + 1) % 4 == 0 else "chunked_attention" for index in range(layers)]
    windowed = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds)
    linear = kinds.count("linear_attention")
    window = config.number("sliding_window", "attention_chunk_size", default=0)
    if config.number("linear_num_value_heads", default=0):
        keys = config.number("linear_num_key_heads") * config.number("linear_key_head_dim")
        values = config.number("linear_num_value_heads") * config.number("linear_value_head_dim")
        state = values * config.number("linear_key_head_dim") * linear
        parameters = per_layer * (layers - linear) + linear * hidden * (2 * keys + 3 * values)
    elif linear:
        raise PlannerError("linear_attention without linear_num_value_heads: the planner has no model of such layers")
    else:
        state, parameters = 0, per_layer * layers
    return (
        Attention(
            layers=layers - linear - (windowed if window else 0),
            values_per_token=2 * kv_heads * size,
            kv_heads=kv_heads,
            heads=heads,
            head_dim=size,
            window_layers=windowed if window else 0,
            window_tokens=window if windowed else 0,
            state_values=state,
        ),
        parameters,
    )


def _latent(config: _Config, hidden: int, layers: int, heads: int) -> tuple[Attention, int]:
    rank, rope = config.number("kv_lora_rank"), config.number("qk_rope_head_dim")
    nope, value = config.number("qk_nope_head_dim"), config.number("v_head_dim")
    query = config.number("q_lora_rank", default=0)
    into = query * (hidden + heads * (nope + rope)) if query else hidden * heads * (nope + rope)
    per_layer = into + hidden * (rank + rope) + rank * heads * (nope + value) + heads * value * hidden
    kept = Attention(
        layers=layers, values_per_token=rank + rope, kv_heads=1, heads=heads, head_dim=nope + rope, latent=True
    )
    return kept, per_layer * layers


def _feed_forward(config: _Config, hidden: int, layers: int) -> tuple[int, int, int, int]:
    """Parameters of routed experts and of everything else that feeds forward; experts, and how many a token takes."""
    experts = config.number("num_experts", "n_routed_experts", "num_local_experts", default=0)
    wide = config.number("intermediate_size", default=0)
    if not experts:
        return 0, layers * 3 * hidden * wide, 0, 0
    width = config.number("moe_intermediate_size", "intermediate_size")
    every = config.number("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq", default=1)
    mixed = (layers - config.number("first_k_dense_replace", default=0)) // max(every, 1)
    shared = config.number("shared_expert_intermediate_size", default=0)
    shared += config.number("n_shared_experts", default=0) * width
    if config.text("model_type").startswith("llama4"):
        shared, wide = width, config.number("intermediate_size_mlp", "intermediate_size")
    routed = mixed * experts * 3 * hidden * width
    dense = mixed * hidden * (3 * shared + experts) + (layers - mixed) * 3 * hidden * wide
    return routed, dense, experts, config.number("num_experts_per_tok", "experts_per_token")


def _native(quantisation: object) -> Quantisation:
    if not isinstance(quantisation, dict):
        return "bf16"
    method = cast("dict[str, object]", quantisation).get("quant_method")
    return _NATIVE.get(str(method), "bf16")


def _attention_unquantised(quantisation: object) -> bool:
    """Whether the publisher quantised routed experts only."""
    if not isinstance(quantisation, dict):
        return False
    kept = cast("dict[str, object]", quantisation).get("modules_to_not_convert")
    return isinstance(kept, list) and any("self_attn" in str(item) for item in cast("list[object]", kept))
