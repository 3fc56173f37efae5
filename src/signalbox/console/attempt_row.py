"""One row of the page Requests as HTML. Not a template: the live tail draws fifty a second beside the calls, and a
template takes four times as long over each."""

from __future__ import annotations

from urllib.parse import quote

from markupsafe import Markup, escape

from signalbox.console import words
from signalbox.core.attempts import AttemptRow

TONES = {
    "settled": "good", "failed": "bad", "unknown": "warn", "cancelled": "plain", "open": "live", "cached": "live",
}  # fmt: skip


def attempt_row(row: AttemptRow) -> Markup:
    """Everything in it that a caller, a model or an operator named is escaped here."""
    call, time = _text(quote(row.call_id, safe="/")), words.moment(row.time_ms)
    is_open = row.state == "open"
    tokens_in = row.tokens_in + row.audio_in + row.cache_read + row.cache_write_5m + row.cache_write_1h
    tokens_out = row.tokens_out + row.reasoning + row.audio_out
    tried = f' <span class="quiet">try {row.attempt}</span>' if row.attempt > 1 else ""
    return Markup(  # noqa: S704  (of texts that were escaped, and numbers)
        f'<tr>\n<td><a href="/requests/{call}" hx-get="/requests/{call}" hx-target="#drawer" hx-swap="innerHTML"'
        f' data-drawer><time><span class="date">{time[:10]} </span>{time[11:]}</time></a></td>'
        f'<td><span class="tag tag-{TONES.get(row.state, "plain")}">{_text(row.state)}</span></td>'
        f'<td class="clip">{_text(row.workload)}</td>'
        f'<td class="clip">{_text(row.deployment)}<span class="quiet"> @ {_text(row.environment)}</span>{tried}</td>'
        f'<td class="wide">{"".join(map(_label, row.labels))}</td>'
        f'<td class="num wide">{words.count(tokens_in)} / {words.count(tokens_out)}</td>'
        f'<td class="num">{"–" if is_open else words.money(row.cost_pico)}</td>'
        f'<td class="num wide">{words.took(row.ttft_ms) if row.ttft_ms else "–"}</td>'
        f'<td class="num wide">{"–" if is_open else words.took(row.duration_ms)}</td>\n</tr>\n'
    )


def _text(text: str) -> Markup:
    return escape(words.short(text))


def _label(name: str) -> str:
    return f'<span class="label{" label-restricted" if name == "restricted" else ""}">{_text(name)}</span>'
