"""What Prometheus would say of a query, as far as ours go: its grammar, what functions take, and which labels are left,
so that a query that can never match or a quantile without its buckets is found without promtool."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?![\w.])|(?P<word>[a-zA-Z_][\w:]*)|(?P<text>"[^"]*")|(?P<range>\[[^\]]+\])
    |(?P<op>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},]))""",
    re.VERBOSE,
)
DURATION = re.compile(r"\[(?:\$__rate_interval|[1-9]\d*[smhdw])\]")
AGGREGATES = {"sum", "max", "min", "avg", "count"}
LEVELS = ({"or"}, {"and", "unless"}, {"==", "!=", ">", "<", ">=", "<="}, {"+", "-"}, {"*", "/", "%"})


@dataclass(frozen=True)
class Series:
    """kind: scalar, instant or range. labels: left on an instant. counts: it only ever rises."""

    kind: str
    labels: frozenset[str] = frozenset()
    counts: bool = False


class Wrong(ValueError):
    """Prometheus would refuse it, or it would match nothing."""


def check(query: str, metrics: Mapping[str, Series]) -> Series:
    """metrics: by the name of their series. Raises Wrong."""
    return _Parser(query, metrics).whole()


class _Parser:
    def __init__(self, query: str, metrics: Mapping[str, Series]) -> None:
        self._tokens = _tokens(query)
        self._metrics = metrics
        self._functions: dict[str, Callable[[], Series]] = {
            "rate": self._rate, "increase": self._rate, "histogram_quantile": self._quantile,
        }  # fmt: skip

    def whole(self) -> Series:
        found = self._binary(0)
        if self._tokens:
            raise Wrong(f"{self._tokens[0][1]!r} is too much")
        return found

    def _binary(self, level: int) -> Series:
        if level == len(LEVELS):
            return self._one()
        left = self._binary(level + 1)
        while self._tokens and self._tokens[0][1] in LEVELS[level]:
            op = self._tokens.pop(0)[1]
            left = _joined(op, left, self._binary(level + 1))
        return left

    def _one(self) -> Series:
        kind, text = self._next()
        if kind == "number":
            return Series("scalar")
        if text == "(":
            found = self._binary(0)
            self._take(")")
            return found
        if kind != "word":
            raise Wrong(f"{text!r} stands where a value should")
        if text in AGGREGATES:
            return self._aggregate()
        if text in self._functions:
            self._take("(")
            found = self._functions[text]()
            self._take(")")
            return found
        return self._selector(text)

    def _aggregate(self) -> Series:
        by: frozenset[str] = frozenset()
        if self._tokens and self._tokens[0][1] == "by":
            self._next()
            by = frozenset(self._names())
        self._take("(")
        found = self._binary(0)
        self._take(")")
        if found.kind != "instant" or not by <= found.labels:
            raise Wrong(f"by {sorted(by)} of a {found.kind} with {sorted(found.labels)}")
        return Series("instant", by)

    def _rate(self) -> Series:
        found = self._binary(0)
        if found.kind != "range" or not found.counts:
            raise Wrong("a rate is of a counter over a range")
        return Series("instant", found.labels)

    def _quantile(self) -> Series:
        share = self._binary(0)
        self._take(",")
        found = self._binary(0)
        if share.kind != "scalar" or found.kind != "instant" or "le" not in found.labels:
            raise Wrong("a quantile is of buckets by le")
        return Series("instant", found.labels - {"le"})

    def _selector(self, name: str) -> Series:
        found = self._metrics.get(name)
        if found is None:
            raise Wrong(f"there is no {name}")
        if self._tokens and self._tokens[0][1] == "{":
            self._matchers(found)
        if not self._tokens or self._tokens[0][0] != "range":
            return Series("instant", found.labels, found.counts)
        span = self._next()[1]
        if not DURATION.fullmatch(span):
            raise Wrong(f"{span} is no time")
        return Series("range", found.labels, found.counts)

    def _matchers(self, series: Series) -> None:
        self._take("{")
        while True:
            label, op, value = self._next()[1], self._next()[1], self._next()
            if label not in series.labels or op not in ("=", "!=", "=~", "!~") or value[0] != "text":
                raise Wrong(f"{label}{op}{value[1]} matches nothing that there is")
            if "~" in op and not value[1].startswith('"$'):
                re.compile(value[1][1:-1])
            if self._next()[1] == "}":
                return

    def _names(self) -> list[str]:
        self._take("(")
        names = [self._next()[1]]
        while self._tokens and self._tokens[0][1] == ",":
            self._next()
            names.append(self._next()[1])
        self._take(")")
        return names

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise Wrong("it ends too early")
        return self._tokens.pop(0)

    def _take(self, wanted: str) -> None:
        found = self._next()[1]
        if found != wanted:
            raise Wrong(f"{found!r} stands where {wanted!r} should")


def _joined(op: str, left: Series, right: Series) -> Series:
    if "range" in (left.kind, right.kind):
        raise Wrong(f"{op} takes no range")
    if "scalar" in (left.kind, right.kind):
        if op in ("and", "or", "unless"):
            raise Wrong(f"{op} takes no number")
        return right if left.kind == "scalar" else left
    if op != "or" and left.labels != right.labels:
        raise Wrong(f"{op} of {sorted(left.labels)} and {sorted(right.labels)} matches nothing")
    return Series("instant", left.labels)


def _tokens(query: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while query[at:].strip():
        token = TOKEN.match(query, at)
        if token is None or token.lastgroup is None:
            raise Wrong(f"{query[at : at + 20]!r} cannot be read")
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found
