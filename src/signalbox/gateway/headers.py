"""Every HTTP header that the data plane reads, sends on or writes: what docs/reference/headers.md is made from.

Data only. A test reads the header names out of this folder's code and out of real answers, and fails when one is
missing here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Side = Literal["read", "forwarded", "written", "passed"]


class Header(msgspec.Struct, frozen=True):
    """One header. name: lower case; a trailing `*` stands for any ending.

    side: read from the client, forwarded from the client to the provider, written by the gateway, or passed from the
    provider's answer to the client. where: which requests or answers carry it.
    """

    name: str
    side: Side
    where: str
    meaning: str


_UNDER_A_LIMIT = "answers and errors of calls under a limit"
_OF_MESSAGES = "the same of messages, count_tokens"

HEADERS: tuple[Header, ...] = (
    Header("authorization", "read", "every call", "`Bearer sb-...`: the virtual key. No other scheme is taken."),
    Header("x-api-key", "read", "every call", "The virtual key, as Anthropic's clients send it."),
    Header(
        "api-key",
        "read",
        "every call",
        "The virtual key, as Azure's clients send it. Two different credentials in one request are a 401.",
    ),
    Header(
        "x-forwarded-client-cert",
        "read",
        "every call",
        "From an address in `server.trusted_proxies`: the client's certificate, as the proxy checked it. From anywhere "
        "else it counts for nothing.",
    ),
    Header(
        "x-signalbox-workload",
        "read",
        "calls",
        "The workload to run in, when `model` must stay the name of a model. The key must be allowed to use it.",
    ),
    Header(
        "x-signalbox-data",
        "read",
        "calls",
        "Data classes of this call, comma separated (`phi,personal`). They raise the workload's, never lower them.",
    ),
    Header(
        "x-signalbox-session",
        "read",
        "calls",
        "The name of the conversation. A data class that one of its calls had stays with all later ones.",
    ),
    Header("x-claude-code-session-id", "read", "calls", "The same, as Claude Code sends it."),
    Header("session-id", "read", "calls", "The same, as Codex sends it."),
    Header("thread-id", "read", "calls", "The same, of one thread of Codex."),
    Header(
        "idempotency-key",
        "read",
        "calls",
        "The caller's own key of this very call: within 24 hours the same body gets the first answer again and is "
        "billed once, another body is a 409.",
    ),
    Header(
        "x-signalbox-cache",
        "read",
        "calls of workloads with a cache",
        "`off` neither looks up nor keeps; `refresh` asks anew and keeps the answer. So do `cache-control: no-store` "
        "and `no-cache`.",
    ),
    Header(
        "x-signalbox-cache-scope",
        "read",
        "calls of workloads with a cache",
        "Anything else that an answer depends on, such as the version of a corpus: only calls with the same share one.",
    ),
    Header(
        "x-signalbox-approve-tools",
        "read",
        "calls",
        "Names of tools, comma separated, that the model may call although it read untrusted content; for workloads "
        "whose guard `injection` says `after_untrusted: approve`.",
    ),
    Header("x-signalbox-tags", "read", "calls", "Up to 8 tags, comma separated: whose cost this is. The first counts."),
    Header(
        "x-stainless-timeout",
        "read",
        "calls",
        "Seconds that the client waits for the next byte, as the official SDKs say it: no attempt begins later, a"
        " silent placement leaves the next one enough of it, and a call that no placement has ever answered so quickly"
        " is refused at once. It does not bound a stream whose heartbeats begin before it is over.",
    ),
    Header("x-stainless-read-timeout", "read", "calls", "The same, as the Python libraries say it."),
    Header(
        "x-stainless-retry-count",
        "read",
        "calls",
        "How often the client's library has tried this call before: what its tries may ask of placements that fail is"
        " bounded together.",
    ),
    Header(
        "x-request-timeout",
        "read",
        "calls",
        "The same in seconds or as `500ms`, for the answer whatever heartbeats come before it.",
    ),
    Header("grpc-timeout", "read", "calls", "The same as `x-request-timeout`, as `10S` or `500m`."),
    Header("content-type", "read", "calls", "Must be `application/json` when present."),
    Header("content-encoding", "read", "calls", "`gzip` or `identity`; the size limit holds after decompression."),
    Header("content-length", "read", "calls", "Checked against `server.body_bytes_max` before the body is read."),
    Header("transfer-encoding", "read", "calls", "`chunked`, in HTTP/1.1 only."),
    Header("host", "read", "every request", "Exactly one in HTTP/1.1."),
    Header("expect", "read", "calls", "`100-continue` is answered once the headers are accepted."),
    Header("upgrade", "read", "every request", "Offers to switch protocols are ignored, as HTTP allows."),
    Header("http2-settings", "read", "every request", "Part of an offer to switch protocols: ignored."),
    Header("connection", "read", "every request", "`close` ends the connection after the answer."),
    Header(
        "anthropic-*",
        "forwarded",
        "messages, count_tokens",
        "Goes to the provider as it is, such as `anthropic-beta`, unless the deployment sets the same header or its"
        " name says that it chooses an account or a credential. Features that the deployment does not know (its"
        " `capabilities.betas`), and all of them where the call is translated, are named in `x-signalbox-dropped`.",
    ),
    Header(
        "openai-beta", "forwarded", "OpenAI-style providers", "Goes to the provider as it is, and is told likewise."
    ),
    Header(
        "idempotency-key",
        "forwarded",
        "calls",
        "Goes to the provider hashed together with the virtual key, so that two callers' keys never meet.",
    ),
    Header("content-type", "written", "every answer", "`application/json`, or `text/event-stream` for streams."),
    Header("content-length", "written", "answers that do not stream", "Bytes of the body."),
    Header("transfer-encoding", "written", "streams", "`chunked`; HTTP/1.0 clients get the stream until the close."),
    Header("cache-control", "written", "streams", "`no-cache`."),
    Header("connection", "written", "last answer of a connection", "`close`."),
    Header("x-request-id", "written", "every answer", "The call's id, as in the ledger's `call_id`."),
    Header("request-id", "written", "every answer", "The same, where Anthropic's clients look for it."),
    Header(
        "x-signalbox-placement",
        "written",
        "answers of a provider",
        "`<deployment>@<environment>`: where the call went.",
    ),
    Header(
        "x-signalbox-reason",
        "written",
        "answers to calls, errors",
        "Why it went there (`<strategy>:<workload>`, `pinned:<deployment>`), or the error's code.",
    ),
    Header(
        "x-signalbox-cost-usd",
        "written",
        "answers that do not stream",
        "What the attempt cost, as an exact decimal; absent when its price is unknown.",
    ),
    Header(
        "x-signalbox-max-tokens",
        "written",
        "answers under a hard budget",
        "The output limit that was written into the request because no more is affordable, or because nobody could "
        "watch what the answer uses.",
    ),
    Header(
        "x-signalbox-cache",
        "written",
        "answers of workloads with a cache",
        "`hit; kind=exact; age=12` for an answer that was given before, so many seconds ago (`joined`: to an equal "
        "call that was under way), `miss` for a new one.",
    ),
    Header(
        "x-signalbox-dropped",
        "written",
        "translated answers, deployments with `capabilities.betas`",
        "Request parameters that the provider's protocol cannot carry and that were left out; beta features that it was"
        " not told of, such as `anthropic-beta.context-1m-2025-08-07`.",
    ),
    Header(
        "server-timing",
        "written",
        "answers of a provider",
        "Milliseconds: `auth`, `policy`, `queue`, `connect`, `ttfb` and `total` up to the head of this answer.",
    ),
    Header(
        "x-ratelimit-limit-requests",
        "written",
        _UNDER_A_LIMIT,
        "The caller's own limit of calls of which the least is left: of its tenant, team, key, workload, user or "
        "session. With several worker processes, as the one that answers knows it.",
    ),
    Header("x-ratelimit-remaining-requests", "written", _UNDER_A_LIMIT, "Calls that are left of it."),
    Header("x-ratelimit-reset-requests", "written", _UNDER_A_LIMIT, "When its window ends, as `59s` or `1h0m30s`."),
    Header("x-ratelimit-limit-tokens", "written", _UNDER_A_LIMIT, "The same of tokens."),
    Header(
        "x-ratelimit-remaining-tokens",
        "written",
        _UNDER_A_LIMIT,
        "Tokens that are left of it. What calls under way have reserved is not.",
    ),
    Header("x-ratelimit-reset-tokens", "written", _UNDER_A_LIMIT, "When its window ends."),
    Header("anthropic-ratelimit-requests-limit", "written", _OF_MESSAGES, "The same to clients of the Messages API."),
    Header("anthropic-ratelimit-requests-remaining", "written", _OF_MESSAGES, "Calls that are left of it."),
    Header("anthropic-ratelimit-requests-reset", "written", _OF_MESSAGES, "When its window ends, as RFC 3339 has it."),
    Header("anthropic-ratelimit-tokens-limit", "written", _OF_MESSAGES, "The same of tokens."),
    Header("anthropic-ratelimit-tokens-remaining", "written", _OF_MESSAGES, "Tokens that are left of it."),
    Header("anthropic-ratelimit-tokens-reset", "written", _OF_MESSAGES, "When its window ends."),
    Header("x-should-retry", "written", "errors", "`false` where trying again cannot help; official SDKs obey it."),
    Header("retry-after", "written", "errors", "Seconds to wait, where that is known; at least 1."),
    Header(
        "x-signalbox-upstream-request-id",
        "passed",
        "answers of a provider",
        "The provider's own request id (its `request-id`, `x-request-id`, `apim-request-id` or `x-ms-request-id`).",
    ),
    Header(
        "x-ratelimit-*",
        "passed",
        "answers of a provider",
        "The provider's rate limits, as it tells them; not to callers with limits of their own.",
    ),
    Header("anthropic-ratelimit-*", "passed", "answers of a provider", "The same, of Anthropic."),
    Header("openai-processing-ms", "passed", "answers of a provider", "The provider's own time, in milliseconds."),
    Header("openai-version", "passed", "answers of a provider", "The provider's API version."),
    Header("x-should-retry", "passed", "errors of a provider", "The provider's advice."),
    Header("retry-after", "passed", "errors of a provider", "The provider's advice, at most 60 seconds."),
    Header("retry-after-ms", "passed", "errors of a provider", "The same in milliseconds, at most 60,000."),
)
