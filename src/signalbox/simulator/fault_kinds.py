"""Every fault that can be scripted, one small function each: it edits the plan and says whether it struck."""

from __future__ import annotations

import datetime
import email.utils
import hashlib
from collections.abc import Callable

import msgspec

from signalbox.simulator import sse_edits
from signalbox.simulator.model import Ask, Face, Refusal
from signalbox.simulator.plan import Canned, Plan

_LONG_LINE_BYTES = 1_048_576
_SLICE_BYTES_MAX = 65_536
_TIME_MAX_S = 86_400.0


class Context(msgspec.Struct):
    """What a fault may look at. served: answers already given on this connection."""

    ask: Ask
    body: bytes
    face: Face
    served: int


Kind = Callable[[Plan, str, Context], bool]


def _time_s(text: str, default_s: float) -> float:
    if not text:
        return default_s
    value = float(text[:-2]) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))
    if not 0 <= value <= _TIME_MAX_S:
        raise ValueError(text)
    return value


def _count(text: str, default: int) -> int:
    value = int(text) if text else default
    if value < 0:
        raise ValueError(text)
    return value


def _cut(plan: Plan, how: str, at: int) -> bool:
    plan.cut_how, plan.cut_at = how, at
    return True


# --- before the first byte ---


def hang(plan: Plan, argument: str, context: Context) -> bool:
    """Accepts the request and never answers."""
    plan.hang = True
    return True


def reset(plan: Plan, argument: str, context: Context) -> bool:
    """TCP reset before the first byte."""
    plan.opening = "reset"
    return True


def close(plan: Plan, argument: str, context: Context) -> bool:
    """Closes the connection cleanly without any answer."""
    plan.opening = "close"
    return True


def stale(plan: Plan, argument: str, context: Context) -> bool:
    """Stale keep-alive: closes without an answer when the request came on a connection that was used before."""
    if context.served:
        plan.opening = "reset" if argument == "reset" else "close"
    return bool(context.served)


def slow_headers(plan: Plan, argument: str, context: Context) -> bool:
    """Sends the response head byte by byte; the argument is the time between bytes (1 s)."""
    plan.header_gap_s = max(0.001, _time_s(argument, 1.0))
    return True


def ttft(plan: Plan, argument: str, context: Context) -> bool:
    """Headers and first token come this much later (20 s)."""
    plan.delay_s += _time_s(argument, 20.0)
    return True


def first_token(plan: Plan, argument: str, context: Context) -> bool:
    """Headers at once, the first token this much later (20 s)."""
    plan.headers_early = True
    return ttft(plan, argument, context)


# --- in the middle ---


def reset_mid(plan: Plan, argument: str, context: Context) -> bool:
    """TCP reset after k output tokens (40); a whole answer breaks at half of its body."""
    return _cut(plan, "reset", _count(argument, 40))


def eof(plan: Plan, argument: str, context: Context) -> bool:
    """A clean HTTP end after k output tokens (40), without the protocol's terminator."""
    return _cut(plan, "eof", _count(argument, 40))


def fin(plan: Plan, argument: str, context: Context) -> bool:
    """Closes TCP after k output tokens (40), inside the HTTP body."""
    return _cut(plan, "fin", _count(argument, 40))


def half_close(plan: Plan, argument: str, context: Context) -> bool:
    """Sends FIN after k output tokens (40) and goes on reading."""
    return _cut(plan, "half", _count(argument, 40))


def stall(plan: Plan, argument: str, context: Context) -> bool:
    """Stops after k output tokens (20) for T, then goes on: stall@20/30s."""
    at, _, pause = argument.partition("/")
    plan.stall_s = _time_s(pause, 30.0)
    return _cut(plan, "stall", _count(at, 20))


def sse_error(plan: Plan, argument: str, context: Context) -> bool:
    """The protocol's own error event after k output tokens (0), then the end; status 200 all the same."""
    event = context.face.error_event(_server_error(500), "req_sim")
    plan.edits.append(sse_edits.error_after(_count(argument, 0), event))
    return True


# --- malformed streams ---


def bad_json(plan: Plan, argument: str, context: Context) -> bool:
    """The k-th event (10) is not valid JSON; the rest is normal."""
    plan.edits.append(sse_edits.bad_json(_count(argument, 10)))
    return True


def no_blank_line(plan: Plan, argument: str, context: Context) -> bool:
    """The blank line after the k-th event (3) is missing."""
    plan.edits.append(sse_edits.no_blank_line(_count(argument, 3)))
    return True


def cr(plan: Plan, argument: str, context: Context) -> bool:
    """Lines end in CR alone."""
    plan.edits.append(sse_edits.replaced(b"\n", b"\r"))
    return True


def crlf(plan: Plan, argument: str, context: Context) -> bool:
    """Lines end in CR LF."""
    plan.edits.append(sse_edits.replaced(b"\n", b"\r\n"))
    return True


