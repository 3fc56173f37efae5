"""How long one attempt may be silent, where its client's time must do for the next placement too.

A client that waits ten seconds is not helped by a first token limit of sixty: the fall-over would begin when nobody
listens any more. So the time that is left is shared between the attempt and the next permitted placement that is well:

- The next one is left what it needs: the 95th percentile of what it took of late and a margin; half of the time while
  that is not known. Where it could not be on time in any case, nothing is cut: there is nothing to gain.
- The attempt gets what remains, but no more than half of the time or twice its own 99th percentile, whichever is
  longer; and never less than that percentile, so that what is merely slow is not taken for silent.
- An answer that does not stream is silent until it is whole, and long for a long answer: the next placement would take
  as long for it. It is cut only when it took twice what nearly all whole answers take, and the next placement is known
  to be quick enough. To connect takes no answer's time: that is shared in any case.

A share that was shorter than what is usual says nothing about the replica: then nobody is blamed, so that impatient
callers cannot take out of use what serves the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from signalbox.core.call import Call
from signalbox.core.snapshot import Deployment
from signalbox.routing.group import Group
from signalbox.routing.pace import Pace
from signalbox.routing.replica import SECOND_NS, Replica
from signalbox.upstream.time_share import TimeShare

# So many answers make a pace known.
SAMPLES_MIN = 20
# What the next attempt is left beside what it usually takes: to connect, and the clock of the limits.
MARGIN_NS = 300_000_000
# While nothing is known, silence for so long tells something, and so does a connection that takes a second.
SILENCE_NS = 5 * SECOND_NS
CONNECTION_NS = SECOND_NS


def is_ample(call: Call, deployment: Deployment, now_ns: int) -> bool:
    """Whether half of the time, and more, is left in any case when the deployment's own limits hold: as nearly always,
    so nothing else is asked then."""
    spent_ns = now_ns - call.received_ns
    limits = deployment.timeouts
    own_ns = (limits.headers_s if limits.headers_s > limits.first_token_s else limits.first_token_s) * SECOND_NS
    return call.patience_ns - spent_ns >= 2 * own_ns and call.workload.retries.total_ns - spent_ns - MARGIN_NS >= own_ns


def share_of(call: Call, replica: Replica, others: Iterable[Group], now_ns: int) -> TimeShare | None:
    """The share of an attempt that is about to begin, None where the deployment's own limits may hold. others: where
    the next one may go, in their order."""
    retries = call.workload.retries
    # The time of the client, and that in which the next attempt may still begin.
    left_ns = call.received_ns + call.patience_ns - now_ns
    begin_ns = call.received_ns + retries.total_ns - now_ns - MARGIN_NS
    if begin_ns <= 0 or call.attempts + 2 > retries.max_attempts:
        return None  # there will be no next one
    following = next((group for group in others if group.pick(now_ns) is not None), None)
    return _shared(call, replica, following, left_ns, begin_ns) if following is not None else None


def _shared(call: Call, replica: Replica, following: Group, left_ns: int, begin_ns: int) -> TimeShare | None:
    stream = call.envelope.stream
    half_ns = min(left_ns // 2, begin_ns)
    connect_s, connection_tells = half_ns / SECOND_NS, half_ns >= CONNECTION_NS
    need_ns = _p95_ns(following, stream)
    if not need_ns and not stream:
        return TimeShare(connect_s, connection_tells, inf, False)
    need_ns = need_ns + MARGIN_NS if need_ns else left_ns - half_ns
    if need_ns >= left_ns:
        return None
    usual_ns = _p99_ns(replica.first_token if stream else replica.whole)
    known = usual_ns > 0
    if not known and not stream:
        usual_ns = _p99_ns(*(other.whole for other in following.replicas))
    room_ns = min(left_ns - need_ns, begin_ns)
    silent_ns = min(max(2 * usual_ns, half_ns) if known or not stream else room_ns, room_ns)
    if not stream and silent_ns < 2 * usual_ns:
        return TimeShare(connect_s, connection_tells, inf, False)
    silent_ns = max(silent_ns, usual_ns)
    telling = silent_ns >= (2 * usual_ns if known else SILENCE_NS)
    return TimeShare(connect_s, connection_tells, silent_ns / SECOND_NS, telling)


def _p95_ns(group: Group, stream: bool) -> int:
    """What the slowest of its replicas takes until the first token, or in all; 0 while that is not known."""
    return max((_known(one.first_token if stream else one.whole, 0.95) for one in group.replicas), default=0)


def _p99_ns(*paces: Pace) -> int:
    return max((_known(pace, 0.99) for pace in paces), default=0)


def _known(pace: Pace, share: float) -> int:
    return pace.quantile_ns(share) if pace.samples >= SAMPLES_MIN else 0
