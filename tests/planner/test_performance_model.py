"""Predictions behave as machines do: orders, limits, evidence, and the published ceilings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.planner.calibration import Calibration, Point, calibrated, fitted, predicted_log
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.model import CEILING_HEADROOM, knee, predict
from signalbox.planner.roofline import expert_coverage, sequences_held
from signalbox.planner.specs import (
    Attention,
    Band,
    Citation,
    GpuSpec,
    LengthMix,
    ModelSpec,
    PlannerError,
    ServingConfig,
    Slo,
)

CATALOGUE = shipped()
MODELS = sorted(one.name for one in CATALOGUE.models)
SERVERS = sorted(one.name for one in CATALOGUE.gpus if one.kind == "datacenter")
CHAT = LengthMix(input_tokens=1500, output_tokens=500)

configs = st.builds(
    ServingConfig,
    engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
    quantisation=st.sampled_from(["bf16", "fp8", "fp4", "int4"]),
    tensor_parallel=st.sampled_from([1, 2, 4, 8]),
    kv_bits=st.sampled_from([8, 16]),
)
mixes = st.builds(
    LengthMix,
    input_tokens=st.floats(1, 3000),
    output_tokens=st.floats(1, 1000),
    cached_share=st.floats(0, 0.95),
)


def ask(model: str, gpu: str, config: ServingConfig, mix: LengthMix) -> tuple[ModelSpec, GpuSpec, float] | None:
    spec, accelerator = CATALOGUE.model(model), CATALOGUE.gpu(gpu)
    held = sequences_held(spec, accelerator, config, mix)
    return (spec, accelerator, held) if held >= 1 else None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(SERVERS), configs, mixes, st.floats(1, 4000))
def test_every_configuration_that_fits_is_predicted_and_more_load_is_never_faster(
    model: str, gpu: str, config: ServingConfig, mix: LengthMix, concurrency: float
) -> None:
    asked = ask(model, gpu, config, mix)
    if asked is None:
        with pytest.raises(PlannerError, match="does not fit"):
            predict(CATALOGUE.model(model), CATALOGUE.gpu(gpu), config, mix, concurrency)
        return
    spec, accelerator, held = asked
    one = predict(spec, accelerator, config, mix, concurrency)
    more = predict(spec, accelerator, config, mix, concurrency * 1.5)
    for band in (one.tpot_s, one.ttft_s, one.e2e_s, one.requests_per_s, one.output_tokens_per_s):
        assert 0 < band.p10 <= band.p50 <= band.p90 < math.inf
    # A configuration's measured slope may say that time hardly grows with load, never that it falls by a tenth.
    assert more.tpot_s.p50 >= one.tpot_s.p50 * 0.9
    assert more.e2e_s.p50 >= one.e2e_s.p50 * 0.9
    assert one.running == min(concurrency, held)
    assert one.requests_per_s.p50 == pytest.approx(concurrency / one.e2e_s.p50)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(SERVERS), configs, mixes, st.floats(0.01, 0.2))
def test_the_knee_keeps_its_target_and_one_more_request_breaks_it(
    model: str, gpu: str, config: ServingConfig, mix: LengthMix, tpot_s: float
) -> None:
    spec, accelerator = CATALOGUE.model(model), CATALOGUE.gpu(gpu)
    found = knee(spec, accelerator, config, mix, Slo(tpot_s=tpot_s))
    held = int(sequences_held(spec, accelerator, config, mix))
    if found.limited_by == "does-not-fit":
        assert held == 0
        assert found.requests_per_s == Band(0.0, 0.0, 0.0)
        return
    if found.at_knee is not None:
        assert found.at_knee.tpot_s.p50 <= tpot_s
        assert found.requests_per_s == found.at_knee.requests_per_s
    if found.limited_by == "tpot":
        assert predict(spec, accelerator, config, mix, found.concurrency + 1).tpot_s.p50 > tpot_s
    else:
        assert found.concurrency == held


def test_faster_memory_shorter_weights_and_a_cached_prefix_each_help() -> None:
    spec, gpu = CATALOGUE.model("mistral-small-24b"), CATALOGUE.gpu("l40s")
    config = ServingConfig(quantisation="fp8")
    base = predict(spec, gpu, config, CHAT, 8)
    fast = msgspec.structs.replace(gpu, bandwidth_bytes_s=2 * gpu.bandwidth_bytes_s)
    assert predict(spec, fast, config, CHAT, 8).tpot_s.p50 < base.tpot_s.p50
    four_bit = ServingConfig(quantisation="int4")
    assert predict(spec, gpu, four_bit, CHAT, 8).tpot_s.p50 < base.tpot_s.p50
    cached = msgspec.structs.replace(CHAT, cached_share=0.8)
    assert predict(spec, gpu, config, cached, 8).ttft_s.p50 < base.ttft_s.p50


def test_requests_beyond_memory_wait_instead_of_slowing_the_others() -> None:
    spec, gpu = CATALOGUE.model("llama-3.1-8b"), CATALOGUE.gpu("l4")
    config = ServingConfig(quantisation="fp8")
    held = sequences_held(spec, gpu, config, CHAT)
    full, over = predict(spec, gpu, config, CHAT, held), predict(spec, gpu, config, CHAT, 4 * held)
    assert over.tpot_s == full.tpot_s
    assert over.ttft_s.p50 > 10 * full.ttft_s.p50
    assert over.requests_per_s.p50 == pytest.approx(full.requests_per_s.p50, rel=0.2)


@given(st.integers(1, 10_000))
def test_a_batch_touches_at_most_all_experts_and_at_least_what_one_token_needs(tokens: int) -> None:
    spec = CATALOGUE.model("qwen3-235b-a22b")
    share = expert_coverage(spec, tokens)
    assert spec.experts_per_token / spec.experts <= share + 1e-12
    assert share <= 1.0
    assert expert_coverage(CATALOGUE.model("llama-3.1-8b"), tokens) == 0.0


def test_latent_attention_is_copied_to_every_rank_and_windows_stop_growing() -> None:
    latent, grouped = CATALOGUE.model("deepseek-v3"), CATALOGUE.model("llama-3.1-70b")
    gpu = CATALOGUE.gpu("b200")
    mix = LengthMix(input_tokens=30_000, output_tokens=1000)
    for spec, gain in ((latent, False), (grouped, True)):
        four = sequences_held(spec, gpu, ServingConfig(quantisation="fp4", tensor_parallel=4), mix)
        eight = sequences_held(spec, gpu, ServingConfig(quantisation="fp4", tensor_parallel=8), mix)
        assert (eight > 2 * four) == gain or eight > four
    windowed = CATALOGUE.model("gpt-oss-20b")
    full = msgspec.structs.replace(
        windowed,
        attention=msgspec.structs.replace(windowed.attention, layers=windowed.layers, window_layers=0, window_tokens=0),
    )
    config = ServingConfig(quantisation="fp4", sequences_max=100_000)
    held = sequences_held(windowed, gpu, config, mix)
    assert held == pytest.approx(2 * sequences_held(full, gpu, config, mix), rel=0.05)


@dataclass(frozen=True)
class Measured:
    """A public measurement (InferenceX, 1024 tokens in and out, drawn between 0.8 and 1.0 of that)."""

    model: str
    gpu: str
    config: ServingConfig
    concurrency: int
    tpot_ms: float


PUBLISHED = [
    Measured("gpt-oss-120b", "h200", ServingConfig(quantisation="fp4", tensor_parallel=4, kv_bits=8), 16, 5.6),
    Measured("gpt-oss-120b", "b200", ServingConfig(quantisation="fp4", tensor_parallel=1, kv_bits=8), 64, 10.5),
    Measured("minimax-m2.5", "h200", ServingConfig(tensor_parallel=8, kv_bits=8), 32, 13.7),
    Measured("minimax-m2.5", "b200", ServingConfig(tensor_parallel=4, kv_bits=8), 8, 8.8),
]


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: f"{one.model}-{one.gpu}")
def test_published_measurements_lie_near_their_predictions(one: Measured) -> None:
    mix = LengthMix(input_tokens=922, output_tokens=922)
    found = predict(CATALOGUE.model(one.model), CATALOGUE.gpu(one.gpu), one.config, mix, one.concurrency)
    assert found.tpot_s.p50 * 1e3 == pytest.approx(one.tpot_ms, rel=0.25)
    assert found.evidence == "configuration"


@pytest.mark.parametrize("ceiling", CATALOGUE.ceilings, ids=lambda one: f"{one.model}-{one.gpu}")
def test_no_configuration_is_predicted_above_a_published_ceiling(ceiling: object) -> None:
    best = next(one for one in CATALOGUE.ceilings if one is ceiling)
    spec, gpu = CATALOGUE.model(best.model), CATALOGUE.gpu(best.gpu)
    mix = LengthMix(input_tokens=best.input_tokens, output_tokens=best.output_tokens)
    judged = 0
    for engine in ("vllm", "trtllm"):
        for quantisation in ("fp8", "fp4"):
            for ranks in (1, 2, 4, 8):
                config = ServingConfig(
                    engine=engine, quantisation=quantisation, tensor_parallel=ranks, kv_bits=8, sequences_max=8192
                )
                found = knee(spec, gpu, config, mix, Slo())
                per_gpu = found.output_tokens_per_s.p50 / config.gpus
                assert per_gpu <= CEILING_HEADROOM * best.output_tokens_per_s
                judged += found.concurrency > 0
    assert judged > 0


def test_a_ceiling_slows_an_accelerator_that_promises_too_much() -> None:
    spec, gpu = CATALOGUE.model("llama-3.1-8b"), CATALOGUE.gpu("l40s")
    dream = msgspec.structs.replace(gpu, bandwidth_bytes_s=1e14, flops_16bit=1e17, flops_8bit=1e17)
    best = CATALOGUE.ceiling(spec.name, gpu.name)
    assert best is not None
    mix = LengthMix(input_tokens=best.input_tokens, output_tokens=best.output_tokens)
    found = knee(spec, dream, ServingConfig(), mix, Slo())
    assert found.output_tokens_per_s.p50 <= CEILING_HEADROOM * best.output_tokens_per_s
    unnamed = msgspec.structs.replace(dream, name="somebody's")
    assert knee(spec, unnamed, ServingConfig(), mix, Slo()).output_tokens_per_s.p50 > 2 * best.output_tokens_per_s


def test_an_edge_device_decodes_at_a_share_of_its_bandwidth() -> None:
    """4.9 tokens/s were measured on this device with this model, and 5.5 on the same with a better case."""
    spec, gpu = CATALOGUE.model("llama-3.2-3b"), CATALOGUE.gpu("raspberry-pi-5")
    config = ServingConfig(engine="llama.cpp", quantisation="int4")
    found = predict(spec, gpu, config, LengthMix(input_tokens=50, output_tokens=200), 1)
    slow, fast = 1 / found.tpot_s.p90, 1 / found.tpot_s.p10
    assert slow < 4.9 < fast
    assert fast / slow == pytest.approx(0.90 / 0.42, rel=0.01)
    assert knee(spec, gpu, config, LengthMix(input_tokens=50, output_tokens=200), Slo()).watts == gpu.watts


def test_what_cannot_be_asked_is_refused_in_words() -> None:
    spec, gpu = CATALOGUE.model("llama-3.1-8b"), CATALOGUE.gpu("h100")
    with pytest.raises(PlannerError, match=r"context of llama-3\.1-8b"):
        predict(spec, gpu, ServingConfig(), LengthMix(input_tokens=2e5, output_tokens=1), 1)
    with pytest.raises(PlannerError, match="means nothing"):
        predict(spec, gpu, ServingConfig(), CHAT, math.nan)
    with pytest.raises(PlannerError, match="link_bytes_s"):
        predict(spec, CATALOGUE.gpu("mac-mini-m4"), ServingConfig(tensor_parallel=2), CHAT, 1)
    with pytest.raises(ValueError, match="above 0"):
        LengthMix(input_tokens=0, output_tokens=1)
    with pytest.raises(ValueError, match="kv_bits"):
        ServingConfig(kv_bits=4)


# --- calibration ---


def own_gpu() -> GpuSpec:
    return GpuSpec(
        name="new-chip",
        kind="datacenter",
        memory_bytes=96e9,
        bandwidth_bytes_s=4e12,
        flops_16bit=9e14,
        watts=600,
        link_bytes_s=3e11,
        gpus_per_node=8,
        source=Citation(url="https://example.com/chip", as_of="2026-11-20"),
    )


def measured(
    gpu: GpuSpec, factor: float, loads: tuple[int, ...], *, tensor: int = 1, model: str = "qwen3-8b"
) -> list[Point]:
    spec, config = CATALOGUE.model(model), ServingConfig(tensor_parallel=tensor)
    return [
        Point(
            model=spec,
            gpu=gpu,
            config=config,
            mix=CHAT,
            concurrency=load,
            tpot_s=factor * predict(spec, gpu, config, CHAT, load).tpot_s.p50,
        )
        for load in loads
    ]


def test_two_measurements_correct_a_configuration_and_narrow_its_band() -> None:
    gpu = own_gpu()
    spec, config = CATALOGUE.model("qwen3-8b"), ServingConfig()
    before = predict(spec, gpu, config, CHAT, 16)
    known = calibrated(fitted(), measured(gpu, 1.5, (4, 64)))
    after = predict(spec, gpu, config, CHAT, 16, known)
    assert before.evidence == "roofline"
    assert after.evidence == "configuration"
    assert after.sigma < before.sigma
    assert after.tpot_s.p50 / before.tpot_s.p50 == pytest.approx(1.5, rel=0.08)


def test_what_was_measured_spreads_to_its_kin_by_less_and_to_strangers_hardly() -> None:
    gpu = own_gpu()
    known = calibrated(fitted(), measured(gpu, 1.5, (4, 16, 64)))

    def change(model: str, accelerator: GpuSpec, tensor: int) -> float:
        spec, config = CATALOGUE.model(model), ServingConfig(tensor_parallel=tensor)
        return (
            predict(spec, accelerator, config, CHAT, 16, known).tpot_s.p50
            / predict(spec, accelerator, config, CHAT, 16).tpot_s.p50
        )

    same, sibling, cousin = change("qwen3-8b", gpu, 1), change("qwen3-8b", gpu, 2), change("qwen3-14b", gpu, 1)
    stranger = change("qwen3-14b", CATALOGUE.gpu("l40s"), 1)
    assert same > sibling > cousin > stranger >= 1.0
    assert stranger < 1.02


def test_more_configurations_are_believed_more() -> None:
    gpu = own_gpu()
    one = calibrated(fitted(), measured(gpu, 1.5, (16,)))
    many = calibrated(
        fitted(), [point for tensor in (1, 2, 4, 8) for point in measured(gpu, 1.5, (16,), tensor=tensor)]
    )
    assert many.gpus["new-chip"] > 2 * one.gpus["new-chip"] > 0


def test_no_measurements_change_nothing_and_wrong_ones_are_refused() -> None:
    assert calibrated(fitted(), []) == fitted()
    wrong = msgspec.structs.replace(measured(own_gpu(), 1.0, (4,))[0], tpot_s=0.0)
    with pytest.raises(PlannerError, match="qwen3-8b"):
        calibrated(fitted(), [wrong])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 200), st.floats(0.3, 3.0)), min_size=1, max_size=8))
def test_a_correction_never_leaves_what_was_measured(found: list[tuple[int, float]]) -> None:
    """The corrected time lies between the prediction and the farthest measurement, give or take the slopes' prior."""
    gpu = own_gpu()
    points = [measured(gpu, factor, (load,))[0] for load, factor in found]
    known: Calibration = calibrated(fitted(), points)
    logs = [math.log(factor) for _, factor in found]
    for point in points:
        moved = predicted_log(known, point) - predicted_log(fitted(), point)
        assert min(0.0, *logs) - 0.5 <= moved <= max(0.0, *logs) + 0.5