def no_space(plan: Plan, argument: str, context: Context) -> bool:
    """No space after `data:` and `event:`."""
    plan.edits.append(sse_edits.no_space)
    return True


def bom(plan: Plan, argument: str, context: Context) -> bool:
    """A byte order mark before the first byte, of a stream or of a whole body."""
    plan.edits.append(sse_edits.prefixed(b"\xef\xbb\xbf"))
    plan.body_prefix = b"\xef\xbb\xbf"
    return True


def comments(plan: Plan, argument: str, context: Context) -> bool:
    """A comment line before each event."""
    plan.edits.append(sse_edits.comments)
    return True


def slices(plan: Plan, argument: str, context: Context) -> bool:
    """Writes n bytes (1) at a time, so that UTF-8 and lines are split anywhere."""
    plan.slice_bytes = min(max(1, _count(argument, 1)), _SLICE_BYTES_MAX)
    return True


def long_line(plan: Plan, argument: str, context: Context) -> bool:
    """The second event is a line of n bytes (1 MiB), valid JSON, with the padding in an unknown field."""
    size = min(_count(argument, _LONG_LINE_BYTES), 64 * _LONG_LINE_BYTES)
    plan.edits.append(sse_edits.padded(2, size))
    return True


def no_done(plan: Plan, argument: str, context: Context) -> bool:
    """The whole answer, but without the last event: [DONE], message_stop or response.completed."""
    plan.edits.append(sse_edits.without_last)
    return True


def dup_done(plan: Plan, argument: str, context: Context) -> bool:
    """The terminator comes twice."""
    plan.edits.append(sse_edits.last_twice)
    return True


def after_done(plan: Plan, argument: str, context: Context) -> bool:
    """An event of content again after the terminator."""
    plan.edits.append(sse_edits.content_after_last)
    return True


def diverge(plan: Plan, argument: str, context: Context) -> bool:
    """From the k-th token of a text or a tool's arguments (0) on, the answer differs from other providers' answers."""
    plan.diverge_at = _count(argument, 0)
    return True


# --- answers that are none ---


def html(plan: Plan, argument: str, context: Context) -> bool:
    """Status 200 (or the argument) with an HTML page."""
    status = _status(argument or "200")
    plan.canned = Canned(status, "text/html", b"<!doctype html><html><body><h1>Welcome to the proxy</h1></body></html>")
    return True


def error_body(plan: Plan, argument: str, context: Context) -> bool:
    """Status 200 with the provider's error JSON as body."""
    plan.canned = Canned(200, "application/json", context.face.error_body(_server_error(500), "req_sim"))
    return True


def empty(plan: Plan, argument: str, context: Context) -> bool:
    """Status 200 with no body at all."""
    kind = "text/event-stream; charset=utf-8" if context.ask.stream else "application/json"
    plan.canned = Canned(200, kind, b"")
    return True


def cut_json(plan: Plan, argument: str, context: Context) -> bool:
    """A whole answer whose JSON stops half way, under a correct content-length."""
    plan.truncate_body = True
    return not context.ask.stream


def wrong_type(plan: Plan, argument: str, context: Context) -> bool:
    """The right body under a wrong content-type (text/plain)."""
    plan.content_type = "text/plain"
    return True


def gzipped(plan: Plan, argument: str, context: Context) -> bool:
    """content-encoding: gzip, whatever the client accepts."""
    plan.gzip = True
    return True


def bandwidth(plan: Plan, argument: str, context: Context) -> bool:
    """At most n bytes a second (1,000)."""
    plan.bytes_per_s = max(1, _count(argument, 1_000))
    return True


# --- refusals ---


def _status(text: str) -> int:
    value = int(text)
    if not 200 <= value <= 599:
        raise ValueError(text)
    return value


def _server_error(status: int) -> Refusal:
    if status in (503, 529):
        return Refusal(status, "server_overloaded", "Overloaded")
    return Refusal(status, "server_error", "The server had an error while processing your request.")


def status(plan: Plan, argument: str, context: Context) -> bool:
    """An error status in the provider's shape: 500, 503, 529, 429@2 … A second argument is its retry-after."""
    code, _, after = argument.partition("/")
    number = _status(code)
    known = {
        401: Refusal(401, "invalid_api_key", "Incorrect API key provided: sk-sim****cret."),
        403: Refusal(403, "permission_denied", "Your account does not have access to this model."),
        404: Refusal(404, "model_not_found", "The model does not exist or you do not have access to it."),
        429: Refusal(429, "rate_limit_exceeded", "Rate limit reached for requests."),
    }
    refusal = known.get(number) or (
        _server_error(number) if number >= 500 else Refusal(number, "invalid_request", f"Simulated status {number}.")
    )
    refusal.headers = _retry_after(after)
    plan.refusal = refusal
    return True


