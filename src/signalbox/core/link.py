"""What supervisor and workers say to each other: msgpack messages with a four-byte length before each."""

from __future__ import annotations

import msgspec

from signalbox.core.budgets import LeaseAsk, Lent
from signalbox.core.issuers import KeySet
from signalbox.core.ports import VirtualKey

# What a worker prints when its link is gone; also the bound on one message.
MESSAGE_BYTES_MAX = 256 * 1024 * 1024


class ApplyConfig(msgspec.Struct, frozen=True, tag=True):
    """Put this text in force. The worker compiles the same bytes as the supervisor did."""

    text: bytes
    name: str
    generation: int


class EndLapsed(msgspec.Struct, frozen=True, tag=True):
    """What has lapsed by today counts as absent from now on, everything else in force stays: for a day on which the
    configuration in force can no longer be compiled. Answered with Applied."""

    generation: int


class ApplyKeys(msgspec.Struct, frozen=True, tag=True):
    pepper: bytes
    keys: list[VirtualKey]


class ApplyKeySets(msgspec.Struct, frozen=True, tag=True):
    """The key sets of all issuers whose keys are fetched, in place of those before."""

    sets: list[KeySet]


class AskMetrics(msgspec.Struct, frozen=True, tag=True):
    ticket: int


class Drain(msgspec.Struct, frozen=True, tag=True):
    grace_s: float


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Begin to accept on the inherited socket."""


class Lend(msgspec.Struct, frozen=True, tag=True):
    """The answer to AskLeases, in the order of its asks; empty when nobody can tell. It is not answered."""

    ticket: int
    lent: list[Lent]


class Recall(msgspec.Struct, frozen=True, tag=True):
    """Give back what you do not use of these accounts: others need it. It is not answered but by AskLeases."""

    accounts: list[str]


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End every running stream of somebody, and take no new call of theirs before `until_ms`. scope: of SCOPES."""

    scope: str
    name: str
    until_ms: int


Order = ApplyConfig | EndLapsed | ApplyKeys | ApplyKeySets | AskMetrics | Listen | Drain | Lend | Recall | Stop


class Applied(msgspec.Struct, frozen=True, tag=True):
    """A worker's answer to ApplyConfig and EndLapsed; error is empty when it is in force."""

    generation: int
    error: str


class Exported(msgspec.Struct, frozen=True, tag=True):
    """A worker's metrics: the msgpack form of telemetry.metrics.Export."""

    ticket: int
    export: bytes


class Serving(msgspec.Struct, frozen=True, tag=True):
    """The worker accepts calls."""

    chain: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """The order was carried out and there is nothing more to say."""


class AskLeases(msgspec.Struct, frozen=True, tag=True):
    """A worker asks by itself, at any time. holder: its journal chain."""

    ticket: int
    holder: str
    asks: list[LeaseAsk]


class WantKeys(msgspec.Struct, frozen=True, tag=True):
    """A worker saw a token whose key it does not know. It is not answered but by ApplyKeySets, if there are others."""

    issuer: str


Report = Applied | Exported | Serving | Done | AskLeases | WantKeys