def test_models_of_one_architecture_share_their_measurements() -> None:
    config = ServingConfig(tensor_parallel=4, kv_bits=8)
    for model in ("llama-3.1-70b", "llama-3.3-70b"):
        assert predict(CATALOGUE.model(model), CATALOGUE.gpu("h100"), config, CHAT, 8).evidence == "configuration"


def test_specs_refuse_what_contradicts_itself() -> None:
    with pytest.raises(ValueError, match="nothing is kept"):
        Attention(layers=0, values_per_token=8, kv_heads=1, heads=2, head_dim=4)
    attention = Attention(layers=2, values_per_token=8, kv_heads=1, heads=2, head_dim=4)
    good = ModelSpec(
        name="tiny",
        parameters=100,
        active_parameters=50,
        layers=2,
        hidden_size=8,
        attention=attention,
        context_tokens=64,
        native="bf16",
        source=Citation(url="https://example.com", as_of="2026-11-20"),
        experts=4,
        experts_per_token=2,
        expert_parameters=80,
    )
    wrong: dict[str, object] = {
        "layers": 0,
        "parameters": math.inf,
        "active_parameters": 101,
        "experts_per_token": 5,
        "expert_parameters": 0.0,
        "unquantised_parameters": 30,
        "embedding_parameters": 1,
    }
    for field, value in wrong.items():
        with pytest.raises(ValueError, match="tiny"):
            msgspec.structs.replace(good, **{field: value})