def _retry_after(text: str) -> tuple[tuple[str, str], ...]:
    """'' for none; '2', '-1', '3600' as they are; '250ms' as retry-after-ms; 'date' or 'date30' as HTTP date."""
    if not text:
        return ()
    if text.startswith("date"):
        ahead_s = int(text[4:] or "2")
        when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead_s)
        return (("retry-after", email.utils.format_datetime(when, usegmt=True)),)
    if text.endswith("ms"):
        return (("retry-after-ms", str(int(text[:-2]))),)
    float(text)
    return (("retry-after", text),)


def quota(plan: Plan, argument: str, context: Context) -> bool:
    """429 insufficient_quota (Anthropic: 402 billing_error)."""
    number = 402 if context.ask.endpoint in ("messages", "count_tokens") else 429
    message = "You exceeded your current quota, please check your plan and billing details."
    plan.refusal = Refusal(number, "insufficient_quota", message)
    return True


def context_length(plan: Plan, argument: str, context: Context) -> bool:
    """400 context_length_exceeded, whatever the length."""
    message = "This model's maximum context length is exceeded. Please reduce the length of the messages."
    if context.ask.endpoint == "messages":
        message = f"prompt is too long: {context.ask.tokens_in} tokens > {_count(argument, 1024)} maximum"
    plan.refusal = Refusal(400, "context_length_exceeded", message, "messages")
    return True


def policy(plan: Plan, argument: str, context: Context) -> bool:
    """400 content_policy_violation."""
    message = "Your request was rejected as a result of our safety system."
    plan.refusal = Refusal(400, "content_policy_violation", message)
    return True


def prefill(plan: Plan, argument: str, context: Context) -> bool:
    """400 when the last message is the assistant's: this model continues nobody's text."""
    if context.ask.prefill:
        message = (
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
        plan.refusal = Refusal(400, "invalid_request", message, "messages")
    return context.ask.prefill


def poison(plan: Plan, argument: str, context: Context) -> bool:
    """500 whenever the body, apart from the model name, contains the argument."""
    rest = context.body.replace(context.ask.model.encode(), b"")
    struck = bool(argument) and argument.encode() in rest
    if struck:
        plan.refusal = _server_error(500)
    return struck


def poison_hash(plan: Plan, argument: str, context: Context) -> bool:
    """500 whenever the SHA-256 of the body starts with the argument (hex)."""
    struck = bool(argument) and hashlib.sha256(context.body).hexdigest().startswith(argument.lower())
    if struck:
        plan.refusal = _server_error(500)
    return struck


def redirect(plan: Plan, argument: str, context: Context) -> bool:
    """A redirect (302) to a link-local metadata address, which no client may follow."""
    target = (("location", "http://169.254.169.254/latest/meta-data/"),)
    plan.canned = Canned(_status(argument or "302"), "text/plain", b"", target)
    return True


# --- money and connections ---


def no_usage(plan: Plan, argument: str, context: Context) -> bool:
    """The answer tells no usage."""
    plan.usage = "none"
    return True


def zero_usage(plan: Plan, argument: str, context: Context) -> bool:
    """The answer tells a usage of zero."""
    plan.usage = "zero"
    return True


def wrong_usage(plan: Plan, argument: str, context: Context) -> bool:
    """The answer tells n tokens (7) more than are billed, of input and of output; n may be negative."""
    plan.usage, plan.usage_add = "wrong", int(argument or "7")
    return True


def over_max(plan: Plan, argument: str, context: Context) -> bool:
    """Bills and reports n output tokens (50) beyond what was sent, whatever max_tokens says."""
    plan.extra_tokens = _count(argument, 50)
    return True


def close_after(plan: Plan, argument: str, context: Context) -> bool:
    """Closes the idle connection after the answer (at once, or after the argument), having promised keep-alive."""
    plan.close_after_s = _time_s(argument, 0.0)
    return True


KINDS: dict[str, Kind] = {
    "hang": hang,
    "reset": reset,
    "close": close,
    "stale": stale,
    "slow_headers": slow_headers,
    "ttft": ttft,
    "first_token": first_token,
    "reset_mid": reset_mid,
    "eof": eof,
    "fin": fin,
    "half_close": half_close,
    "stall": stall,
    "sse_error": sse_error,
    "bad_json": bad_json,
    "no_blank_line": no_blank_line,
    "cr": cr,
    "crlf": crlf,
    "no_space": no_space,
    "bom": bom,
    "comments": comments,
    "slice": slices,
    "long_line": long_line,
    "no_done": no_done,
    "dup_done": dup_done,
    "after_done": after_done,
    "diverge": diverge,
    "html": html,
    "error_body": error_body,
    "empty": empty,
    "cut_json": cut_json,
    "wrong_type": wrong_type,
    "gzip": gzipped,
    "bandwidth": bandwidth,
    "status": status,
    "quota": quota,
    "context": context_length,
    "policy": policy,
    "prefill": prefill,
    "poison": poison,
    "poison_hash": poison_hash,
    "redirect": redirect,
    "no_usage": no_usage,
    "zero_usage": zero_usage,
    "wrong_usage": wrong_usage,
    "over_max": over_max,
    "close_after": close_after,
}
