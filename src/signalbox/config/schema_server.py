"""Settings of listening, conversations and the journal, each with its unit and default; part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.schema_tls import Tls
from signalbox.config.schema_words import PlaceName, Seconds


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the data plane's listening side, and its TLS."""

    tls: Annotated[Tls | None, Meta(description="TLS on the data plane's port; plain HTTP without it.")] = None
    revoked_keys: Annotated[
        Literal["finish", "end"],
        Meta(
            description="What becomes of calls under way when their key is revoked. finish: they come to their end. "
            "end: they are ended on every worker at once, as `signalbox kill` does."
        ),
    ] = "finish"
    trusted_proxies: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=64)]],
        Meta(
            max_length=100,
            description="Addresses or networks of proxies that end mutual TLS in front, and whose "
            "`x-forwarded-client-cert` is taken for the client's certificate. They have to throw away what clients "
            "send of that header themselves (Envoy: `SANITIZE_SET`, with URI or DNS set). From anywhere else it counts "
            "for nothing.",
        ),
    ] = []
    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Largest request body in bytes, after decompression.")
    ] = 32 * 1024 * 1024
    header_bytes_max: Annotated[int, Meta(ge=1024, le=1 << 20, description="Largest request head in bytes.")] = (
        64 * 1024
    )
    headers_max: Annotated[int, Meta(ge=16, le=10_000, description="Most header lines in a request.")] = 128
    heartbeat_after_s: Annotated[
        Annotated[float, Meta(gt=0, le=3600)],
        Meta(
            description="Silence of the upstream after which the head and keep-alives are sent to a streaming client."
        ),
    ] = 15.0
    header_timeout_s: Annotated[Seconds, Meta(description="For a client to send a whole request head.")] = 10.0
    body_timeout_s: Annotated[Seconds, Meta(description="Longest pause of a client that sends a body.")] = 30.0
    write_timeout_s: Annotated[Seconds, Meta(description="Longest pause of a client that takes an answer.")] = 60.0
    keepalive_s: Annotated[Seconds, Meta(description="How long an idle client connection is kept.")] = 75.0
    calls_max: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Calls at the same time in each worker; less urgent ones get less of it."),
    ] = 4096
    loop_lag_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=60_000,
            description="How long ready work may wait for its turn, on average over a moment, before all calls are "
            "turned away; less urgent ones are from a share of it on.",
        ),
    ] = 2000
    memory_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 44,
            description="Memory of each worker at which all calls are turned away, less urgent ones from a share of it "
            "on; 0 for nine tenths of the container's limit, where it has one.",
        ),
    ] = 0
    shutdown_grace_s: Annotated[
        Annotated[float, Meta(ge=0, le=3600)], Meta(description="Time for open calls to end when stopping.")
    ] = 30.0


class Conversations(Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of conversations between their calls."""

    lifetime_s: Annotated[
        float,
        Meta(
            gt=0,
            le=31_536_000,
            description="How long a conversation keeps a data class that one of its calls had; a named one begins anew "
            "with each call.",
        ),
    ] = 86_400.0
    share_provider_state: Annotated[
        bool,
        Meta(
            description="Lets tenants name stored answers, conversations and files of a provider whoever they were "
            "made for. Otherwise, while keys of several tenants exist, each may name those made for it and no other."
        ),
    ] = False


class Journal(Struct, frozen=True, forbid_unknown_fields=True):
    """How records of attempts reach the disk."""

    fsync: Annotated[
        Literal["group", "always", "off"],
        Meta(
            description="group: at most every `fsync_interval_ms`; always: before each send; off: left to the kernel."
        ),
    ] = "group"
    fsync_interval_ms: Annotated[int, Meta(ge=1, le=60_000, description="Longest time between two group commits.")] = 50
    checkpoint_every_s: Annotated[
        Seconds, Meta(description="Time between two signed checkpoints of what the journals hold; read at the start.")
    ] = 60.0
    checkpoint_anchor: Annotated[
        PlaceName | None,
        Meta(
            description="A file on other storage to which every checkpoint is appended too, so that `ledger verify "
            "--anchor` can tell a rollback or a fork; read at the start."
        ),
    ] = None
    segment_bytes_max: Annotated[
        int, Meta(ge=64 * 1024, le=1 << 34, description="Size at which a new journal file begins.")
    ] = 64 * 1024 * 1024
