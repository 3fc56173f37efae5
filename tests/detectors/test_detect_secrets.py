"""Credentials: tokens of known issuers, keys, URLs, headers and assigned values, against what only looks like them."""

from __future__ import annotations

import base64
import random
import string

import pytest

from signalbox.detectors.scan import classify, scan

_CHANCE = random.Random(20261120)


def some(alphabet: str, size: int) -> str:
    return "".join(_CHANCE.choice(alphabet) for _ in range(size))


ALNUM, HEX, UPPER32 = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + "234567"

TOKENS = {
    "github-token": [f"{prefix}{some(ALNUM, 36)}" for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")]
    + ["github_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59)],
    "gitlab-token": ["glpat-" + some(ALNUM, 20)],
    "slack-token": ["xoxb-" + some(string.digits, 12) + "-" + some(string.digits, 12) + "-" + some(ALNUM, 24)],
    "anthropic-key": ["sk-ant-api03-" + some(ALNUM + "_-", 90) + "AA"],
    "openai-key": ["sk-" + some(ALNUM, 48), "sk-proj-" + some(ALNUM + "_-", 60) + "z9"],
    "stripe-key": ["sk_live_" + some(ALNUM, 24), "rk_live_" + some(ALNUM, 24)],
    "aws-key-id": ["AKIA" + some(string.ascii_uppercase + string.digits, 16)],
    "google-api-key": ["AIza" + some(ALNUM, 35)],
    "google-oauth-token": ["ya29." + some(ALNUM, 60)],
    "sendgrid-key": ["SG." + some(ALNUM, 22) + "." + some(ALNUM, 43)],
    "npm-token": ["npm_" + some(ALNUM, 36)],
    "huggingface-token": ["hf_" + some(ALNUM, 34)],
    "vault-token": ["hvs." + some(ALNUM, 28)],
    "digitalocean-token": ["dop_v1_" + some(HEX, 64)],
    "shopify-token": ["shpat_" + some(HEX, 32)],
    "nkey-seed": ["SU" + some(UPPER32, 56)],
    "signalbox-key": ["sb-" + some(ALNUM, 10) + "-" + some(ALNUM, 40)],
    "databricks-token": ["dapi" + some(HEX, 32)],
}
JWT = ".".join(
    base64.urlsafe_b64encode(part).rstrip(b"=").decode()
    for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"8812","role":"ops"}', bytes(range(32)))
)
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(some(ALNUM + "+/", 64) for _ in range(6))
    + "\n-----END RSA PRIVATE KEY-----"
)


CASES = [(kind, token) for kind, tokens in TOKENS.items() for token in tokens]


@pytest.mark.parametrize(("kind", "token"), CASES, ids=[f"{k}-{i}" for i, (k, _) in enumerate(CASES)])
@pytest.mark.parametrize("frame", ["{}", "key={}", 'Authorization: "{}"', "see {} here", "[{}]", "MY_KEY_{}", "x-{},"])
def test_tokens_of_known_issuers(kind: str, token: str, frame: str) -> None:
    if frame in ("MY_KEY_{}", "x-{},") and kind in ("google-oauth-token", "sendgrid-key", "vault-token"):
        pytest.skip("a dotted token glued to a name is found by its name only")
    if frame in ("MY_KEY_{}", "x-{},") and token[:2] in ("sk", "sb", "SU", "hf") and token[3:4] not in "ap_":
        pytest.skip("short prefixes glued to a name are too common")
    assert "credentials" in classify(frame.format(token)).names()


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        PEM,
        PEM.replace("\n", "\\n"),
        f"Authorization: Bearer {some(ALNUM, 40)}",
        f"authorization: basic {base64.b64encode(b'ops:Tr0ub4dor&3').decode()}",
        "postgres://ops:hx93kdQz@db.internal/main",
        "https://bot:9fKx22LmQ@ci.example.org/repo.git",
        "redis://:f83hGq1zz@cache:6379/0",
        "https://hooks.slack.com/services/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",
        "CREATE USER app IDENTIFIED BY 'kq83hfZx'",
        "curl -u admin:Zk39fhQa https://x.example.org",
        "mysqldump --password kX83hf92q",
    ],
)
def test_keys_urls_headers_and_commands(text: str) -> None:
    assert "credentials" in classify(text).names()


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "dbPasswd", "client_secret", "api_key", "apiKey", "auth_token", "SECRET_KEY"]
)
@pytest.mark.parametrize("form", ['{n} = "{v}"', "{n}: {v}", "export {n}={v}", '"{n}": "{v}"', "{n} => '{v}'"])
def test_assigned_secrets(name: str, form: str) -> None:
    for value in (some(ALNUM, 24) + "7", some(HEX, 40), "hX72kq9z!pQ"):
        assert "credentials" in classify(form.format(n=name, v=value)).names(), value


@pytest.mark.parametrize(
    "text",
    [
        'password = "changeme"',
        "password: ${DB_PASSWORD}",
        'api_key = os.environ["API_KEY"]',
        "API_KEY=your-api-key-here",
        "token: <token>",
        "password = getpass.getpass()",
        'secret = "xxxxxxxx"',
        "The password must have 12 characters.",
        "How do I reset my password?",
        "author: Jane Austen",
        "monkey = banana",
        "key: value",
        "keyboard: qwerty",
        "primary_key = id",
        "cache.miss key=report:17 ttl=900",
        "def authenticate(user, password):\n    return check(user, password)",
        "tokens: 4096",
        "max_tokens=1024",
        "token_type: bearer",
        "sk-learn is a library",
        "pass the salt, please",
        "https://user:password@example.com/",
        "passport control is open",
        "password: string",
        "Bearer of bad news",
        "the basic authentication scheme",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        'foreign_key: "customer_id"',
        'auth_url = "https://login.example.org/authorize"',
        "xoxb-your-token-here-please",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "id: 9f8c2d1e-4b7a-4c3e-9d2f-000000000000",
        "sha256: " + "ab12" * 16,
    ],
)
def test_what_only_looks_like_a_secret(text: str) -> None:
    assert "credentials" not in classify(text).names()


def test_the_value_alone_is_marked() -> None:
    text = 'config = {"password": "hX72kq9z!pQ", "host": "db"}'
    assert [text[one.start : one.end] for one in scan(text) if one.tag == "credentials"] == ["hX72kq9z!pQ"]


def test_reports_never_hold_the_value() -> None:
    token = TOKENS["github-token"][0]
    assert token not in repr(scan(f"key {token}"))


@pytest.mark.parametrize("filler", ["secret//", "password:", "1-", "a_"])
def test_keys_that_say_what_they_are_are_found_in_any_filler(filler: str) -> None:
    token = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
    assert any(one.kind == "github-token" for one in scan(f"{filler * 6000} {token} {filler * 6000}"))
