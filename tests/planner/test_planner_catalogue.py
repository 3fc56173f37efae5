"""The catalogue: every figure cited, files read strictly, one's own entries in the place of ours; and its verb."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from signalbox.cli.main import main
from signalbox.control.planner_files import PlannerFiles
from signalbox.core.errors import ConfigError
from signalbox.planner.catalogue.read import SECTIONS, read, shipped
from signalbox.planner.roofline import expert_coverage
from signalbox.planner.specs import PlannerError

CHIP = """
gpus:
- name: new-chip
  kind: datacenter
  memory_bytes: 9.6e+10
  bandwidth_bytes_s: 4.0e+12
  flops_16bit: 9.0e+14
  watts: 600
  source: {url: "https://example.com/chip", as_of: 2026-11-20}
offers:
- {vendor: own, instance: rack-1, gpu: new-chip, gpus: 4, region: eu/de, vendor_region: fra, commitment: on-demand,
   usd_per_hour: 7.10, source: {url: "https://example.com/prices", as_of: 2026-11-20}}
"""


def test_every_shipped_figure_says_where_it_comes_from_and_when() -> None:
    catalogue = shipped()
    assert catalogue.dangling() == []
    for section in SECTIONS:
        for entry in getattr(catalogue, section):
            assert re.match(r"https://\S+\.\S+", entry.source.url)
            assert date(2024, 1, 1) <= date.fromisoformat(entry.source.as_of) <= date(2026, 11, 20)


def test_names_and_aliases_are_of_one_entry_each() -> None:
    for entries in (shipped().models, shipped().gpus):
        names = [name.lower() for entry in entries for name in {entry.name, *entry.aliases}]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("spec", shipped().models, ids=lambda spec: spec.name)
def test_what_one_token_uses_agrees_with_the_experts(spec: object) -> None:
    """The published count of active parameters against the one that follows from experts and their share."""
    model = shipped().model(getattr(spec, "name", ""))
    share = expert_coverage(model, 1)
    implied = model.parameters - model.expert_parameters * (1 - share)
    assert implied == pytest.approx(model.active_parameters, rel=0.19)
    assert model.attention.layers + model.attention.window_layers <= model.layers


def test_prices_per_accelerator_are_plausible_and_sorted() -> None:
    for gpu in shipped().gpus:
        offers = shipped().offers_of(gpu.name)
        prices = [float(offer.usd_per_gpu_hour) for offer in offers]
        assert prices == sorted(prices)
        assert all(0.2 < price < 25 for price in prices)
    assert len(shipped().offers_of("h100")) >= 8


def test_an_unknown_name_says_what_is_near_and_where_to_add_it() -> None:
    with pytest.raises(PlannerError, match=r"Did you mean llama-3\.1-8b\?.*catalogue update"):
        shipped().model("llama-3.1-9b")
    with pytest.raises(PlannerError, match="`gpus`"):
        shipped().gpu("abacus")


def test_own_entries_are_added_and_take_the_place_of_shipped_ones() -> None:
    own = read(CHIP.encode(), "own.yaml")
    both = shipped().merged(own)
    assert both.gpu("new-chip").bandwidth_bytes_s == 4e12
    assert str(both.offers_of("new-chip")[0].usd_per_gpu_hour) == "1.775"
    l4 = CHIP.replace("new-chip", "l4")
    assert shipped().merged(read(l4.encode(), "l4.yaml")).gpu("l4").memory_bytes == 9.6e10
    assert len(shipped().merged(read(l4.encode(), "l4.yaml")).gpus) == len(shipped().gpus)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("watts: 600", "watts: 0", r"own.yaml:3: gpus: new-chip: watts must be above 0"),
        ("watts: 600", "watts: -1", r"own.yaml:3: gpus: new-chip: watts cannot be -1"),
        ("watts: 600", "watts: .inf", r"own.yaml:3: gpus: new-chip: watts cannot be inf"),
        ("watts: 600", "watts: 600\n  flops_8bit: .nan", r"own.yaml:3: gpus: new-chip: flops_8bit cannot be nan"),
        ("watts: 600", "watts: lots", r"own.yaml:3: gpus: Expected `float`, got `str`"),
        ("watts: 600", "wats: 600", r"own.yaml:3: gpus: Object contains unknown field `wats`"),
        ("  watts: 600\n", "", r"own.yaml:3: gpus: Object missing required field `watts`"),
        ("kind: datacenter", "kind: toy", r"own.yaml:3: gpus: Invalid enum value 'toy'"),
        ("usd_per_hour: 7.10", "usd_per_hour: 0", r"own.yaml:11: offers: usd_per_hour must be above 0"),
        ("gpus: 4", "gpus: 0", r"own.yaml:11: offers: gpus must be at least 1"),
        ("offers:", "bids:", r"own.yaml:10: unknown key 'bids'"),
        ("gpus:\n", "gpus: {}\nmodels:\n", r"own.yaml:2: gpus must be a list"),
    ],
)
def test_a_wrong_entry_is_named_with_its_line(before: str, after: str, what: str) -> None:
    assert before in CHIP
    with pytest.raises(ConfigError, match=what):
        read(CHIP.replace(before, after, 1).encode(), "own.yaml")


def test_the_same_entry_twice_is_refused() -> None:
    chip = CHIP.split("offers:")[0]
    twice = chip + "- " + chip.split("- ", 1)[1]
    with pytest.raises(ConfigError, match="new-chip is there twice"):
        read(twice.encode(), "own.yaml")


@pytest.mark.parametrize("content", [b"", b"- 1", b"\xff", b"gpus: [1, 2]", b'{"gpus": [{}]}'])
def test_what_is_no_catalogue_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError):
        read(content, "own.yaml")


def test_update_keeps_entries_for_the_next_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(CHIP)
    state = ["--state-dir", str(tmp_path / "state")]
    assert main(["catalogue", "update", str(file), "--dry-run", *state]) == 0
    assert not PlannerFiles(tmp_path / "state").own().gpus
    assert main(["catalogue", "update", str(file), *state]) == 0
    assert capsys.readouterr().out.count("gpus: 1 new, 0 changed") == 2
    assert main(["catalogue", "update", str(file), *state]) == 0
    assert "nothing changes" in capsys.readouterr().out
    assert PlannerFiles(tmp_path / "state").catalogue().gpu("new-chip").watts == 600
    assert main(["catalogue", "show", "offers", "--json", *state]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert shown[-1]["instance"] == "rack-1"
    assert len(shown) == len(shipped().offers) + 1


def test_what_nobody_compared_with_its_source_is_shown_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(CHIP)
    state = ["--state-dir", str(tmp_path)]
    assert main(["catalogue", "update", str(file), *state]) == 0
    capsys.readouterr()
    assert main(["catalogue", "show", "gpus", *state]) == 0
    shown = {line.split("name=")[1].split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert shown["new-chip"].endswith("UNVERIFIED")
    assert shown["h100-sxm"].endswith("compared with another publication")
    assert all(offer.source.checked != "no" for offer in shipped().offers)


def test_an_offer_of_unknown_hardware_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("offers:" + CHIP.split("offers:")[1])
    assert main(["catalogue", "update", str(file), "--state-dir", str(tmp_path)]) == 1
    assert "'new-chip', which is not in the catalogue" in capsys.readouterr().err
    assert not PlannerFiles(tmp_path).own().offers
    assert main(["catalogue", "update", str(tmp_path / "none.yaml"), "--state-dir", str(tmp_path)]) == 2


def test_measurements_are_taken_in_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "\n".join(
        json.dumps(
            {
                "attempt_id": str(number),
                "time": f"2026-11-01T00:{number // 60:02}:{number % 60:02}Z",
                "state": "settled",
                "tokens_in": 300,
                "tokens_out": 101,
                "tokens_cache_read": 0,
                "ttft_ms": 200,
                "duration_ms": 4200,
            }
        )
        for number in range(120)
    )
    file = tmp_path / "rows.jsonl"
    file.write_text(rows)
    asked = ["catalogue", "calibrate", str(file), "--model", "qwen3-8b", "--gpu", "l40s", "--state-dir", str(tmp_path)]
    assert main([*asked, "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for one in shown:
        assert one["measured_ms"] == pytest.approx(40)
        assert abs(one["after_ms"] - 40) < abs(one["before_ms"] - 40)
    known = PlannerFiles(tmp_path).calibration()
    assert any(name.startswith("qwen3-8b l40s") for name in known.configurations)
    assert main([*asked, "--kv-bits", "3"]) == 2
    assert main([*asked, "--replicas", "0"]) == 2
    file.write_text(rows.replace('"settled"', "7"))
    assert main(asked) == 2
    assert "rows.jsonl: line 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["catalogue.json", "calibration.json"])
def test_a_broken_file_of_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / name).write_text('{"parameters": 1}')
    files = PlannerFiles(tmp_path)
    with pytest.raises(ConfigError, match=name):
        files.catalogue() if name.startswith("catalogue") else files.calibration()
