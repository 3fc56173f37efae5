"""Dashboards and alert rules name metrics and labels that exist; promtool agrees where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql import Series, Wrong, check

from signalbox.telemetry.metric_table import BY_NAME

ROOT = Path(__file__).resolve().parents[2]
GRAFANA, PROMETHEUS = ROOT / "deploy/grafana", ROOT / "deploy/prometheus"
SUFFIX = re.compile(r"_(bucket|sum|count)$")
# Labels that Prometheus and histograms bring, and PromQL's own words.
BROUGHT = {"instance", "job", "le"}


def queries() -> Iterator[tuple[str, str]]:
    for path in sorted(GRAFANA.glob("*.json")):
        document = json.loads(path.read_text())
        for panel in document["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]
        for variable in document["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{path.stem}: {variable['name']}", variable["query"]
    rules = yaml.safe_load((PROMETHEUS / "signalbox.rules.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield f"rule {rule['alert']}", rule["expr"]


QUERIES = list(queries())


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_a_query_names_what_there_is(where: str, query: str) -> None:
    names = re.findall(r"signalbox_\w+", query)
    assert names or query.startswith("up{"), query
    labels: set[str] = set(BROUGHT)
    for name in names:
        metric = BY_NAME.get(SUFFIX.sub("", name)) or BY_NAME[name]
        assert (metric.kind == "histogram") == bool(SUFFIX.search(name) and name not in BY_NAME), name
        labels |= set(metric.labels)
        counted = re.search(rf"(rate|increase)\({name}", query)
        assert bool(counted) <= (metric.kind != "gauge"), f"{name} is no counter"
    used = re.findall(r"\bby \(([^)]*)\)", query)
    asked = {word.strip() for group in used for word in group.split(",")} | set(re.findall(r"(\w+)=[~\"]", query))
    assert asked <= labels, asked - labels
    assert query.count("(") == query.count(")")


def series() -> dict[str, Series]:
    """Every series that a scrape brings, with its labels."""
    known = {"up": Series("instant", frozenset({"instance", "job"}))}
    for metric in BY_NAME.values():
        labels = frozenset({"instance", "job", *metric.labels})
        if metric.kind != "histogram":
            known[metric.name] = Series("instant", labels, counts=metric.kind == "counter")
            continue
        known[f"{metric.name}_bucket"] = Series("instant", labels | {"le"}, counts=True)
        for part in ("sum", "count"):
            known[f"{metric.name}_{part}"] = Series("instant", labels, counts=True)
    return known


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_a_query_is_one_that_can_match(where: str, query: str) -> None:
    """As promtool would check it, and more: what it asks for together has the same labels."""
    values = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
    if values is not None:
        assert values[2] in series()[values[1]].labels
    else:
        assert check(query, series()).kind == "instant"


@pytest.mark.parametrize(
    "query",
    [
        "rate(signalbox_in_flight[5m])",
        "rate(signalbox_requests_total)",
        "rate(signalbox_requests_total[5])",
        "sum by (nobody) (signalbox_in_flight)",
        "histogram_quantile(0.5, sum by (endpoint) (rate(signalbox_request_seconds_bucket[5m])))",
        'signalbox_requests_total{staus="429"} > 0',
        "sum by (endpoint) (rate(signalbox_requests_total[5m])) / sum (rate(signalbox_requests_total[5m]))",
        "signalbox_request_seconds > 1",
        "sum (signalbox_in_flight",
        "signalbox_in_flight and 1",
        "signalbox_in_flight signalbox_in_flight",
    ],
)
def test_a_query_that_cannot_is_found_out(query: str) -> None:
    with pytest.raises(Wrong):
        check(query, series())


RULES = [
    (group["name"], rule)
    for group in yaml.safe_load((PROMETHEUS / "signalbox.rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize(("group", "rule"), RULES, ids=[rule["alert"] for _, rule in RULES])
def test_a_rule_has_what_its_text_speaks_of(group: str, rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations", "keep_firing_for"}, group
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", rule["alert"])
    assert re.fullmatch(r"[1-9]\d*[smhd]", rule.get("for", "1m"))
    left = check(rule["expr"], series()).labels
    for text in (*rule["annotations"].values(), *rule.get("labels", {}).values()):
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= left, text
        assert text.count("{{") == text.count("}}")
    assert len({one["alert"] for _, one in RULES}) == len(RULES)


def test_every_alert_rule_says_what_and_how_bad() -> None:
    rules = yaml.safe_load((PROMETHEUS / "signalbox.rules.yaml").read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]


def test_panels_show_labels_that_their_queries_have() -> None:
    for path in sorted(GRAFANA.glob("*.json")):
        document = json.loads(path.read_text())
        assert document["uid"].startswith("signalbox-")
        assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
        for panel in document["panels"]:
            for target in panel["targets"]:
                names = re.findall(r"signalbox_\w+", target["expr"])
                known = {
                    label
                    for name in names
                    for label in BY_NAME[SUFFIX.sub("", name) if name not in BY_NAME else name].labels
                }
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known, panel["title"]


def test_dashboards_are_what_the_script_writes() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/dashboards.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_promtool_agrees() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, "check", "rules", PROMETHEUS / "signalbox.rules.yaml"], capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
