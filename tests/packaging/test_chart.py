"""The Helm chart: what it renders to, that its values fit their schema, and that its walls are where they belong."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from go_template import Chart

from signalbox.bootstrap.compiling import compile_declared
from signalbox.cli.main import main
from signalbox.config.load import load_text
from signalbox.config.schema_deployments import Timeouts
from signalbox.config.schema_server import Server
from signalbox.control.egress import egress, helm_values

CHART = Path(__file__).resolve().parents[2] / "deploy/helm/signalbox"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}
CONFIG = b"""
environments: {e: {kind: on-prem}, c: {kind: cloud, region: us}}
deployments:
  near: {environment: e, protocol: openai, base_url: "http://10.1.2.3:8000/v1", model: m, price: free}
  far: {environment: c, protocol: openai, base_url: "https://models.example.com/v1", model: m, price: free}
  also: {environment: c, protocol: openai, base_url: "https://models.example.com/v2", model: m, price: free}
telemetry: {otlp: {endpoint: "http://collector:4318"}}
alerts: {webhooks: [{url: "https://hooks.example.com/a"}]}
store: "postgresql://u:secret-word@db.example.com/signalbox"
caches: {valkey: {url: "valkeys://cache.example.com/0", password: secret-word}}
ledger: {anchor: {url: "https://anchors.example.com/box1", access_key: secret-word, secret_key: secret-word}}
"""


def chart(**changed: Any) -> Chart:
    values = copy.deepcopy(VALUES)
    for name, value in changed.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    assert violations(values, SCHEMA) == []
    return Chart(TEMPLATES, values, yaml.safe_load((CHART / "Chart.yaml").read_text()))


def violations(value: Any, schema: dict[str, Any], where: str = "values") -> list[str]:
    """The keywords of JSON Schema that the chart's schema uses; any other is an error of this test."""
    known = {"$schema", "type", "additionalProperties", "required", "properties", "items", "enum", "minimum", "maximum",
             "minLength", "pattern"}  # fmt: skip
    assert schema.keys() <= known, schema.keys() - known
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    kind = kinds[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{where} is not {schema['type']}"]
    found = [f"{where}.{name} is missing" for name in schema.get("required", []) if name not in value]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where} is none of {schema['enum']}")
    if kind is int and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{where} is out of bounds")
    if kind is str and (len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value)):
        found.append(f"{where} has not the right form")
    if kind is dict:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is False:
            found += [f"{where}.{name} is unknown" for name in value.keys() - properties.keys()]
        for name, each in properties.items():
            if name in value:
                found += violations(value[name], each, f"{where}.{name}")
    if kind is list and "items" in schema:
        for index, each in enumerate(value):
            found += violations(each, schema["items"], f"{where}[{index}]")
    return found


def one(made: Chart, file: str, kind: str) -> dict[str, Any]:
    (found,) = [each for each in made.documents(file) if each["kind"] == kind]
    return found


def test_values_fit_their_schema_and_wrong_ones_do_not() -> None:
    assert violations(VALUES, SCHEMA) == []
    for wrong in ({"replicas": 0}, {"replicas": "3"}, {"replica": 3}, {"image": {"repository": ""}}):
        assert violations({**VALUES, **wrong}, SCHEMA), wrong


def test_everything_renders_to_objects_of_one_installation() -> None:
    made = chart(serviceMonitor={"enabled": True, "keySecret": "k"}, networkPolicy={"cilium": True})
    documents = [each for name in TEMPLATES if name.endswith(".yaml") for each in made.documents(name)]
    kinds = sorted(each["kind"] for each in documents)
    assert kinds == sorted(
        ["StatefulSet", "ConfigMap", "Job", "PodDisruptionBudget", "NetworkPolicy", "CiliumNetworkPolicy"]
        + ["Service"] * 3
        + ["ServiceMonitor"]
    )
    for document in documents:
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "box"
    assert "box-0 -- signalbox keys create" in made.render("NOTES.txt")


