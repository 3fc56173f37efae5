"""What a plan advises besides placements: crossovers, levers, recipes, what is missing, and what stands in the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_plan_whole import CONFIG, EXAMPLES, made

from signalbox.cli.main import main
from signalbox.planner.crossover import Crossover
from signalbox.planner.plan import Plan
from signalbox.planner.playbook import STAGES
from signalbox.planner.report import page

POOL = """\
organisation: {skills: [gpu-serving]}
environments: {us: {kind: cloud, region: us}, own: {kind: on-prem, region: us}}
options:
  api: {environment: us, kind: cloud-api, model: m, price: {input_mtok: 3, output_mtok: 12, cache_read_mtok: 0.3}}
  small:
    {environment: us, kind: cloud-api, model: s, price: {input_mtok: 0.3, output_mtok: 1.2}, quality: {general: 0.6}}
  lots: {environment: own, kind: rented, model: llama-3.1-8b, gpu: h100-sxm, gpu_usd_per_hour: 3, quantisation: bf16}
workloads:
  chat: {volume: {requests_per_day: RATE, prompt_tokens: 500, input_tokens: 500, output_tokens: 300}}
"""


def example(name: str) -> Plan:
    return made((EXAMPLES / f"{name}.yaml").read_bytes())


def cost(crossing: Crossover, tokens_per_day: float) -> float:
    """USD a month of the lots, read off the staircase that the page draws."""
    assert crossing.steps is not None
    return next(usd for at, usd in crossing.steps.line(tokens_per_day * 2) if at >= tokens_per_day)


@pytest.mark.parametrize("name", ["edge-autocomplete", "twelve-small", "document-pipeline", "support-chatbot"])
def test_lots_cost_less_from_the_crossover_on_and_not_before(name: str) -> None:
    for crossing in example(name).crossovers:
        by_token = crossing.token_usd_mtok / 1e6 * 365 / 12
        if crossing.tokens_per_day is None:
            assert crossing.steps is not None
            end = crossing.steps.lots_max * crossing.steps.lot_tokens_per_day
            assert crossing.steps.opening_usd + crossing.steps.lots_max * crossing.steps.lot_usd > end * by_token
        elif crossing.lots < 50:
            assert cost(crossing, crossing.tokens_per_day * 1.0001) <= crossing.tokens_per_day * by_token * 1.001
            assert cost(crossing, crossing.tokens_per_day * 0.98) > crossing.tokens_per_day * 0.98 * by_token


def test_a_fleet_of_thousands_has_its_crossover_beyond_sixty_four() -> None:
    (crossing,) = example("edge-autocomplete").crossovers
    assert crossing.tokens_per_day is not None
    assert crossing.floor_usd_mtok < crossing.token_usd_mtok


def test_each_lever_says_what_it_saves_here() -> None:
    busy = made(POOL.replace("RATE", "4M").encode())
    told = {(each.option, each.name): each for each in busy.levers}
    names = {name for _, name in told}
    assert {"semantic cache", "quantisation to fp8", "prefix caching", "batching", "speculative decoding"} <= names
    assert told["lots", "quantisation to fp8"].usd_per_month > 0
    assert told["lots", "batching"].counted
    assert told["lots", "batching"].usd_per_month > told["lots", "prefix caching"].usd_per_month
    by_token = made(POOL.replace("RATE", "100").encode())
    assert by_token.placed[0].options[0] == "small"
    assert not any(each.name.startswith("tiering") for each in by_token.levers), "nothing is cheaper than the cheapest"


def test_an_option_that_answers_too_seldom_is_out_and_said_to_be() -> None:
    wanted = POOL.replace("RATE", "100").replace("300}}", "300}, targets: {availability: 0.9995}}")
    plan = made(wanted.replace("model: m,", "model: m, availability: 0.9999,").encode())
    assert plan.placed[0].options == ("api",), "the small one is cheaper, and answers 0.999 of the time"
    told = {each.option: (each.code, each.detail) for each in plan.verdicts}
    assert told["small"] == ("unavailable", "0.999 of the time, 0.9995 wanted")
    assert made(POOL.replace("RATE", "100").encode()).placed[0].options == ("small",), "by default both are enough"


def test_tiering_is_worth_what_the_smaller_model_saves() -> None:
    held = POOL.replace("RATE", "100").replace("300}}", "300}, quality: {minimum: 0.8}}")
    plan = made(held.replace("cache_read_mtok: 0.3}", "cache_read_mtok: 0.3}, quality: {general: 0.9}").encode())
    assert plan.placed[0].options == ("api",)
    lever = next(each for each in plan.levers if each.name == "tiering with small")
    # A tenth of the price first, and 15 % of the calls handed on.
    assert lever.saving == pytest.approx(0.75, abs=0.05)
    assert lever.usd_per_month == pytest.approx(lever.saving * plan.usd_per_month, rel=0.05)


def test_what_frees_no_whole_lot_is_worth_nothing() -> None:
    for each in example("twelve-small").levers:
        assert each.usd_per_month == 0 or each.counted


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("twelve-small", "Qwen/Qwen3-32B", ("vllm serve Qwen/Qwen3-32B", "--max-num-seqs", "--quantization fp8")),
        ("edge-autocomplete", "meta-llama/Llama-3.2-1B-Instruct", ("llama-server", "llama-3.2-1b-Q4_K_M.gguf")),
    ],
)
def test_a_recipe_names_weights_that_can_be_pulled(name: str, weights: str, words: tuple[str, ...]) -> None:
    plan = example(name)
    (recipe,) = plan.recipes
    assert recipe.weights == weights
    assert all(word in recipe.line() for word in words)
    assert "sha256sum" in recipe.pin
    assert recipe.signals["in_flight_up"] > recipe.signals["in_flight_down"] > 0
    assert recipe.pin.replace("&", "&amp;") in page(plan)


def test_a_migration_names_what_the_gateway_reads() -> None:
    plan = example("twelve-small")
    step = next(each.what for each in plan.playbook if each.step == "4 shift")
    counts = [int(each) for each in re.findall(r"at ([\d, ]+);", step)[0].split(", ")]
    row = plan.routing[plan.playbook[0].workload]
    assert counts == sorted(counts)
    assert len(counts) == len(STAGES)
    assert counts[-1] == row.concurrency


def test_what_is_missing_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (EXAMPLES / "support-chatbot.yaml").read_text().replace("provider: openai", "provider: nobody")
    file = tmp_path / "w.yaml"
    file.write_text(text)
    out = ["--out", str(tmp_path / "p.json"), "--html", str(tmp_path / "p.html"), "--quiet", "--draws", "50"]
    assert main(["plan", str(file), *out]) == 0
    said = capsys.readouterr().out
    assert re.search(r"missing: gpt-4o-mini is left out .*nobody/gpt-4o-mini.*Add `price`", said)
    assert "nobody/gpt-4o-mini" in (tmp_path / "p.html").read_text().split("What runs where")[0]


def test_a_rule_in_the_way_names_the_contract_that_would_satisfy_it() -> None:
    text = POOL.replace("RATE", "100").replace("organisation:", "packs: [hipaa]\norganisation:", 1)
    text = text.replace("kind: on-prem", "kind: cloud")
    (change,) = made(text.replace("300}}", "300}, data: [phi], regulations: [hipaa]}").encode()).unplaced
    assert change.change == ("give up rule hipaa.business-associate",)
    assert any("attests baa" in each for each in change.because)


def test_what_stands_in_the_way_of_growth_is_named() -> None:
    plan = example("twelve-small")
    assert plan.scales[2].limits == ("capex_usd_max",)
    assert example("regulated-credit").scales[2].limits, "where nothing fits, what would have to rise"


def test_a_rollback_is_shown_before_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, state = tmp_path / "signalbox.yaml", tmp_path / "s"
    config.write_text(CONFIG)
    (tmp_path / "w.yaml").write_text(
        "options:\n  mini: {environment: us, kind: cloud-api, model: m, price: {input_mtok: 1, output_mtok: 4}}\n"
        "workloads:\n  chat: {volume: {requests_per_day: 100, input_tokens: 1000, output_tokens: 100}}\n"
    )
    common = ["--config", str(config), "--state-dir", str(state)]
    plan = str(tmp_path / "p.json")
    assert (
        main(["plan", str(tmp_path / "w.yaml"), "--out", plan, "--no-html", "--quiet", "--draws", "50", *common]) == 0
    )
    assert main(["apply", plan, "--yes", *common]) == 0
    written = config.read_text()
    capsys.readouterr()
    assert main(["apply", "--list", "--state-dir", str(state)]) == 0
    kept = capsys.readouterr().out.split()[0]
    assert main(["apply", "--rollback", kept, *common]) == 0
    assert "-    placements: [mini]" in capsys.readouterr().out
    assert config.read_text() == written
