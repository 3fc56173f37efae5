"""A provider's cost export as lines of cost: FOCUS, or a CSV whose columns say what they are."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from signalbox.core.errors import ConfigError

LINES_MAX = 5_000_000
FIELD_CHARS_MAX = 1 << 16
_YEARS = range(1971, 2201)
# Names of columns in lower case without spaces, underscores and dashes, the best first. FOCUS: focus.finops.org.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "cost": ("billedcost", "effectivecost", "cost", "costusd", "amountusd", "amount", "usd", "totalcost"),
    "time": ("chargeperiodstart", "date", "day", "usagedate", "starttime", "timestamp", "time", "usagedateutc"),
    "model": ("xmodel", "model", "modelname", "modelversion", "skuid", "resourcename", "lineitem", "chargedescription"),
    "attempt": ("xclientrequestid", "clientrequestid", "xattemptid", "attemptid"),
    "currency": ("billingcurrency", "currency"),
    "category": ("chargecategory",),
}


class Charge(msgspec.Struct, frozen=True):
    """One line of an export. line: its number in the file. day: UTC, ISO. attempt_id: where the provider repeats the
    id that was sent with the request, else empty."""

    line: int
    day: str
    model: str
    cost_usd: Decimal
    attempt_id: str = ""


def read_export(path: Path) -> list[Charge]:
    """All charges of a file. Raises ConfigError that names the line and what is wrong with it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return read_lines(file, str(path))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})."]) from None


def read_lines(lines: Iterable[str], name: str, lines_max: int = LINES_MAX) -> list[Charge]:
    """The same of lines with their ends. name: as messages name where they come from."""
    csv.field_size_limit(FIELD_CHARS_MAX)
    rows = csv.reader(lines)
    try:
        columns = _columns(name, next(rows, list[str]()))
        return list(_charges(name, rows, columns, lines_max))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([f"{name}: is no CSV in UTF-8 ({error})."]) from None


def _columns(name: str, head: Sequence[str]) -> dict[str, int]:
    plain = ["".join(c for c in name.lower() if c.isalnum()) for name in head]
    found = {
        what: plain.index(next(name for name in names if name in plain))
        for what, names in _COLUMNS.items()
        if any(name in plain for name in names)
    }
    missing = [what for what in ("cost", "time", "model") if what not in found]
    if missing:
        known = "; ".join(f"{what}: {', '.join(_COLUMNS[what][:4])}" for what in missing)
        raise ConfigError([f"{name}:1: no column for {', '.join(missing)}. Name it one of {known}."])
    return found


def _charges(name: str, rows: Iterator[list[str]], columns: dict[str, int], lines_max: int) -> Iterator[Charge]:
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        if number > lines_max:
            raise ConfigError([f"{name}:{number}: more than {lines_max} lines. Split the file."])
        cell = {what: row[at].strip() if at < len(row) else "" for what, at in columns.items()}
        # Taxes, credits and purchases are no usage: they are listed as what no call explains.
        label = cell["model"] if cell.get("category", "Usage") in ("Usage", "") else f"({cell['category'].lower()})"
        if cell.get("currency", "USD") not in ("USD", ""):
            raise ConfigError([f"{name}:{number}: the cost is in {cell['currency'][:16]!r}; export it in USD."])
        yield Charge(
            line=number,
            day=_day(name, number, cell["time"]),
            model=label,
            cost_usd=_cost(name, number, cell["cost"]),
            attempt_id=cell.get("attempt", ""),
        )


def _cost(name: str, line: int, text: str) -> Decimal:
    try:
        cost = Decimal(text.removeprefix("$").replace(",", "") or "0")
    except InvalidOperation:
        raise ConfigError([f"{name}:{line}: {text[:40]!r} is no amount."]) from None
    if not cost.is_finite() or abs(cost) > 10**12:
        raise ConfigError([f"{name}:{line}: {text[:40]!r} is no ordinary amount."])
    return cost


def _day(name: str, line: int, text: str) -> str:
    try:
        if text.isdecimal() and 9 <= len(text) <= 10:
            return datetime.fromtimestamp(int(text), UTC).date().isoformat()
        moment = datetime.fromisoformat(text)
        if moment.year not in _YEARS:
            raise ValueError("no year in which models were billed")
    except ValueError:
        raise ConfigError([f"{name}:{line}: {text[:40]!r} is no date. Write 2026-11-20."]) from None
    return (moment.astimezone(UTC) if moment.tzinfo is not None else moment).date().isoformat()
