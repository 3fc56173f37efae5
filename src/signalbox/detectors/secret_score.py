"""How likely an assigned value is a real secret: features of name and value, and the logistic model over them."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from itertools import pairwise

from signalbox.detectors.secret_weights import BIAS, BIGRAMS, WEIGHTS

# Values are read this far; what makes a secret shows before.
_READ_MAX = 256
_DIGITS, _UPPER, _LOWER = b"0123456789", bytes(range(65, 91)), bytes(range(97, 123))

_PLACEHOLDER = re.compile(
    rb"(?i)x{3,}|([a-z0-9*.-])\1{4,}|^(?:(.)\2)+$|\*{2,}|\.{3}|example|sample|your|change.?me|placeholder|redacted|dummy|fake|foo|bar$|^bar|insert|todo|"
    rb"replace|123456|abc123|qwerty|_here|null|none|undefined|true|false|string|here$"
)
_SELF = re.compile(
    rb"(?i)pass(?:word|wd|phrase|w)?|pwd|^pw$|secret|token|key|auth|cred|user|login|admin|test|value|name|default"
)
_EXPRESSION = re.compile(rb"[${}<>%()\[\]]|^@|^&|::|->|^\.|^/|^-")
_IDENTIFIER = re.compile(rb"[A-Za-z_][a-z_]*(?:[A-Z_.][a-z_]+)*(?:\.[A-Za-z_]+)*")
_HEX = re.compile(rb"(?:[0-9a-f]{2}){8,}|(?:[0-9A-F]{2}){8,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}={0,2}")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_NAME_PASS = re.compile(rb"(?i)pass(?!ed|ing|es|age|port|ive|ion|enger)|pwd")
_NAME_OTHER = re.compile(
    rb"(?i)author(?!iz)|_method|_version|timestamp|nonce|_id$|public|omniauth|providers?$|keyword|keyboard|monkey|"
    rb"key_?(?:name|id|path|file|type|size|len|code|s\b|store|ring|ref|up|down|press)"
    rb"|token_?(?:type|url|name|uri|endpoint|count|s\b|izer|id)|pass(?:ed|ing|es|age|port|ive|through)|secret_?name|"
    rb"(?:hash|salt|public|pub|primary|foreign|cache|sort|partition|index)_?key|auth_?(?:type|url|method|mode|entic|"
    rb"or)|"
    rb"pass(?:word)?_?(?:field|confirm|hash|reset|file|length|min|max|policy|label|prompt|column|input|method)"
)


def name_features(name: bytes, separator: bytes, quoted: bool) -> dict[str, float]:
    """What the model sees of a name and how the value is joined to it."""
    low = name.lower()
    return {
        "quoted": float(quoted),
        "sep_equals": float(separator in (b"=", b":=", b"=>")),
        "sep_colon": float(separator == b":"),
        "sep_compare": float(separator in (b"==", b"===", b"!=")),
        "sep_comma": float(separator in (b",", b"(")),
        "sep_symbol": float(separator == b"symbol"),
        "sep_flag": float(separator == b"flag"),
        "sep_space": float(separator in (b"", b"is", b"to", b"with")),
        "name_pass": float(_NAME_PASS.search(name) is not None),
        "name_secret": float(low.find(b"secret") >= 0),
        "name_token": float(low.find(b"token") >= 0),
        "name_key": float(low.find(b"key") >= 0),
        "name_api": float(low.find(b"api") >= 0 or low.find(b"access") >= 0 or low.find(b"private") >= 0),
        "name_auth": float(low.find(b"auth") >= 0 or low.find(b"cred") >= 0),
        "name_bare_key": float(low in (b"key", b"keys")),
        "name_other": float(_NAME_OTHER.search(name) is not None),
    }


def value_features(value: bytes, quoted: bool, after: bytes) -> dict[str, float]:
    """What the model sees of a value and the character after it; numbers are scaled to about 0..1."""
    size = len(value)
    digits = size - len(value.translate(None, _DIGITS))
    upper = size - len(value.translate(None, _UPPER))
    lower = size - len(value.translate(None, _LOWER))
    odd = _oddness(value)
    identifier = _IDENTIFIER.fullmatch(value) is not None
    return {
        "len": min(size, 64) / 64,
        "short": float(size < 6),
        "long": float(size > 100),
        "digits": digits / size,
        "upper": upper / size,
        "symbols": (size - digits - upper - lower) / size,
        "has_digit": float(digits > 0),
        "mixed": float(digits > 0 and lower > 0 and upper > 0),
        "digit_letter": float(digits > 0 and lower + upper > 0),
        "all_digits": float(digits == size),
        "all_lower": float(lower == size),
        "distinct": len(set(value)) / min(size, 64),
        "variety": min(len(set(value)), 32) / 32,
        "bigram": odd,
        "bigram_sum": odd * min(size, 32) / 32,
        "space": float(value.find(b" ") >= 0),
        "placeholder": float(_PLACEHOLDER.search(value) is not None),
        "self": float(_SELF.search(value) is not None),
        "expression": float(_EXPRESSION.search(value) is not None),
        "dotted": float(value.find(b".") >= 0),
        "slash": float(value.find(b"/") >= 0 or value.find(b":") >= 0),
        "identifier": float(identifier),
        "identifier_bare": float(identifier and not quoted),
        "hex": float(_HEX.fullmatch(value) is not None),
        "base64": float(_BASE64.fullmatch(value) is not None),
        "uuid": float(size == 36 and _UUID.fullmatch(value) is not None),
        "called": float(after in (b"(", b"[", b".") or (not quoted and after in (b")", b"<", b"&"))),
    }


def features(name: bytes, separator: bytes, quoted: bool, value: bytes, after: bytes) -> dict[str, float]:
    """Everything the model sees, by name."""
    return {
        **name_features(name, separator, quoted),
        **value_features(value[:_READ_MAX], quoted, after),
        "name_is_value": float(_is_same(name, value)),
    }


def score(name: bytes, separator: bytes, quoted: bool, value: bytes, after: bytes) -> float:
    """Probability that the value is a real secret."""
    total = _name_sum(name, separator, quoted) + _value_sum(value[:_READ_MAX], quoted, after)
    if _is_same(name, value):
        total += WEIGHTS.get("name_is_value", 0.0)
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


# Texts repeat the names, and logs the values: each is weighed once.
@lru_cache(maxsize=2048)
def _name_sum(name: bytes, separator: bytes, quoted: bool) -> float:
    return BIAS + _weighed(name_features(name, separator, quoted))


@lru_cache(maxsize=2048)
def _value_sum(value: bytes, quoted: bool, after: bytes) -> float:
    return _weighed(value_features(value, quoted, after))


def _weighed(seen: dict[str, float]) -> float:
    return sum(amount * WEIGHTS.get(feature, 0.0) for feature, amount in seen.items() if amount)


def _is_same(name: bytes, value: bytes) -> bool:
    return len(value) <= 64 and (value.lower() in name.lower() or name.lower() in value.lower())


def _oddness(value: bytes) -> float:
    """How unlike words the letters follow each other: 0 for plain words, towards 1 for chance."""
    total = pairs = 0
    for first, second in pairwise(value[:32].lower()):
        if 97 <= first <= 122 and 97 <= second <= 122:
            total += BIGRAMS[first * 26 + second - 2619]
            pairs += 1
    return total / pairs / 9 if pairs else 0.5
