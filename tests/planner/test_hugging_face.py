"""Entries from publishers' own configurations agree with those that ship, which were checked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.cli.main import main
from signalbox.control.planner_files import PlannerFiles
from signalbox.planner.catalogue.hugging_face import from_config
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.specs import Citation, PlannerError

SOURCE = Citation(url="https://example.com/config.json", as_of="2026-11-20")

LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
CONFIGS: dict[str, dict[str, object]] = {
    "llama-3.1-8b": LLAMA,
    "mixtral-8x7b": {
        **LLAMA,
        "vocab_size": 32000,
        "max_position_embeddings": 32768,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
    "gpt-oss-120b": {
        "head_dim": 64,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
        "max_position_embeddings": 131072,
        "num_attention_heads": 64,
        "num_experts_per_tok": 4,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "num_local_experts": 128,
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
        "sliding_window": 128,
        "vocab_size": 201088,
    },
    "deepseek-v3": {
        "first_k_dense_replace": 3,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "kv_lora_rank": 512,
        "max_position_embeddings": 163840,
        "moe_intermediate_size": 2048,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_attention_heads": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 61,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "quantization_config": {"quant_method": "fp8"},
        "v_head_dim": 128,
        "vocab_size": 129280,
    },
    "qwen3.5-397b-a17b": {
        "text_config": {
            "attn_output_gate": True,
            "full_attention_interval": 4,
            "head_dim": 256,
            "hidden_size": 4096,
            "linear_key_head_dim": 128,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 64,
            "linear_value_head_dim": 128,
            "max_position_embeddings": 262144,
            "moe_intermediate_size": 1024,
            "num_attention_heads": 32,
            "num_experts": 512,
            "num_experts_per_tok": 10,
            "num_hidden_layers": 60,
            "num_key_value_heads": 2,
            "shared_expert_intermediate_size": 1024,
            "vocab_size": 248320,
        }
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_entry_agrees_with_the_one_that_ships(name: str) -> None:
    found = from_config(json.dumps(CONFIGS[name]).encode(), name, SOURCE)
    known = shipped().model(name)
    assert found.attention == known.attention
    assert found.parameters == pytest.approx(known.parameters, rel=0.01)
    assert found.active_parameters == pytest.approx(known.active_parameters, rel=0.12)
    assert found.expert_parameters == pytest.approx(known.expert_parameters, rel=0.01)
    assert found.unquantised_parameters == pytest.approx(known.unquantised_parameters, rel=0.02)
    for field in ("layers", "hidden_size", "experts", "experts_per_token", "context_tokens", "native"):
        assert getattr(found, field) == getattr(known, field)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"ssm_state_size": 128}, "no model of such layers"),
        ({"layer_types": ["linear_attention"] * 32}, "no model of such layers"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"num_experts": 4}, "lacks num_experts_per_tok"),
        ({"num_experts": 4, "num_experts_per_tok": 9}, "must be above 0 and at most"),
        ({"head_dim": 0}, "head_dim cannot be 0"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change: dict[str, object], what: str) -> None:
    with pytest.raises(PlannerError, match=what):
        from_config(json.dumps({**LLAMA, **change}).encode(), "x", SOURCE)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"{" * 5000])
def test_what_is_no_configuration_is_refused(content: bytes) -> None:
    with pytest.raises(PlannerError):
        from_config(content, "x", SOURCE)


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**10)
    | st.text(max_size=3)
    | st.lists(st.text(max_size=9), max_size=3)
)


@given(st.dictionaries(st.sampled_from(sorted({*LLAMA, *CONFIGS["deepseek-v3"], *CONFIGS["gpt-oss-120b"]})), _VALUES))
def test_any_configuration_gives_an_entry_or_a_refusal(change: dict[str, object]) -> None:
    try:
        found = from_config(json.dumps({**LLAMA, **change}).encode(), "x", SOURCE)
    except PlannerError:
        return
    assert found.parameters > 0


def test_what_is_described_can_be_taken_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA))
    state = ["--state-dir", str(tmp_path / "state")]
    assert main(["catalogue", "describe", str(file), "--name", "ours", "--url", "https://example.com/ours"]) == 0
    own = tmp_path / "own.json"
    own.write_text(capsys.readouterr().out)
    assert main(["catalogue", "update", str(own), *state]) == 0
    assert PlannerFiles(tmp_path / "state").catalogue().model("ours").layers == 32
    file.write_text("{}")
    assert main(["catalogue", "describe", str(file), "--name", "ours", "--url", "https://example.com/ours"]) == 2
    assert "config.json" in capsys.readouterr().err
