"""How numbers, times and names are written on pages and in exports, so that nothing a caller names does anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unicodedata import combining, east_asian_width

from markupsafe import Markup

from signalbox.core.usage import PICO, usd
from signalbox.ledger.query import iso_time

# Controls, and characters that are not seen but turn text around, join it or hide in it.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_CENT, _TEN_MICRO = Decimal("0.01"), Decimal("0.00001")
# Marks that stack up on one letter: more than anybody writes cover the lines above, and take browsers minutes.
_STACKED = re.compile("([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{8})"
                      "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")  # fmt: skip
SHORT = 120
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def plain(value: object) -> object:
    """Text with everything unseen spelled out; other values as they are. Applied to all that templates print."""
    # What is printable has none of them, and nearly everything is.
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    if not value.isprintable():
        value = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return _STACKED.sub(r"\1…", value)


def short(text: object) -> str:
    """A name in a list: what is longer than any name ends in an ellipsis; where it is told alone it is whole."""
    said = str(plain(str(text)))
    return said if len(said) <= SHORT else f"{said[: SHORT - 1]}…"


def fitted(text: object, room_em: float) -> str:
    """A name in a drawing, where nothing wraps: cut to the room by what its letters take in the widest bold face."""
    said, taken, kept = str(plain(str(text))), 0.0, 0
    for place, letter in enumerate(said):
        taken += _width_em(letter)
        if taken <= room_em - 1:
            kept = place + 1
        elif taken > room_em:
            return f"{said[:kept]}…"
    return said


def _width_em(letter: str) -> float:
    if combining(letter):
        return 0.0
    if letter in "mwMW@%" or east_asian_width(letter) in "WF":
        return 1.1
    if letter in "ijlrtfI .,:;'|!-()[]":
        return 0.45
    return 0.84 if letter.isupper() or letter in "<>=+_~#&" else 0.69


def cell(value: object) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula."""
    if isinstance(value, bool | int | float | Decimal):
        return str(value)
    text = "" if value is None else str(plain(str(value)))
    return f"'{text}" if text.startswith(_FORMULA) else text


def money(pico: int | None) -> str:
    """Dollars with as many digits as tell something, and few enough to be held against each other in a column:
    $1,234.56, $0.0421, $0.000332, $0.00000332."""
    if pico is None:
        return "unpriced"
    amount = Decimal(pico) / PICO
    if amount == 0:
        return "$0"
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    places = 4 if abs(amount) >= _CENT else 6 if abs(amount) >= _TEN_MICRO else min(12, 2 - amount.adjusted())
    return f"${amount:.{places}f}"


def dollars(amount: float | str | Decimal) -> str:
    """An amount that is in dollars already: $1,234.56."""
    return f"${Decimal(str(amount)):,.2f}"


def rate(micro: float) -> str:
    """Dollars for a million of something, from millionths of a dollar each: 0.25, 10.00, 0.075."""
    text = f"{Decimal(str(micro)) / 1_000_000:,.6f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<2}"


def exact(pico: int | None) -> str:
    return "unpriced" if pico is None else f"${usd(pico)}"


def count(number: float) -> str:
    """12,345, and 1.2 M from a million on."""
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if abs(number) >= size:
            return f"{number / size:.1f} {unit}"
    return f"{int(number):,}"


def moment(time_ms: int) -> str:
    """2026-11-21 00:05:17, UTC."""
    return iso_time(time_ms)[:19].replace("T", " ")


def ago(time_ms: int, now_ms: int) -> str:
    seconds = max(0, (now_ms - time_ms) // 1000)
    if seconds < 60:
        return f"{seconds} s ago"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 86_400 * 2:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 86_400} d ago"


def day_of(time_ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).date().isoformat()


def share(part: float, whole: float) -> str:
    """12.3 %, and nothing where there is no whole."""
    return f"{part / whole:.1%}".replace("%", " %") if whole else "–"


def took(ms: int) -> str:
    """820 ms, 1.53 s, 41.0 s, 12 min."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 10_000:
        return f"{ms / 1000:.2f} s"
    return f"{ms / 1000:.1f} s" if ms < 600_000 else f"{ms // 60_000:,} min"


def pace(values: Sequence[float] | None) -> str:
    """Milliseconds, median and 95th, in one unit: 210 / 821 ms, 1.64 / 5.00 s, 9.1 / 9.2 ms."""
    if not values:
        return "–"
    most = max(values)
    if most < 1000:
        return f"{' / '.join(f'{value:.1f}' if most < 10 else f'{value:.0f}' for value in values)} ms"
    return f"{' / '.join(f'{value / 1000:,.2f}' for value in values)} s"
