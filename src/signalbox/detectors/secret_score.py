"""How likely an assigned value is a real secret: features of name and value, and the logistic model over them."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from signalbox.detectors.secret_weights import BIAS, BIGRAMS, WEIGHTS

_PLACEHOLDER = re.compile(
    rb"(?i)x{3,}|\*{2,}|\.{3}|example|sample|your|change.?me|placeholder|redacted|dummy|fake|foo|bar$|^bar|insert|todo|"
    rb"replace|123456|abc123|qwerty|_here|null|none|undefined|true|false|string|here$"
)
_SELF = re.compile(
    rb"(?i)pass(?:word|wd|phrase|w)?|secret|token|key|auth|cred|user|login|admin|test|value|name|default"
)
_EXPRESSION = re.compile(rb"[${}<>%()\[\]]|^@|^&|::|->|^\.|^/|^-")
_IDENTIFIER = re.compile(rb"[A-Za-z_][a-z_]*(?:[A-Z_.][a-z_]+)*(?:\.[A-Za-z_]+)*")
_HEX = re.compile(rb"(?:[0-9a-f]{2}){8,}|(?:[0-9A-F]{2}){8,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}={0,2}")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_NAME_PASS = re.compile(rb"(?i)pass(?!ed|ing|es|age|port|ive|ion|enger)|pwd")
_NAME_OTHER = re.compile(
    rb"(?i)author(?!iz)|keyword|keyboard|monkey|"
    rb"key_?(?:name|id|path|file|type|size|len|code|s\b|store|ring|ref|up|down|press)"
    rb"|token_?(?:type|url|name|uri|endpoint|count|s\b|izer|id)|pass(?:ed|ing|es|age|port|ive|through)|secret_?name|"
    rb"(?:hash|salt|public|pub|primary|foreign|cache|sort|partition|index)_?key|auth_?(?:type|url|method|mode|entic|"
    rb"or)|"
    rb"pass(?:word)?_?(?:field|confirm|hash|reset|file|length|min|max|policy|label|prompt|column|input|method)"
)


def features(name: bytes, separator: bytes, quoted: bool, value: bytes, after: bytes) -> dict[str, float]:
    """What the model sees, by name; numbers are scaled to about 0..1."""
    size = len(value)
    digits = sum(48 <= c <= 57 for c in value)
    upper = sum(65 <= c <= 90 for c in value)
    lower = sum(97 <= c <= 122 for c in value)
    symbols = size - digits - upper - lower
    return {
        "len": min(size, 64) / 64,
        "short": float(size < 6),
        "long": float(size > 100),
        "digits": digits / size,
        "upper": upper / size,
        "symbols": symbols / size,
        "has_digit": float(digits > 0),
        "mixed": float(digits > 0 and lower > 0 and upper > 0),
        "digit_letter": float(digits > 0 and lower + upper > 0),
        "all_digits": float(digits == size),
        "all_lower": float(lower == size),
        "entropy": _entropy(value),
        "bigram": _oddness(value),
        "bigram_sum": _oddness(value) * min(size, 32) / 32,
        "space": float(b" " in value),
        "placeholder": float(_PLACEHOLDER.search(value) is not None),
        "self": float(_SELF.search(value) is not None),
        "expression": float(_EXPRESSION.search(value) is not None),
        "dotted": float(value.count(b".") > 0),
        "slash": float(b"/" in value or b":" in value),
        "identifier": float(_IDENTIFIER.fullmatch(value) is not None),
        "identifier_bare": float(not quoted and _IDENTIFIER.fullmatch(value) is not None),
        "hex": float(_HEX.fullmatch(value) is not None),
        "base64": float(_BASE64.fullmatch(value) is not None),
        "uuid": float(_UUID.fullmatch(value) is not None),
        "quoted": float(quoted),
        "called": float(after in (b"(", b"[", b".") or (not quoted and after in (b")", b"<", b"&"))),
        "sep_equals": float(separator in (b"=", b":=", b"=>")),
        "sep_colon": float(separator == b":"),
        "sep_compare": float(separator in (b"==", b"===", b"!=")),
        "sep_comma": float(separator in (b",", b"(")),
        "sep_space": float(separator in (b"", b"is", b"to", b"with")),
        "name_pass": float(_NAME_PASS.search(name) is not None),
        "name_secret": float(b"secret" in name.lower()),
        "name_token": float(b"token" in name.lower()),
        "name_key": float(b"key" in name.lower()),
        "name_api": float(b"api" in name.lower() or b"access" in name.lower() or b"private" in name.lower()),
        "name_auth": float(b"auth" in name.lower() or b"cred" in name.lower()),
        "name_bare_key": float(name.lower() in (b"key", b"keys")),
        "name_other": float(_NAME_OTHER.search(name) is not None),
        "name_is_value": float(value.lower() in name.lower() or name.lower() in value.lower()),
    }


def score(name: bytes, separator: bytes, quoted: bool, value: bytes, after: bytes) -> float:
    """Probability that the value is a real secret."""
    total = BIAS
    for feature, amount in features(name, separator, quoted, value, after).items():
        if amount:
            total += amount * WEIGHTS.get(feature, 0.0)
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


def _entropy(value: bytes) -> float:
    """Shannon entropy of the characters, in units of 6 bits."""
    size = len(value)
    return -sum((n := value.count(c)) / size * math.log2(n / size) for c in set(value)) / 6


def _oddness(value: bytes) -> float:
    """How unlike words the letters follow each other: 0 for plain words, towards 1 for chance."""
    total = pairs = 0
    low = value.lower()
    for first, second in pairwise(low):
        if 97 <= first <= 122 and 97 <= second <= 122:
            total += BIGRAMS[(first - 97) * 26 + second - 97]
            pairs += 1
    return total / pairs / 9 if pairs else 0.5
