"""Loading: secrets and where they may not appear, versions, files to watch, and many findings at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.config.declared import Declared
from signalbox.config.load import load, load_text
from signalbox.config.watch import stamp
from signalbox.control.source import FileSource
from signalbox.core.errors import ConfigError

SECRET = "sk-canary-0123456789"
FILE = """
environments: {here: {kind: cloud, region: eu/de}}
deployments:
  gpt: {environment: here, preset: openai, model: gpt-5, api_key: "%s"}
workloads: {chat: {placements: [gpt]}}
"""


def text(api_key: str = "${KEY}") -> str:
    return FILE % api_key


def read(content: str, **environ: str) -> Declared:
    return load_text(content, "signalbox.yaml", environ)


def problems(content: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(content, **environ)
    return caught.value.problems


def credential(declared: Declared) -> tuple[str, str]:
    auth = declared.deployments["gpt"].auth
    assert auth is not None
    return auth[0], auth[1].reveal()


def test_a_secret_comes_from_the_environment_and_shows_nowhere() -> None:
    declared = read(text(), KEY=SECRET)
    assert credential(declared) == ("authorization", f"Bearer {SECRET}")
    assert SECRET not in repr(declared)
    assert SECRET not in str(msgspec.structs.asdict(declared))
    with pytest.raises(TypeError):
        msgspec.json.encode(declared)


def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    path = tmp_path / "signalbox.yaml"
    path.write_text(text("file:key"))
    declared = load(path, {})
    assert credential(declared)[1] == f"Bearer {SECRET}"
    assert declared.files == (str(path), str(tmp_path / "key"))


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\nb", b"a\x00b", "schlüssel".encode(), b"k" * 70_000])
def test_a_secret_file_that_holds_no_key_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    found = problems(text(f"file:{tmp_path}/key"))
    assert len(found) == 1
    assert found[0].startswith("signalbox.yaml:4: deployments.gpt.api_key: ")


@pytest.mark.parametrize("name", ["SIGNALBOX_ADMIN_SECRET", "SIGNALBOX_PEPPER"])
def test_the_installations_own_secrets_go_nowhere(name: str, tmp_path: Path) -> None:
    """Whoever may change the configuration may not make keys; with the admin secret they would."""
    own = "an-own-secret-of-32-characters--"
    (said,) = problems(text("${" + name + "}"), **{name: own})
    assert f"{name} is this installation's own secret" in said
    (tmp_path / "own").write_text(own)
    (tmp_path / "linked").symlink_to(tmp_path / "own")
    for path in ("own", "./own", "linked"):
        (said,) = problems(text(f"file:{tmp_path}/{path}"), **{f"{name}_FILE": str(tmp_path / "own")})
        assert "holds this installation's own secret" in said
    assert credential(read(text(f"file:{tmp_path}/own")))[1] == f"Bearer {own}"


def test_a_secret_written_in_the_file_is_remembered_as_such() -> None:
    declared = read(text(SECRET))
    assert declared.inline_secrets == ("deployments.gpt.api_key",)
    assert declared.where("deployments.gpt.api_key") == "signalbox.yaml:4"


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    wrong = text().replace("model: gpt-5", f"model: gpt-5, context_tokens: {SECRET}, limits: {SECRET}, tools: [1]")
    wrong += f"server: {{body_bytes_max: {SECRET}}}\n"
    found = problems(wrong, KEY=SECRET)
    assert len(found) == 4
    assert SECRET not in "\n".join(found)


def test_the_version_is_of_the_meaning_and_tells_nothing_of_secrets() -> None:
    first = read(text(), KEY=SECRET)
    assert read("# a comment\n" + text().replace("kind: cloud", "'kind':   cloud"), KEY=SECRET).version == first.version
    rotated = read(text(), KEY="sk-rotated")
    assert rotated.version == first.version
    assert rotated != first
    assert read(text("${OTHER}"), OTHER=SECRET).version != first.version
    assert read(text().replace("eu/de", "eu/fr"), KEY=SECRET).version != first.version
    assert len(first.version) == 16
    assert set(first.version) <= set("0123456789abcdef")


def test_the_order_of_workloads_is_meaning() -> None:
    one = read(text() + "aliases: {a: chat, b: chat}\n", KEY=SECRET)
    other = read(text() + "aliases: {b: chat, a: chat}\n", KEY=SECRET)
    assert one.version != other.version


def test_a_replaced_ca_file_is_a_changed_configuration(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    path = tmp_path / "signalbox.yaml"
    path.write_text(text().replace("model: gpt-5", "model: gpt-5, ca_file: ca.pem"))
    pem.write_text("-----BEGIN CERTIFICATE-----\none\n-----END CERTIFICATE-----\n")
    first = load(path, {"KEY": SECRET})
    assert first.deployments["gpt"].replicas[0].ca_file == str(pem)
    assert str(pem) in first.files
    pem.write_text("-----BEGIN CERTIFICATE-----\ntwo\n-----END CERTIFICATE-----\n")
    assert load(path, {"KEY": SECRET}).version != first.version


def test_an_address_may_hold_variables() -> None:
    content = text().replace("preset: openai", "protocol: openai, base_url: 'https://${HOST}/${PREFIX}/v1'")
    origin = read(content, KEY=SECRET, HOST="llm.example.com", PREFIX="a").deployments["gpt"].replicas[0]
    assert origin.name == "https://llm.example.com:443/a/v1"


def test_a_missing_file_is_one_finding() -> None:
    with pytest.raises(ConfigError, match="no-such-file: the file cannot be read: No such file") as caught:
        load("no-such-file", {})
    assert len(caught.value.problems) == 1


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})


@pytest.mark.parametrize("key", ["api_key: 'file:pipe'", "ca_file: pipe"], ids=["secret", "certificates"])
def test_nobody_waits_for_who_writes_into_a_pipe(key: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="a pipe or a device"):
        load_text(text().replace('api_key: "${KEY}"', key), str(tmp_path / "f"))
    os.mkfifo(tmp_path / "signalbox.yaml")
    with pytest.raises(ConfigError, match="a pipe or a device"):
        FileSource(tmp_path / "signalbox.yaml").read()


def test_findings_are_bounded_and_in_the_order_of_the_file() -> None:
    found = problems("\n".join(f"key{i}: 1" for i in range(500)))
    assert len(found) == 101
    assert found[0].startswith("signalbox.yaml:1: key0: unknown key")
    assert "and 401 more" in found[-1] or "and 400 more" in found[-1]


def test_a_long_list_of_the_same_is_read_in_time_that_its_length_explains() -> None:
    """A preview of the console reads what somebody sends: a megabyte of it took minutes."""
    took: list[float] = []
    for count in (4_000, 40_000):
        began = time.process_time()
        assert "listed twice" in problems(f"packs: [{','.join(['gdpr'] * count)}]\n")[0]
        took.append(time.process_time() - began)
    assert took[1] < 25 * max(took[0], 0.01)


def test_a_change_of_any_watched_file_changes_the_stamp(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    files = [str(one), str(two)]
    first = stamp(files)
    assert stamp(files) == first
    two.write_text("b")
    second = stamp(files)
    assert second != first
    os.replace(two, one)  # the same size, another inode: how editors and Kubernetes swap files
    assert stamp(files) != second


KEYS = [
    *("environments", "deployments", "workloads", "rules", "packs", "server", "kind", "model", "allow", "not", "any"),
    *("price", "api_key", "base_url", "preset", "when", "id", "data", "aliases", "teams", "placements", "headers"),
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([*KEYS, "openai", "${KEY}", "${", "file:x"]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_whatever_is_written_there_is_an_answer(document: dict[str, object]) -> None:
    """No traceback, whatever stands where; every finding names file and line."""
    found: list[str] = []
    try:
        load_text(msgspec.json.encode(document), "f", {"KEY": SECRET})
    except ConfigError as error:
        found = error.problems
    assert all(problem.startswith("f:") for problem in found)
    assert SECRET not in "\n".join(found)
