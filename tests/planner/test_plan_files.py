"""Workload files: units, provenance, contradictions, findings with lines, and what `plan init` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.cli.main import main
from signalbox.cli.plan_init import workload_file
from signalbox.core.errors import ConfigError
from signalbox.planner.demand import cacheable_share, call_input_tokens, demand_of, weights_of
from signalbox.planner.quantity import declared, in_unit
from signalbox.planner.reading import plan_json_schema, read_plan_file
from signalbox.planner.workload_file import Arrival, Volume

EXAMPLES = Path(__file__).parents[2] / "examples" / "plan"


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("800 ms", "ms", 800),
        ("1.5 s", "ms", 1500),
        ("100M tokens/day", "tokens per day", 1e8),
        ("50k", "per day", 50_000),
        ("$3/h", "USD/h", 3),
        ("30 %", "share", 0.3),
        ("2,500", "tokens", 2500),
        ("$1.2M", "USD", 1.2e6),
        ("$2190/month", "USD/h", 3.0),
    ],
)
def test_units_are_read(text: str, unit: str, expected: float) -> None:
    assert in_unit(text, unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "unit"), [("800 km", "ms"), ("fast", "ms"), ("3 /h", "ms"), ("", "USD"), ("$5", "ms")]
)
def test_other_units_are_refused(text: str, unit: str) -> None:
    assert in_unit(text, unit) is None


@settings(deadline=None)
@given(st.floats(0.001, 1e9), st.sampled_from(["ms", "s"]))
def test_a_number_with_its_unit_is_that_number(number: float, unit: str) -> None:
    assert in_unit(f"{number:f} {unit}", "ms") == pytest.approx(float(f"{number:f}") * (1000 if unit == "s" else 1))


def test_a_wrong_unit_names_line_and_units() -> None:
    text = b"workloads:\n  a:\n    volume: {requests_per_day: 5}\n    targets: {ttft_p95_ms: 3 furlongs}\n"
    with pytest.raises(ConfigError) as raised:
        read_plan_file(text, "w.yaml")
    assert "w.yaml:4" in str(raised.value)
    assert "ms, s" in str(raised.value)


def test_contradictions_stand_side_by_side() -> None:
    volume = b"{conversations_per_day: 50k, input_tokens: 1500, output_tokens: 500, tokens_per_day: 80M}"
    text = b"workloads:\n  a:\n    volume: " + volume + b"\n"
    (found,) = read_plan_file(text, "w.yaml").contradictions
    assert (found.stated, found.follows) == (8e7, 1e8)


@pytest.mark.parametrize(("turns", "factor", "cacheable"), [(5, 3.0, 0.67), (10, 5.5, 0.82)])
def test_history_is_sent_again(turns: int, factor: float, cacheable: float) -> None:
    volume = Volume(turns=declared(turns), input_tokens=declared(1000), output_tokens=declared(0))
    assert call_input_tokens(volume) / 1000 == pytest.approx(factor)
    assert cacheable_share(volume) / 0.9 == pytest.approx(cacheable, abs=0.01)


@settings(deadline=None)
@given(st.sampled_from(["flat", "office", "consumer", "night"]), st.floats(1.2, 12))
def test_profiles_keep_their_mean_and_reach_their_peak(profile: str, peak: float) -> None:
    weights = weights_of(Arrival(profile=profile, peak_to_mean=declared(peak)))  # pyright: ignore[reportArgumentType]
    assert sum(weights) / 168 == pytest.approx(1)
    assert max(weights) == pytest.approx(peak, rel=0.02)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_whole(path: Path) -> None:
    if path.stem != "claims":
        read = read_plan_file(path.read_bytes(), path.name)
        assert all(demand_of(each).requests_per_day > 0 for each in read.file.workloads.values())


def test_missing_prices_say_where_to_put_them() -> None:
    options = b"environments: {e: {kind: cloud}}\noptions:\n  x: {environment: e, kind: cloud-api, model: m}\n"
    text = options + b"workloads:\n  a: {volume: {requests_per_day: 1}}\n"
    with pytest.raises(ConfigError, match=r"options\.x: has no price.*Add `price`"):
        read_plan_file(text, "w.yaml")


@pytest.mark.parametrize("wait", ["900", "wait", "2 s"])
def test_init_writes_a_file_that_reads(wait: str) -> None:
    answers = {
        "data": "personal",
        "performance": wait,
        "customisation": "0.8",
        "cost": "50k",
        "team": "2",
        "regulation": "gdpr",
    }
    file = read_plan_file(workload_file("chat", answers).encode(), "w.yaml").file
    assert file.workloads["chat"].data == ["personal"]
    assert file.packs == ["gdpr"]


def test_init_with_own_data_proposes_a_tuned_model() -> None:
    answers = {"data": "internal", "performance": "1500", "cost": "1k", "team": "1", "regulation": "none"}
    for said, tuned in (("0.8, own data", True), ("0.8", False)):
        file = read_plan_file(workload_file("chat", {**answers, "customisation": said}).encode(), "w.yaml").file
        assert any(each.augment.fine_tunes_per_year > 0 for each in file.options.values()) == tuned
        assert file.workloads["chat"].quality.minimum == 0.8


def test_init_tells_every_wrong_answer() -> None:
    answers = {
        "data": "secretish",
        "performance": "soon",
        "customisation": "7",
        "cost": "x",
        "team": "?",
        "regulation": "nope",
    }
    with pytest.raises(ConfigError) as raised:
        workload_file("chat", answers)
    assert len(raised.value.problems) == 6


def test_init_keeps_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "w.yaml"
    assert main(["plan", "init", "--out", str(out), "--json"]) == 0
    assert main(["plan", "init", "--out", str(out), "--json"]) == 2


def test_the_schema_takes_numbers_texts_and_mappings() -> None:
    forms = plan_json_schema()["$defs"]["Quantity"]["anyOf"]
    assert [form.get("type") for form in forms] == ["number", "string", "object", "object"]


@pytest.mark.parametrize(
    ("written", "mean"),
    [("{p50: 400, p95: 400}", 400.0), ("{p50: 0.4k tokens, p95: 1600}", 400 * 2.718281828 ** (0.8428**2 / 2))],
)
def test_percentiles_of_single_calls_give_their_mean(written: str, mean: float) -> None:
    text = f"workloads:\n  a: {{volume: {{requests_per_day: 5, output_tokens: {written}}}}}\n"
    file = read_plan_file(text.encode(), "w.yaml").file
    assert file.workloads["a"].volume.output_tokens.value == pytest.approx(mean, rel=1e-3)


@pytest.mark.parametrize(
    "written", ["{p50: 400}", "{p95: 5}", "{p50: 9, p95: 5}", "{p50: 0, p95: 5}", "{value: 1, p50: 1, p95: 2}"]
)
def test_half_of_the_percentiles_is_a_finding(written: str) -> None:
    text = f"workloads:\n  a: {{volume: {{requests_per_day: 5, output_tokens: {written}}}}}\n"
    with pytest.raises(ConfigError, match="p50 and p95"):
        read_plan_file(text.encode(), "w.yaml")
