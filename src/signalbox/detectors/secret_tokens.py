"""Keys that say what they are: tokens by issuer prefix, private key blocks, credentials in URLs and headers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.core.pattern import compiled_later
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

# Prefix, what follows it in full, kind, confidence. Forms as their issuers document them.
KNOWN: tuple[tuple[str, str, str, float], ...] = (
    ("sb-", r"[A-Za-z0-9]{6,24}-[A-Za-z0-9]{20,64}", "signalbox-key", 0.97),
    ("ghp_", r"[A-Za-z0-9]{36,}", "github-token", 0.99),
    ("gho_", r"[A-Za-z0-9]{36,}", "github-token", 0.99),
    ("ghu_", r"[A-Za-z0-9]{36,}", "github-token", 0.99),
    ("ghs_", r"[A-Za-z0-9]{36,}", "github-token", 0.99),
    ("ghr_", r"[A-Za-z0-9]{36,}", "github-token", 0.99),
    ("github_pat_", r"\w{40,}", "github-token", 0.99),
    ("glpat-", r"[\w-]{20,}", "gitlab-token", 0.99),
    ("glptt-", r"[\w-]{20,}", "gitlab-token", 0.98),
    ("gldt-", r"[\w-]{20,}", "gitlab-token", 0.98),
    ("glrt-", r"[\w-]{20,}", "gitlab-token", 0.98),
    ("xoxb-", r"[\w-]{20,}", "slack-token", 0.98),
    ("xoxp-", r"[\w-]{20,}", "slack-token", 0.98),
    ("xoxa-", r"[\w-]{20,}", "slack-token", 0.98),
    ("xoxr-", r"[\w-]{20,}", "slack-token", 0.98),
    ("xoxs-", r"[\w-]{20,}", "slack-token", 0.98),
    ("xapp-", r"[\w-]{20,}", "slack-token", 0.98),
    ("sk-ant-", r"[\w-]{24,}", "anthropic-key", 0.99),
    ("sk-proj-", r"[\w-]{24,}", "openai-key", 0.99),
    ("sk-svcacct-", r"[\w-]{24,}", "openai-key", 0.99),
    ("sk-or-", r"[\w-]{24,}", "openrouter-key", 0.99),
    ("sk-lf-", r"[\w-]{24,}", "langfuse-key", 0.97),
    ("sk-", r"[A-Za-z0-9]{32,}", "openai-key", 0.95),
    ("sk_live_", r"[A-Za-z0-9]{16,}", "stripe-key", 0.99),
    ("sk_test_", r"[A-Za-z0-9]{16,}", "stripe-key", 0.9),
    ("rk_live_", r"[A-Za-z0-9]{16,}", "stripe-key", 0.99),
    ("rk_test_", r"[A-Za-z0-9]{16,}", "stripe-key", 0.9),
    ("whsec_", r"[A-Za-z0-9+/]{24,}", "webhook-secret", 0.97),
    ("AKIA", r"[A-Z0-9]{16}", "aws-key-id", 0.95),
    ("ASIA", r"[A-Z0-9]{16}", "aws-key-id", 0.95),
    ("ABIA", r"[A-Z0-9]{16}", "aws-key-id", 0.9),
    ("ACCA", r"[A-Z0-9]{16}", "aws-key-id", 0.9),
    ("AIza", r"[\w-]{35}", "google-api-key", 0.98),
    ("GOCSPX-", r"[\w-]{24,}", "google-client-secret", 0.98),
    ("ya29", r"\.[\w-]{20,}", "google-oauth-token", 0.97),
    ("SG", r"\.[\w-]{16,32}\.[\w-]{16,64}", "sendgrid-key", 0.98),
    ("npm_", r"[A-Za-z0-9]{36}", "npm-token", 0.99),
    ("pypi-", r"[\w-]{50,}", "pypi-token", 0.99),
    ("dop_v1_", r"[a-f0-9]{64}", "digitalocean-token", 0.99),
    ("doo_v1_", r"[a-f0-9]{64}", "digitalocean-token", 0.99),
    ("hf_", r"[A-Za-z0-9]{30,}", "huggingface-token", 0.98),
    ("gsk_", r"[A-Za-z0-9]{40,}", "groq-key", 0.98),
    ("xai-", r"[A-Za-z0-9]{40,}", "xai-key", 0.98),
    ("pplx-", r"[A-Za-z0-9]{40,}", "perplexity-key", 0.98),
    ("r8_", r"[A-Za-z0-9]{30,}", "replicate-token", 0.97),
    ("nvapi-", r"[\w-]{40,}", "nvidia-key", 0.98),
    ("tvly-", r"[\w-]{20,}", "tavily-key", 0.96),
    ("lsv2_", r"\w{30,}", "langsmith-key", 0.98),
    ("csk-", r"[a-z0-9]{30,}", "cerebras-key", 0.95),
    ("shpat_", r"[a-fA-F0-9]{32}", "shopify-token", 0.99),
    ("shpss_", r"[a-fA-F0-9]{32}", "shopify-token", 0.99),
    ("shpca_", r"[a-fA-F0-9]{32}", "shopify-token", 0.99),
    ("dckr_pat_", r"[\w-]{20,}", "docker-token", 0.98),
    ("lin_api_", r"[A-Za-z0-9]{32,}", "linear-key", 0.98),
    ("figd_", r"[\w-]{30,}", "figma-token", 0.97),
    ("PMAK-", r"[a-f0-9]{20,}-[a-f0-9]{30,}", "postman-key", 0.98),
    ("NRAK-", r"[A-Z0-9]{27}", "newrelic-key", 0.98),
    ("glsa_", r"\w{36,}", "grafana-token", 0.98),
    ("glc_", r"[A-Za-z0-9+/]{32,}", "grafana-token", 0.95),
    ("dapi", r"[a-f0-9]{32}", "databricks-token", 0.97),
    ("ATATT3", r"[\w-]{40,}", "atlassian-token", 0.98),
    ("xkeysib-", r"[a-f0-9]{64}-[A-Za-z0-9]{16}", "brevo-key", 0.98),
    ("LTAI", r"[A-Za-z0-9]{12,26}", "alibaba-key-id", 0.85),
    ("AKID", r"[A-Za-z0-9]{32}", "tencent-key-id", 0.9),
    ("sntrys_", r"[\w-]{30,}", "sentry-token", 0.97),
    ("EAACEdEose0cBA", r"[A-Za-z0-9]+", "facebook-token", 0.97),
    ("hvs", r"\.[\w-]{24,}", "vault-token", 0.97),
    ("hvb", r"\.[\w-]{24,}", "vault-token", 0.97),
    ("AGE-SECRET-KEY-1", r"[A-Z0-9]{58}", "age-key", 0.99),
    ("sq0csp-", r"[\w-]{40,}", "square-secret", 0.98),
    ("sq0atp-", r"[\w-]{20,}", "square-token", 0.98),
    ("EAAA", r"[\w-]{58,62}", "square-token", 0.7),
    ("key-", r"[a-f0-9]{32}", "mailgun-key", 0.9),
    ("phc_", r"[A-Za-z0-9]{40,}", "posthog-key", 0.7),
    ("phx_", r"[A-Za-z0-9]{40,}", "posthog-key", 0.95),
    ("pat", r"[A-Za-z0-9]{14}\.[a-f0-9]{64}", "airtable-token", 0.97),
    ("secret_", r"[A-Za-z0-9]{43}", "notion-token", 0.95),
    ("ntn_", r"[A-Za-z0-9]{40,}", "notion-token", 0.96),
    ("oy2", r"[a-z0-9]{43}", "nuget-key", 0.9),
    ("rubygems_", r"[a-f0-9]{48}", "rubygems-key", 0.98),
    ("tfp_", r"[\w-]{40,}", "typeform-token", 0.95),
    ("EZAK", r"[A-Za-z0-9]{54}", "easypost-key", 0.97),
    ("SK", r"[a-f0-9]{32}", "twilio-key", 0.85),
    ("SU", r"[A-Z2-7]{56}", "nkey-seed", 0.97),
    ("SA", r"[A-Z2-7]{56}", "nkey-seed", 0.97),
    ("SO", r"[A-Z2-7]{56}", "nkey-seed", 0.97),
    ("SN", r"[A-Z2-7]{56}", "nkey-seed", 0.97),
    ("SC", r"[A-Z2-7]{56}", "nkey-seed", 0.97),
    ("eyJ", r"[\w-]{8,}\.(?:eyJ)?[\w-]{8,}(?:\.[\w-]{8,})?", "jwt", 0.93),
)
# How known keys begin.
PREFIXES: tuple[str, ...] = tuple(dict.fromkeys(prefix for prefix, *_ in KNOWN))
_PREFIX_MIN = min(len(prefix) for prefix, *_ in KNOWN)
# Prefixes that end in a dot, after which the long part begins.
_DOTTED = (b"ya29.", b"SG.", b"hvs.", b"hvb.")
_BY_START: dict[bytes, list[tuple[bytes, re.Pattern[bytes], str, float]]] = {}
for _prefix, _rest, _kind, _worth in sorted(KNOWN, key=lambda form: -len(form[0])):
    _BY_START.setdefault(_prefix[:_PREFIX_MIN].encode(), []).append(
        (_prefix.encode(), compiled_later(f"{re.escape(_prefix)}{_rest}(?![A-Za-z0-9])".encode()), _kind, _worth)
    )

# So much of what follows a prefix is needed for it to be worth a look.
_FORM_CHARS = 12
_FIRST = re.compile(r"(\\\.)?(\[[^\]]+\]|\\w)(?:\{(\d+)|\+)")


def _form(prefix: str, rest: str) -> bytes:
    """An expression that occurs wherever this form does: its prefix, which nothing but letters and digits would make
    part of something longer, and the beginning of what follows it. `SG.` and the like are looked for from their dot."""
    match = _FIRST.match(rest)
    assert match is not None
    least = min(int(match[3] or 1), _FORM_CHARS)
    before = "" if match[1] else "(?:^|[^A-Za-z0-9])"
    return f"{before}{re.escape(prefix)}{match[1] or ''}{match[2]}{{{least}}}".encode()


FORMS = tuple(_form(prefix, rest) for prefix, rest, *_ in KNOWN)

# After a joint only prefixes that are long enough to be no accident.
_GLUED = re.compile(
    ("[_-](?=" + "|".join(re.escape(prefix) for prefix, *_ in KNOWN if len(prefix) >= 4) + ")").encode()
)

# Joints inside long words that are looked at in one text, which bounds time: no identifier has so many.
_JOINTS_PER_KB, _JOINTS_MIN = 64, 1024
_JOINTS = re.compile(rb"[_-](?=(....))", re.DOTALL)
_GLUED_STARTS = frozenset(prefix[:4].encode() for prefix, *_ in KNOWN if len(prefix) >= 4)

_PEM = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:[^-]{1,8192}+)?")
_USER_INFO = re.compile(rb"://[^\s/:@\"'`<>?#]{0,64}+:(?!\d{1,5}[#\\])([^\s/@\"'`<>]{1,128}+)@[A-Za-z0-9\[$%{.\\_-]")
_HEADER = re.compile(rb"[ ]{1,2}(?:\\?[\"'])?([A-Za-z0-9._~+/=-]{6,4096}+)")
HEADER_WORDS = frozenset(b"bearer basic ntlm digest negotiate apikey token".split())
_WEBHOOK = re.compile(
    rb"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_+-]{20,})|"
    rb"discord(?:app)?\.com/api/webhooks/(\d+/[\w-]{30,})"
)
# Without one of these, without a long token and without a word, there is nothing.
TRIGGERS = (b"://", b"-----BEGIN", rb"hooks\.slack\.com/", b"/api/webhooks/")
_FILLER = re.compile(
    rb"(?i)x{4,}|\*{3,}|\.{3}|0{8,}|1234567890|example|placeholder|your|changeme|redacted|"
    rb"abcdef(?:gh|$)|dummy"
)


def find(view: View) -> Iterator[Found]:
    flat = view.flat
    shape = view.shape
    joints = max(_JOINTS_MIN, len(flat) * _JOINTS_PER_KB // 1024)
    for start, end in view.tokens if view.formed else ():
        forms = _BY_START.get(flat[start : start + _PREFIX_MIN])
        found = _token(flat, start, forms) if forms is not None else None
        if found is None and flat[start - 1 : start] == b"." and flat.endswith(_DOTTED, max(0, start - 6), start):
            begin = start - 3 if flat[start - 3 : start] == b"SG." else start - (5 if flat[start - 5] == 121 else 4)
            found = _token(flat, begin, _BY_START[flat[begin : begin + _PREFIX_MIN]])
        if found is not None:
            yield found
        elif shape.find(b"0", start, end) >= 0 and not (
            end - start == 36 and flat[start + 8 : start + 24 : 5] == b"----"
        ):
            joints -= flat.count(b"-", start, end) + flat.count(b"_", start, end)
            if joints >= 0:
                yield from _inner(flat, start, end)
    if view.keyed and flat.find(b"-----BEGIN") >= 0:
        for match in _PEM.finditer(flat):
            body = len(match[0]) > 120 and match[0].find(b"...") < 0
            yield Found("secrets", "credentials", match.start(), match.end(), 0.98 if body else 0.4, "private-key")
    if view.keyed and view.marks.find(b"://") >= 0:
        yield from _urls(flat)
    if not view.hits.isdisjoint(WORDS):
        yield from _headers(view)
        yield from _commands(view)


def _token(flat: bytes, start: int, forms: list[tuple[bytes, re.Pattern[bytes], str, float]]) -> Found | None:
    for prefix, pattern, kind, worth in forms:
        if flat.startswith(prefix, start):
            match = pattern.match(flat, start)
            if match is not None:
                if _FILLER.search(match[0]) or len(set(match[0][len(prefix) :])) < 8:
                    worth = 0.3
                return Found("secrets", "credentials", start, match.end(), worth, kind)
    return None


def _inner(flat: bytes, start: int, end: int) -> Iterator[Found]:
    """A known token glued to a name before it, as in `KEY_ghp_…` or `prefix-sk-ant-…`."""
    if _GLUED_STARTS.isdisjoint(_JOINTS.findall(flat, start, end)):
        return
    for joint in _GLUED.finditer(flat, start, end):
        at = joint.end()
        found = _token(flat, at, [form for form in _BY_START[flat[at : at + _PREFIX_MIN]] if len(form[0]) >= 4])
        if found is not None:
            yield found
            return


def _urls(flat: bytes) -> Iterator[Found]:
    for match in _USER_INFO.finditer(flat):
        value = match[1]
        yield Found(
            "secrets", "credentials", match.start(1), match.end(1), 0.3 if _is_filler(value) else 0.93, "url-password"
        )
    if flat.find(b"hooks.slack.com/") >= 0 or flat.find(b"/api/webhooks/") >= 0:
        for match in _WEBHOOK.finditer(flat):
            yield Found("secrets", "credentials", match.start(), match.end(), 0.95, "webhook-url")


_VARIABLE = re.compile(
    rb"[$%{<\[(]|^(?i:pass(?:word|wd)?|p?wd|secret|token|user(?:name)?|pw|test|foo|bar|admin|xxx+|\.\.\.)\d{0,3}$|^(?i:(?:test|wrong|my)[_-]?pass)"
)


def _is_filler(value: bytes) -> bool:
    return _VARIABLE.search(value) is not None or _FILLER.search(value) is not None


def _headers(view: View) -> Iterator[Found]:
    for word, end in view.after(HEADER_WORDS):
        match = _HEADER.match(view.flat, end)
        if match is None:
            continue
        value = match[1]
        mixed = sum((value != value.lower(), value != value.upper(), any(48 <= c <= 57 for c in value)))
        if len(value) < 12 and not (mixed == 3 or value.endswith(b"=")):
            continue
        if _is_filler(value) or mixed < 2 or (mixed < 3 and len(value) < 20):
            continue
        yield Found("secrets", "credentials", match.start(1), match.end(1), 0.9, word.decode())


_SQL = re.compile(rb"(?i: with \w{1,40})?(?i: by)(?i: password)? {1,2}(\\?[\"'`])?([^\s\"'`;\\]{3,128}+)")
_CURL = re.compile(rb" (?:-u|--user)[ =]{1,2}\\?[\"']?[^\s:\"']{1,64}+:([^\s\"'\\]{3,128}+)")
COMMAND_WORDS = frozenset((b"identified", b"curl", b"wget"))


def _commands(view: View) -> Iterator[Found]:
    """`IDENTIFIED BY '…'` of SQL and `curl -u user:…`."""
    for word, end in view.after(COMMAND_WORDS):
        sql = word == b"identified"
        match = _SQL.match(view.flat, end) if sql else _CURL.search(view.flat, end, end + 200)
        # `Users are identified by names` is prose: without quotes it is a command where it is written as one.
        if match is None or (sql and match[1] is None and not view.flat[end - len(word) : end].isupper()):
            continue
        group = match.lastindex or 0
        if not _is_filler(match[group]):
            start, stop = match.span(group)
            yield Found("secrets", "credentials", start, stop, 0.85, "sql" if sql else "command")


WORDS = HEADER_WORDS | COMMAND_WORDS
