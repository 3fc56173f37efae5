"""Workload files that mean nothing, or ask for what cannot be: a finding with its line, or the smallest change."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.cli.main import main

ENVIRONMENTS = "environments: {us: {kind: cloud, region: us}, eu: {kind: on-prem, region: eu/de}}\n"
PRICE = "price: {input_mtok: 1, output_mtok: 4}"
API = (
    f"{{environment: us, kind: cloud-api, model: m, {PRICE}, quality: {{general: 0.8}}, ttft_p95_ms: 500, tpot_ms: 20}}"
)
OWN = "{environment: eu, kind: owned, model: llama-3.1-8b, gpu: l40s, gpu_usd: 9000, quality: {general: 0.6}}"
CALLS = "{requests_per_day: 1000, input_tokens: 500, output_tokens: 100}"


def written(
    volume: str = CALLS, more: str = "", *, api: str = API, own: str = OWN, before: str = "", after: str = ""
) -> str:
    options = f"options:\n  api: {api}\n  own: {own}\n"
    workload = f"workloads:\n  a:\n    volume: {volume}\n" + (f"    {more}\n" if more else "")
    return before + ENVIRONMENTS + options + workload + after


def only(option: str, volume: str = CALLS) -> str:
    return f"{ENVIRONMENTS}options: {{o: {option}}}\nworkloads: {{a: {{volume: {volume}}}}}\n"


MEANS_NOTHING = {
    "negative": (written("{requests_per_day: -5}"), "'-5' is out of range"),
    "nan": (written("{requests_per_day: .nan}"), "'.nan' is out of range"),
    "infinite": (written("{requests_per_day: .inf}"), "'.inf' is out of range"),
    "overflowing": (written("{requests_per_day: 1e999}"), "'1e999' is out of range"),
    "400 digits": (written("{requests_per_day: " + "9" * 400 + "}"), "a number of 400 digits"),
    "no calls": (written("{requests_per_day: 0}"), "comes to no requests at all"),
    "no tokens": (written("{requests_per_day: 9, input_tokens: 0, output_tokens: 0}"), "comes to no tokens at all"),
    "no turns": (written("{conversations_per_day: 5, turns: 0}"), "1 turn or more"),
    "truth for a number": (written("{requests_per_day: true}"), "must be a number"),
    "unit of another kind": (written("{requests_per_day: 10, input_tokens: 5 USD}"), "another unit"),
    "share above one": (written("{requests_per_day: 5, cacheable: 300 %}"), "between 0 and 1"),
    "range out of order": (written("{requests_per_day: {value: 5, p10: 9, p90: 1}}"), "not in order"),
    "two volumes": (written("{conversations_per_day: 5, requests_per_day: 5}"), "Give one of the two"),
    "peak below the mean": (written(more="arrival: {peak_to_mean: 0.5}"), "1 is flat"),
    "peak beyond a week": (written(more="arrival: {peak_to_mean: 1e9}"), "168 is all of a week"),
    "short profile": (written(more="arrival: {profile: [1, 2, 3]}"), "has 3 weights"),
    "empty profile": (written(more="arrival: {profile: []}"), "has 0 weights"),
    "profile of nothing": (written(more=f"arrival: {{profile: {[0] * 168}}}"), "not all of them 0"),
    "growth out of order": (written(more="growth: {p10: 3, p50: 2, p90: 1}"), "not in order"),
    "negative target": (written(more="targets: {tpot_ms: -1}"), "'-1' is out of range"),
    "unknown class of data": (written(more="data: [supersecret]"), "no data class 'supersecret'"),
    "option that is none": (written(more="options: [a]"), "no option 'a'. Known are: api, own"),
    "score above one": (written(api=API.replace("0.8", "2")), "a score between 0 and 1"),
    "negative price": (written(api=API.replace("input_mtok: 1", "input_mtok: -1")), "'-1' is out of range"),
    "endless price": (written(own=OWN.replace("9000", "1e308")), "'1e308' is out of range"),
    "no lots": (written(own=OWN.replace("9000", "9000, lots_max: 0")), "'0' is out of range"),
    "endless lots": (written(own=OWN.replace("9000", f"9000, lots_max: {10**18}")), "at most 10000"),
    "negative people": (written(before="organisation: {fte_available: -3}\n"), "'-3' is out of range"),
    "nan of risk": (written(before="organisation: {risk_aversion: .nan}\n"), "'.nan' is out of range"),
    "unknown pack": (written(before="packs: [gdprr]\n"), "Did you mean 'gdpr'?"),
    "rule for nobody": (written(after="rules: [{id: n, allow: {kind: []}}]\n"), "is an empty list"),
    "the same workload twice": (written() + "  a: {volume: {requests_per_day: 2}}\n", "is given twice"),
    "a list in itself": ("a: &a [*a]\nworkloads: *a\n", "anchor &a is not read here"),
    "5,000 levels": ("workloads: " + "[" * 5000 + "]" * 5000, "nested deeper than 32 levels"),
    "unknown environment": (only("{environment: mars, kind: cloud-api, model: m, price: {input_mtok: 1}}"), "'mars'"),
    "nowhere to run": ("workloads: {a: {volume: {requests_per_day: 5}}}\n", "there is nowhere to run"),
    "half a price": (only("{environment: us, kind: managed, model: m, unit_usd_per_hour: 3}"), "units by half"),
    "nothing": ("", "has no workloads"),
    "a number": ("42", "must be a mapping, not the number 42"),
    "no text": (b"\x00\xff\xfe\x80", "is not UTF-8"),
    "markup for a name": (written().replace("  a:\n", "  '<script>':\n"), "is not allowed"),
}

CANNOT_BE = {
    "air gap and frontier": (written(more="offline: true\n    quality: {minimum: 0.95}"), "minimum to 0.6 opens own"),
    "everything at once": (
        written(more="offline: true\n    quality: {minimum: 0.9}\n    targets: {tpot_ms: 0.001}"),
        "give up the latency targets and lower the quality minimum to 0.6 opens own",
    ),
    "faster than light": (written(more="targets: {tpot_ms: 0.0001}"), "give up the latency targets opens api, own"),
    "region that is nowhere": (written(more="residency: [atlantis]"), "give up rule plan.residency.a opens api, own"),
    "rules against each other": (
        written(
            more="data: [restricted]",
            after="rules:\n  - {id: one, when: {level: restricted}, allow: {kind: [on-prem]}}\n"
            "  - {id: two, when: {level: restricted}, allow: {kind: [cloud]}}\n",
        ),
        "give up rule one opens api",
    ),
    "nobody and no money": (
        written(more="offline: true", before="organisation: {fte_available: 0, capex_usd_max: 0}\n"),
        "raise fte_available and capex_usd_max makes the plan possible",
    ),
    "one lot for a nation": (
        written(CALLS.replace("1000", "1e8"), "offline: true", own=OWN.replace("9000", "9000, lots_max: 1")),
        "raise lots_max of the options makes the plan possible",
    ),
    "half of it": (only(f"{{environment: us, kind: cloud-api, model: m, {PRICE}, share_max: 0.5}}"), "share_max of o"),
    "unheard-of model": (
        only("{environment: eu, kind: owned, model: gpt-99, gpu: l40s, gpu_usd: 1}"),
        "o: the catalogue does not know the model (model 'gpt-99'",
    ),
    "unheard-of hardware": (
        only("{environment: eu, kind: owned, model: llama-3.1-8b, gpu: abacus, gpu_usd: 1}"),
        "o: the catalogue does not know the accelerator (accelerator 'abacus'",
    ),
    "a giant on a card": (
        only("{environment: eu, kind: owned, model: llama-3.1-405b, gpu: l4, gpus_per_replica: 1, gpu_usd: 1}"),
        "o: the model does not fit on the hardware",
    ),
    "a batch that cannot wait": (
        only(f"{{environment: us, kind: batch-api, model: m, {PRICE}}}"),
        "o: a batch API answers within a day, and the workload cannot wait that long",
    ),
}


def planned(tmp_path: Path, content: str | bytes) -> int:
    file = tmp_path / "w.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = ["--out", str(tmp_path / "plan.json"), "--no-html", "--quiet", "--draws", "5"]
    return main(["plan", str(file), *out, "--state-dir", str(tmp_path / "state")])


@pytest.mark.parametrize(("content", "said"), MEANS_NOTHING.values(), ids=MEANS_NOTHING.keys())
def test_what_means_nothing_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | bytes, said: str
) -> None:
    assert planned(tmp_path, content) == 2
    told = capsys.readouterr().err
    assert said in told
    assert all("w.yaml:" in line for line in told.strip().splitlines())
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(("content", "said"), CANNOT_BE.values(), ids=CANNOT_BE.keys())
def test_what_cannot_be_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    assert planned(tmp_path, content) == 1
    assert said in capsys.readouterr().out


def test_what_is_huge_is_still_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(tmp_path, written(CALLS.replace("1000", "1e15"))) == 0
    told = capsys.readouterr().out
    assert "proven least" in told
    assert "inf" not in told.replace("infeasible", "")
    assert "nan" not in told
