"""Every setting that names a file: found in the folder of the configuration, wherever a process was started.

The list is made from the schema; a new setting about a file fails here until it says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import inspect

from certificates import Authority
from signalbox.config.load import load
from signalbox.config.schema import Config
from signalbox.core.errors import ConfigError
from signalbox.core.secret import Secret

BASE: dict[str, Any] = {
    "environments": {"e": {"kind": "on-prem", "region": "eu/de"}},
    "deployments": {"d": {"environment": "e", "protocol": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}},
}
ISSUER = {"issuer": "https://id.example.com", "audience": "a", "jwks_url": "https://id.example.com/jwks"}
GRANTS = [{"value": "v", "role": "admin"}]
OIDC = {"issuer": "https://id.example.com", "client_id": "c", "console_url": "https://c.example.com", "grants": GRANTS}
ANCHOR = {"url": "https://a.example.com/b", "region": "eu", "access_key": "k", "secret_key": "s"}
TLS = {"certificate_file": "{pem}", "key_file": "{pem}"}
# A configuration around each of them: where it stands, by the struct and key of the schema.
AROUND: dict[tuple[str, str], tuple[dict[str, Any], tuple[Any, ...]]] = {
    ("Deployment", "ca_file"): ({}, ("deployments", "d", "ca_file")),
    ("Issuer", "ca_file"): ({"issuers": {"i": ISSUER}}, ("issuers", "i", "ca_file")),
    ("Oidc", "ca_file"): ({"sign_in": {"oidc": OIDC}}, ("sign_in", "oidc", "ca_file")),
    ("Otlp", "ca_file"): (
        {"telemetry": {"otlp": {"endpoint": "https://o.example.com"}}}, ("telemetry", "otlp", "ca_file"),
    ),
    ("Webhook", "ca_file"): (
        {"alerts": {"webhooks": [{"url": "https://w.example.com"}]}}, ("alerts", "webhooks", 0, "ca_file"),
    ),
    ("Anchor", "ca_file"): ({"ledger": {"anchor": ANCHOR}}, ("ledger", "anchor", "ca_file")),
    ("Valkey", "ca_file"): (
        {"caches": {"valkey": {"url": "valkeys://v.example.com"}}}, ("caches", "valkey", "ca_file"),
    ),
    ("Tls", "certificate_file"): ({"server": {"tls": TLS}}, ("server", "tls", "certificate_file")),
    ("Tls", "key_file"): ({"server": {"tls": TLS}}, ("server", "tls", "key_file")),
    ("Tls", "client_ca_file"): ({"server": {"tls": TLS}}, ("server", "tls", "client_ca_file")),
    ("Ledger", "archive"): ({"ledger": {}}, ("ledger", "archive")),
    ("Journal", "checkpoint_anchor"): ({"journal": {}}, ("journal", "checkpoint_anchor")),
    ("Caches", "encoder"): ({"caches": {}}, ("caches", "encoder")),
}  # fmt: skip
# What has to hold something of its own: read elsewhere, and tested with what reads it.
FITTED = {("Tiered", "head"), ("Cascade", "scorer")}


def settings(kind: Any = None, seen: set[type] | None = None) -> Iterator[tuple[str, str, str]]:
    """(struct, key, its place) of every setting that is text."""
    seen = set() if seen is None else seen
    info = inspect.type_info(Config) if kind is None else kind
    while isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.UnionType):
        for one in info.types:
            yield from settings(one, seen)
    elif isinstance(info, inspect.DictType):
        yield from settings(info.value_type, seen)
    elif isinstance(info, inspect.ListType):
        yield from settings(info.item_type, seen)
    elif isinstance(info, inspect.StructType) and info.cls not in seen:
        seen.add(info.cls)
        for field in info.fields:
            extra, kinds = facts(field.type)
            if kinds == {"StrType"}:
                yield info.cls.__name__, field.encode_name, extra.get("place", "")
            yield from settings(field.type, seen)


def facts(info: Any) -> tuple[dict[str, Any], set[str]]:
    """What a type says beside its kind, and its kinds."""
    extra: dict[str, Any] = {}
    kinds = set[str]()
    while isinstance(info, inspect.Metadata):
        extra |= info.extra or {}
        info = info.type
    for one in info.types if isinstance(info, inspect.UnionType) else (info,):
        inner, kind = facts(one) if isinstance(one, inspect.Metadata) else (extra, {type(one).__name__})
        extra |= inner
        kinds |= kind - {"NoneType"}
    return extra, kinds


PLACES = {(struct, key): place for struct, key, place in settings() if place}


def test_every_setting_about_a_file_says_what_it_is() -> None:
    files = {(struct, key) for struct, key, _ in settings() if key.endswith("_file")}
    assert files <= set(PLACES)
    assert set(PLACES) == set(AROUND) | FITTED
    assert {key for (_, key), place in PLACES.items() if place == "certificates"} == {
        "ca_file", "client_ca_file", "certificate_file",
    }  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    return Path(Authority(folder).ca_file)


def written(root: Path, around: dict[str, Any], at: tuple[Any, ...], value: str) -> Path:
    doc: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({**BASE, **around}).replace(b"{pem}", b"tls/ca.pem"))
    here: Any = doc
    for step in at[:-1]:
        here = here[step]
    here[at[-1]] = value
    file = root / "signalbox.yaml"
    file.write_text(yaml.safe_dump(doc))
    return file


def found(config: Any, at: tuple[Any, ...]) -> str:
    for step in at:
        config = config[step] if isinstance(config, (dict, list)) else getattr(config, step)
    return config


@pytest.mark.parametrize("setting", AROUND, ids=".".join)
def test_a_path_starts_from_the_folder_of_the_configuration(
    setting: tuple[str, str], authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around, at = AROUND[setting]
    (tmp_path / "etc" / "tls").mkdir(parents=True)
    pem = tmp_path / "etc" / "tls" / "ca.pem"
    pem.write_bytes(authority.read_bytes())
    file = written(tmp_path / "etc", around, at, "tls/ca.pem")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in (str(file), "../etc/signalbox.yaml"):
        declared = load(name)
        assert found(declared.config, at) == str(pem)
        watched = [str(pem)] if PLACES[setting] != "named" or setting[0] == "Tls" else []
        assert [name for name in declared.files[1:] if name == str(pem)] == watched
    before = load(file).version
    pem.write_bytes(authority.read_bytes() + b"\n# renewed\n")
    changed = load(file).version != before
    assert changed == (PLACES[setting] == "certificates" or setting[0] == "Tls")


@pytest.mark.parametrize("setting", [name for name, place in PLACES.items() if place == "certificates"], ids=".".join)
def test_certificates_that_are_none_are_told_at_once(setting: tuple[str, str], authority: Path, tmp_path: Path) -> None:
    """By `signalbox check`, with the line, and not by the first connection."""
    around, at = AROUND[setting]
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_bytes(authority.read_bytes())
    (tmp_path / "empty.pem").write_text("nothing of the kind")
    for name, why in (("missing.pem", "No such file"), ("empty.pem", "no certificate"), ("tls", "directory")):
        with pytest.raises(ConfigError) as caught:
            load(written(tmp_path, around, at, name))
        said = str(caught.value)
        assert why in said
        assert setting[1] in said
        assert re.search(r"signalbox.yaml:\d+", said)


def test_a_key_set_is_read_as_its_issuer_writes_it(tmp_path: Path) -> None:
    """Over many lines, as tools print it; other secrets stay on one, since they travel in headers."""
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "a-é", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    text = msgspec.json.format(msgspec.json.encode({"keys": [key]}), indent=4).decode()
    (tmp_path / "jwks.json").write_text(text.replace("\n", "\r\n"))
    issuer = {"issuer": "https://id.example.com", "audience": "a", "jwks": "file:jwks.json"}
    file = tmp_path / "signalbox.yaml"
    file.write_text(yaml.safe_dump({**BASE, "issuers": {"i": issuer}}))
    declared = load(file)
    entry = declared.config.issuers["i"].jwks
    assert isinstance(entry, Secret)
    assert msgspec.json.decode(entry.reveal())["keys"][0]["kid"] == "a-é"
    assert any(name.endswith("jwks.json") for name in declared.files)
    (tmp_path / "key").write_text("sk-one\nx-evil: 1")
    doc = msgspec.json.decode(msgspec.json.encode(BASE))
    doc["deployments"]["d"]["api_key"] = "file:key"
    file.write_text(yaml.safe_dump(doc))
    with pytest.raises(ConfigError, match="line break"):
        load(file)
