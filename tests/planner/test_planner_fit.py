"""The fit finds the parameters that made its data despite a few wrong runs, and never sees what it is judged on."""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.planner.fitting import errors, fitted, folds, parameters, share_within, sigma_of  # noqa: E402
from benchmarks.planner.points import Observation, load  # noqa: E402

from signalbox.planner.calibration import Point  # noqa: E402
from signalbox.planner.catalogue.read import shipped  # noqa: E402
from signalbox.planner.roofline import Parameters, decode, sequences_held, weighted  # noqa: E402
from signalbox.planner.specs import Engine, LengthMix, Quantisation, ServingConfig  # noqa: E402

TRUE = Parameters(
    memory_efficiency=0.7,
    compute_efficiency=0.5,
    layer_s_vllm=50e-6,
    layer_s_sglang=40e-6,
    layer_s_trtllm=20e-6,
    hop_s=6e-6,
    expert_s=4e-6,
    sequence_s=2e-5,
)
MODELS = ("llama-3.1-70b", "qwen3-8b", "gpt-oss-120b", "deepseek-v3")
GPUS = ("h100-sxm", "h200-sxm", "b200-sxm")
ENGINES: tuple[Engine, ...] = ("vllm", "sglang", "trtllm")


def made(noise: float = 0.0, wrong_share: float = 0.0) -> list[Observation]:
    draw = random.Random(8)
    found: list[Observation] = []
    quantisation: Quantisation = "fp8"
    for model, gpu, engine, ranks in itertools.product(MODELS, GPUS, ENGINES, (1, 4, 8)):
        spec, accelerator = shipped().model(model), shipped().gpu(gpu)
        config = ServingConfig(engine=engine, quantisation=quantisation, tensor_parallel=ranks, kv_bits=8)
        for tokens_in, load_ in ((1000, 4), (1000, 64), (8000, 16)):
            mix = LengthMix(input_tokens=tokens_in, output_tokens=1000)
            if sequences_held(spec, accelerator, config, mix) < load_:
                continue
            step_s = weighted(decode(spec, accelerator, config, mix).terms(load_), engine, TRUE)
            step_s *= 0.5 if draw.random() < wrong_share else draw.lognormvariate(0.0, noise)
            point = Point(model=spec, gpu=accelerator, config=config, mix=mix, concurrency=load_, tpot_s=step_s)
            found.append(Observation(point, (tokens_in, 1000)))
    return found


def test_the_parameters_that_made_the_points_are_found() -> None:
    found = parameters(made())
    for name in Parameters.__struct_fields__:
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=0.02)


def test_a_few_runs_at_double_speed_hardly_move_them() -> None:
    """As speculative decoding does that nobody labelled."""
    found = parameters(made(noise=0.05, wrong_share=0.05))
    for name in ("memory_efficiency", "compute_efficiency", "layer_s_vllm"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=0.15)


def test_a_held_out_group_has_no_say_in_its_own_prediction() -> None:
    observations = [one for one in made(noise=0.1) if one.architecture in MODELS[:2]]
    outer = folds(observations, lambda one: one.group)
    assert sum(len(fold.held) for fold in outer) == len(observations)
    for fold in outer:
        name = " ".join(fold.held[0].group)
        assert name not in fold.calibration.pairs
        assert len({one.group for one in fold.held}) == 1
    changed = [
        Observation(msgspec.structs.replace(one.point, tpot_s=3.0 * one.point.tpot_s), one.nominal)
        if one.group == outer[0].held[0].group
        else one
        for one in observations
    ]
    again = folds(changed, lambda one: one.group)[0]
    assert again.calibration == outer[0].calibration


def test_the_stated_spread_holds_eight_of_ten() -> None:
    observations = made(noise=0.2)
    found = errors(fitted(observations[::2]), observations[1::2])
    assert share_within(found, sigma_of(found)) == pytest.approx(0.8, abs=0.02)


def test_a_table_is_read_and_the_same_run_under_two_labels_is_one_point(tmp_path: Path) -> None:
    head = (
        "id,silicon_data_source,backend,model_path,system,precision,isl,osl,batch_size,tp_size,attention_dp_size,"
        "moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms"
    )
    rows = [
        "a,x,vllm,MiniMaxAI/MiniMax-M2.5,h100_sxm,fp8,1024,1024,16,4,1,1,4,114,15.5",
        "b,x,vllm,MiniMaxAI/MiniMax-M2.5,h100_sxm,fp8,1024,1024,4,4,4,1,16,107,15.5",
        "c,x,trtllm,openai/gpt-oss-120b,h200_sxm,fp4,1024,1024,8,64,1,8,8,115,5.5",
        "d,x,vllm,somebody/unheard-of,h100_sxm,fp8,1024,1024,16,4,1,1,4,114,15.5",
    ]
    file = tmp_path / "points.csv"
    file.write_text("\n".join([head, *rows]) + "\n")
    loaded = load(file)
    assert (loaded.rows, loaded.covered) == (4, 3)
    assert [one.point.config.gpus for one in loaded.observations] == [4, 8]
    assert [one.point.concurrency for one in loaded.observations] == [16, 8]