def test_replicas_keep_their_journals_and_end_their_streams() -> None:
    found = one(chart(), "statefulset.yaml", "StatefulSet")["spec"]
    pod = found["template"]["spec"]
    (container,) = pod["containers"]
    assert found["replicas"] == 3
    assert found["selector"]["matchLabels"].items() <= found["template"]["metadata"]["labels"].items()
    (claim,) = found["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/var/lib/signalbox"
    assert {volume["name"] for volume in pod["volumes"]} | {"state"} == mounts.keys()
    longest = max(VALUES["longestStreamSeconds"], VALUES["config"]["server"]["shutdown_grace_s"], Timeouts().total_s)
    assert pod["terminationGracePeriodSeconds"] >= longest + 30
    assert Server(**VALUES["config"]["server"]).shutdown_grace_s >= Timeouts().total_s
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "data"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    for security in (container["securityContext"], _migration()["containers"][0]["securityContext"]):
        assert security["readOnlyRootFilesystem"]
        assert security["runAsNonRoot"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert one(chart(), "poddisruptionbudget.yaml", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def _migration() -> dict[str, Any]:
    return one(chart(), "migrate.yaml", "Job")["spec"]["template"]["spec"]


def test_the_database_is_migrated_before_anything_new_starts() -> None:
    job, config = one(chart(), "migrate.yaml", "Job"), one(chart(), "configmap.yaml", "ConfigMap")
    hooks = [each["metadata"]["annotations"]["helm.sh/hook"] for each in (job, config)]
    assert set(hooks) == {"pre-install,pre-upgrade"}
    weights = [int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in (config, job)]
    assert weights[0] < weights[1]
    assert _migration()["containers"][0]["args"][0] == "migrate"
    # The migration's pod gets no traffic, and no walls of the replicas are in its way.
    selector = chart().documents("services.yaml")[0]
    assert not selector["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert chart(migrate={"enabled": False}).documents("migrate.yaml") == []


def test_the_configuration_of_the_values_is_one_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "store-url").write_text("postgresql://u@h/d")
    declared_too = {name: yaml.safe_load(CONFIG)[name] for name in ("environments", "deployments")}
    text = one(chart(config=declared_too), "configmap.yaml", "ConfigMap")["data"]["signalbox.yaml"]
    declared = load_text(text.replace("/run/secrets/signalbox", str(tmp_path)), "signalbox.yaml")
    assert declared.config.server.shutdown_grace_s == 600
    assert chart(existingConfigMap="mine").documents("configmap.yaml") == []


def test_what_may_be_reached_is_what_the_configuration_needs() -> None:
    declared = load_text(CONFIG, "f")
    places = egress(declared, compile_declared(declared, 1).snapshot)
    assert [(place.host, place.port) for place in places] == [
        ("10.1.2.3", 8000),
        ("anchors.example.com", 443),
        ("cache.example.com", 6379),
        ("collector", 4318),
        ("db.example.com", 5432),
        ("hooks.example.com", 443),
        ("models.example.com", 443),
    ]
    assert places[-1].why == ("deployment also", "deployment far")
    assert "secret-word" not in repr(places)
    values: Any = helm_values(places, lambda host: ["192.0.2.7", "2001:db8::7"] if host.startswith("models") else [])
    policy = one(chart(**values), "networkpolicy.yaml", "NetworkPolicy")["spec"]
    dns, *rest = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert "to" not in dns
    assert [(each["to"][0]["ipBlock"]["cidr"], each["ports"][0]["port"]) for each in rest] == [
        ("10.1.2.3/32", 8000),
        ("192.0.2.7/32", 443),
        ("2001:db8::7/128", 443),
    ]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    values["networkPolicy"]["cilium"] = True
    names = one(chart(**values), "networkpolicy.yaml", "CiliumNetworkPolicy")["spec"]["egress"]
    assert [rule["toFQDNs"][0]["matchName"] for rule in names[1:]] == [
        "anchors.example.com",
        "cache.example.com",
        "collector",
        "db.example.com",
        "hooks.example.com",
        "models.example.com",
    ]
    nothing = one(chart(), "networkpolicy.yaml", "NetworkPolicy")["spec"]["egress"]
    assert len(nothing) == 1, "what is not listed is closed"


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@db/signalbox", ["db:5432"]),
        ("postgresql://u:p@db:6543/signalbox?sslmode=require", ["db:6543"]),
        ("postgresql://u@one:6543,two:6544,three/signalbox?x=y", ["one:6543", "three:5432", "two:6544"]),
        ("postgresql://u@[2001:db8::1]:6543,[2001:db8::2]/signalbox", ["2001:db8::1:6543", "2001:db8::2:5432"]),
        ("postgresql://u@/signalbox?host=one,two&port=6543", ["one:6543", "two:6543"]),
        ("postgresql:///signalbox?host=/var/run/postgresql", []),
        ("postgresql://%2Fvar%2Frun%2Fpostgresql/signalbox", []),
    ],
)  # fmt: skip
def test_every_host_of_a_database_may_be_reached(url: str, hosts: list[str]) -> None:
    text = CONFIG.replace(b"postgresql://u:secret-word@db.example.com/signalbox", url.encode())
    declared = load_text(text, "f")
    places = egress(declared, compile_declared(declared, 1).snapshot)
    assert [f"{place.host}:{place.port}" for place in places if place.why == ("store",)] == hosts


def test_a_name_without_an_address_is_not_left_out_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "signalbox.yaml").write_bytes(
        b"environments: {e: {kind: on-prem}}\n"
        b"deployments: {far: {environment: e, protocol: openai, base_url: 'https://models.invalid/v1', model: m}}\n"
    )
    arguments = ["egress", "--config", str(tmp_path / "signalbox.yaml"), "--helm-values"]
    assert main([*arguments, "--resolve"]) == 1
    assert "models.invalid" in capsys.readouterr().err
    assert main(arguments) == 0


def test_helm_agrees() -> None:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not installed")
    done = subprocess.run([helm, "template", "box", CHART, "--namespace", "models"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = [each for each in yaml.safe_load_all(done.stdout) if each]
    ours = [each for name in TEMPLATES if name.endswith(".yaml") for each in chart().documents(name)]
    by_name = lambda each: (each["kind"], each["metadata"]["name"])  # noqa: E731
    assert sorted(theirs, key=by_name) == sorted(ours, key=by_name)
