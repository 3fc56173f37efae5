"""What to try next: one call's way through its choices, within its attempts, its time, its money and retry budgets."""

from __future__ import annotations

from signalbox.core.call import Call, Reply
from signalbox.core.errors import UpstreamAnswer, UpstreamFault, forget_frames
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.affinity import conversation_key, prompt_blocks
from signalbox.pipeline.blame import Blame, check_quarantine
from signalbox.pipeline.bonding import bond_of, holders, tie
from signalbox.pipeline.client_tries import tries_before
from signalbox.pipeline.sharing_time import is_ample, share_of
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.verdict import (
    AGAIN,
    LARGER,
    NOBODY,
    OVERLOAD,
    STOP,
    Failure,
    Ours,
    Verdict,
    judge,
    told,
)
from signalbox.routing.bonds import Bond
from signalbox.routing.group import Group
from signalbox.routing.replica import SECOND_NS, Replica
from signalbox.routing.retry import RETRY_AFTER_S_MAX, pause_s, retry_after_s
from signalbox.upstream.time_share import TimeShare

PAUSE_S_MAX = 4.0
OVERFLOW = "overflow"
# Nothing was sent: the address cannot be reached, from here or by anybody.
UNCONNECTED = ("connect", "dns")
# What a caller is told to wait where nobody knows better.
RETRY_AFTER_S = 2.0


class Pursuit:
    """The state of one call between its attempts.

    deployment, replica: what to try now, set by `advance`. asleep: it scales to zero, and was found there. fault,
    failed_at: the last failure that says something, and whose it is. pause_s: how long to wait before `advance` is
    asked again, set by `failed`.
    """

    __slots__ = (
        "_again",
        "_blame",
        "_blocks",
        "_bond",
        "_call",
        "_choices",
        "_ended",
        "_fleet",
        "_larger_than",
        "_later",
        "_once",
        "_position",
        "_reply",
        "_retrying",
        "_stages",
        "_tries",
        "asleep",
        "deployment",
        "failed_at",
        "fault",
        "pause_s",
        "replica",
    )

    deployment: Deployment
    replica: Replica
    asleep: bool

    def __init__(self, call: Call, reply: Reply, stages: Stages) -> None:
        self._call = call
        self._reply = reply
        self._stages = stages
        fleet = self._fleet = stages.fleet
        self._choices: tuple[Deployment, ...] = call.decision.choices if call.decision is not None else ()
        self._position = 0
        # Choices that rest, tried when nothing else is left.
        self._later: list[Deployment] | None = None
        self._retrying: Group | None = None
        # The client's library repeats the call, and what is asked now is known to fail: one attempt is enough.
        self._once = False
        self.fault: Failure | None = None
        call.detour = ""
        self._bond: Bond | None = None
        # Of the prompt, once a deployment with several replicas asks for them.
        self._blocks: list[int] | None = None
        envelope = call.envelope
        if fleet.bonds.known and (envelope.stateful or envelope.opaque):
            bond = self._bond = bond_of(call, fleet.bonds)
            if bond is not None:
                self._choices = holders(call, fleet, self._choices, bond)
        if fleet.quarantine.until:
            check_quarantine(call, fleet.quarantine)

    def _begin_failing(self) -> None:
        """What only calls need that have failed once."""
        self._ended = False
        self._again: tuple[Deployment, Replica] | None = None
        # How often each deployment was tried, by index.
        self._tries: dict[int, int] = {}
        self._larger_than: Deployment | None = None
        self._blame = Blame(self._call, self._stages)
        self.failed_at: Deployment = self.deployment

    # --- what next ---

    def advance(self) -> bool:
        """Sets what to try now; False when nothing is left, or nothing more may be tried."""
        if self.fault is None:
            # The ordinary case: nothing has failed yet, and the first choice is well.
            now_ns = self._call.decided_ns
        else:
            if self._ended or not self._may_go_on():
                return False
            now_ns = self._stages.now_ns()
            again, self._again = self._again, None
            if again is not None:
                self.deployment, self.replica = again
                self.asleep = self.group.asleep
                return True
        choices, groups = self._choices, self._fleet.groups
        while self._position < len(choices):
            deployment = choices[self._position]
            self._position += 1
            group = groups[deployment.index]
            replica = self._near(group, now_ns) if len(group.replicas) > 1 else group.pick(now_ns)
            if (
                replica is None
                or (group.gauge is not None and self._spills(group))
                or (group.shares is not None and not group.shares.room(self._call.workload.name, now_ns))
            ):
                self._later = [*(self._later or ()), deployment]
            elif (not replica.failures and self.fault is None) or self._may_ask(deployment, group, now_ns):
                break
        else:
            later = self._from_later(now_ns)
            if later is None:
                return False
            deployment, group, replica = later
        group.attempts += 1
        self.deployment, self.replica, self.asleep = deployment, replica, group.asleep
        return True

    def _from_later(self, now_ns: int) -> tuple[Deployment, Group, Replica] | None:
        """The first of those that were passed over and may be tried after all: they rest, or are full."""
        while self._later:
            deployment = self._later.pop(0)
            group = self._fleet.groups[deployment.index]
            replica = group.pick(now_ns, resting=True)
            if group.shares is not None and not group.shares.room(self._call.workload.name, now_ns):
                continue
            if replica is not None and self._may_ask(deployment, group, now_ns):
                return deployment, group, replica
        return None

    def beside(self) -> bool:
        """Sets what a second attempt beside the one under way may go to; False when there is none, or it is not
        allowed: it counts as a retry of whoever would get it."""
        retries = self._call.workload.retries
        if self._call.attempts >= retries.max_attempts or retries.max_attempts < 2 or not self.advance():
            return False
        if not self._may_retry(self.group, self._stages.now_ns()):
            self.put_back(self.deployment)
            return False
        self._call.detour = f"hedge:{self._call.workload.name}"
        return True

    def put_back(self, deployment: Deployment) -> None:
        """The second attempt that was to be made there was not: it may be tried once the first one has failed."""
        self._later = [*(self._later or ()), deployment]

    def _may_ask(self, deployment: Deployment, group: Group, now_ns: int) -> bool:
        """Not where it could do no better than what failed. To fall over is free; to one that fails as well it is a
        retry like any other. When a client's library repeats the call, one that fails is asked once, before any other;
        and not at all as long as the tries before have had as many attempts as there are placements: together they
        are to make no more than that, or than two and one for each repeat."""
        if self.fault is not None and not self._could_do_better(deployment):
            return False
        if not (group.enabled and group.failing):
            return True
        before = tries_before(self._call)
        if before:
            self._once = self.fault is None and before + 2 > len(self._choices)
            return self._once
        return self.fault is None or self._may_retry(group, now_ns)

    def _spills(self, group: Group) -> bool:
        """Whether a call of strategy overflow goes past this one, because it is full and another one has room."""
        gauge = group.gauge
        if gauge is None or self._call.workload.strategy != OVERFLOW or self._call.pinned is not None:
            return False
        why = group.full_why
        now_ns = self._call.decided_ns
        others = self._choices[self._position :]
        if not why or not any(self._fleet.of(one).pick(now_ns) is not None for one in others):
            gauge.stayed()
            return False
        if not gauge.may_spill(self._call.workload.spill_share_max):
            return False
        self._call.detour = f"overflow:{self._call.workload.name}:{why}"
        self._stages.metrics.add(("signalbox_overflows_total", self._call.workload.name, why))
        return True

    def _near(self, group: Group, now_ns: int) -> Replica | None:
        """The replica that knows the call's beginning: that holds its state, else whose cache holds most of it."""
        if self._bond is not None:
            return group.pick(now_ns, key=self._bond.key)
        if not group.enabled:
            return group.pick(now_ns)
        if self._blocks is None:
            self._blocks = prompt_blocks(self._call)
        return group.pick(now_ns, key=conversation_key(self._call), blocks=self._blocks)

    def _could_do_better(self, deployment: Deployment) -> bool:
        """After a context overflow: only a larger window, and where windows are not stated another model."""
        than = self._larger_than
        if than is None:
            return True
        if deployment.context_tokens and than.context_tokens:
            return deployment.context_tokens > than.context_tokens
        return deployment.model != than.model

    @property
    def group(self) -> Group:
        return self._fleet.groups[self.deployment.index]

    def _fell_asleep(self, failure: Failure, group: Group) -> bool:
        """Whether what failed scales to zero and is there: then it is to be woken, once for each call, not blamed."""
        if not self.deployment.wake_hold_ns or self._tries[self.deployment.index] > 1:
            return False
        if isinstance(failure, UpstreamAnswer):
            nobody_there = failure.status == 503
        else:
            nobody_there = isinstance(failure, UpstreamFault) and failure.kind in UNCONNECTED
        if nobody_there:
            group.asleep = True
            self._again = (self.deployment, self.replica)
        return nobody_there

    def _may_go_on(self) -> bool:
        call = self._call
        retries = call.workload.retries
        if call.attempts >= retries.max_attempts:
            return False
        if retries.cost_pico is not None and call.spent_pico >= retries.cost_pico:
            return False
        return self._left_ns(self._stages.now_ns()) > 0

    def _left_ns(self, now_ns: int) -> int:
        """The time in which attempts of this call may still begin."""
        call = self._call
        return call.received_ns + min(call.workload.retries.total_ns, call.patience_ns) - now_ns

    def hold_s(self) -> float:
        """How long this call may wait for a backend that is being woken: while it may still be sent there, and where
        another placement may be tried instead, half of the time that its client has left."""
        call, now_ns = self._call, self._stages.now_ns()
        left_ns = self._left_ns(now_ns)
        if self._others(now_ns):
            left_ns = min(left_ns, (call.received_ns + call.patience_ns - now_ns) // 2)
        return max(0, left_ns) / SECOND_NS

    def share(self) -> TimeShare | None:
        """What the attempt that is about to begin may take of its client's time, so that the next placement still has
        enough of it; None for what its deployment allows."""
        now_ns = self._stages.now_ns()
        if is_ample(self._call, self.deployment, now_ns) or not self._untried():
            return None
        return share_of(self._call, self.replica, map(self._fleet.of, self._waiting()), now_ns)

    def _may_retry(self, group: Group, now_ns: int) -> bool:
        self._done_retrying()
        if not group.budget.take(now_ns, group.attempts, group.active):
            self._stages.metrics.add(("signalbox_retries_refused_total", self._name_of(group)))
            return False
        self._retrying = group
        return True

    def _name_of(self, group: Group) -> str:
        return next(one.name for one in self._choices if self._fleet.groups[one.index] is group)

    # --- what happened ---

    def answered(self) -> None:
        """The call was answered. Whoever failed on the same body before did so for reasons of its own."""
        strayed = self._position > 1
        if (self._call.answer_id or strayed) and (len(self._choices) > 1 or len(self.group.replicas) > 1):
            tie(self._call, self._fleet.bonds, self.deployment.name, self._bond, self._stages.now_ns(), strayed=strayed)
        if self.fault is None:
            return
        self._stages.metrics.add(("signalbox_fallovers_total", self.deployment.name))
        self._blame.answered_by(self.replica, self._stages.now_ns())

    def failed(self, failure: Failure) -> None:
        """One attempt failed: puts the blame where it belongs, and decides whether and when to go on."""
        deployment = self.deployment
        forget_frames(failure)
        if self.fault is None:
            self._begin_failing()
        # A stream that broke off did so for its own reason, whatever those say that could not go on with it.
        rescuing = self._call.rescued
        if self.fault is None or not (rescuing or isinstance(failure, Ours)):
            self.fault, self.failed_at = failure, deployment
        self._call.failures += (f"{deployment.name}: {told(failure)}",)
        self._tries[deployment.index] = self._tries.get(deployment.index, 0) + 1
        self.pause_s = 0.0
        verdict = judge(failure, self._call.doc)
        group = self._fleet.of(deployment)
        now_ns = self._stages.now_ns()
        wait_s = None
        if isinstance(failure, UpstreamAnswer):
            wait_s = retry_after_s(failure.headers, failure.body, self._stages.time_ms() / 1000)
        if self._fell_asleep(failure, group):
            return
        if verdict.blame != NOBODY and group.enabled:
            self._blame.put(verdict, deployment, self.replica, now_ns, wait_s)
            if isinstance(failure, UpstreamFault) and failure.kind in UNCONNECTED:
                self._fleet.unconnected(self.replica, now_ns)
        if self._reply.content_sent or (verdict.then == STOP and not rescuing) or self._blame.is_on_the_body(now_ns):
            self._ended = True
        elif verdict.then == LARGER:
            self._larger_than = deployment
        else:
            self._consider_again(verdict, failure, group, now_ns, wait_s)

    def over(self) -> None:
        """The call has ended, however it did."""
        if self._retrying is not None:
            self._done_retrying()

    def _consider_again(
        self, verdict: Verdict, failure: Failure, group: Group, now_ns: int, wait_s: float | None
    ) -> None:
        """One more try in place for what may have been an accident; for an overload only where nothing else is left."""
        tries = self._tries[self.deployment.index]
        alone = not self._others(now_ns)
        left = self._call.workload.retries.max_attempts - self._call.attempts
        if verdict.then == AGAIN:
            if tries > 1 or left <= self._untried():
                return
        elif verdict.blame != OVERLOAD or not alone or left <= 0:
            return
        elif (before := tries_before(self._call)) is not None and before + self._call.attempts > 1:
            return  # the client's library comes back itself, and later, when it helps more
        if self._once or (isinstance(failure, UpstreamAnswer) and (b"x-should-retry", b"false") in failure.headers):
            return
        retries = self._call.workload.retries
        floor_s = wait_s or 0.0
        if floor_s > retries.retry_after_s_max:
            return
        pause = floor_s + pause_s(tries, retries.backoff_s, PAUSE_S_MAX, self._fleet.chance())
        if pause * SECOND_NS >= self._left_ns(now_ns):
            return  # nobody would be waiting any more
        replica = group.pick(now_ns, resting=True, avoid=self.replica)
        if replica is None or not self._may_retry(group, now_ns):
            return
        self._again = (self.deployment, replica)
        self.pause_s = pause
        self._stages.metrics.add(("signalbox_retries_total", self.deployment.name))

    def _untried(self) -> int:
        return len(self._choices) - self._position + len(self._later or ())

    def _others(self, now_ns: int) -> bool:
        """Whether another deployment could be tried now."""
        return any(self._fleet.of(one).pick(now_ns, resting=True) is not None for one in self._waiting())

    def _waiting(self) -> tuple[Deployment, ...]:
        """The choices that were not tried yet, in their order; those that were passed over come last."""
        return (*self._choices[self._position :], *(self._later or ()))

    def _done_retrying(self) -> None:
        if self._retrying is not None:
            self._retrying.budget.done()
            self._retrying = None

    # --- when nothing could be tried ---

    @property
    def nothing_alive(self) -> bool:
        """Something may be used, but nothing of it is in use now."""
        return self.fault is None and bool(self._choices)

    @property
    def credentials_only(self) -> bool:
        """Nothing is alive because of credentials, quotas and models that were refused: the operator must act."""
        now_ns = self._stages.now_ns()
        return all(self._fleet.of(one).cold(now_ns) for one in self._choices)

    def retry_after_s(self) -> float:
        """When the first of the choices may be used again, as far as is known."""
        at_ns = min((self._fleet.of(one).usable_at() for one in self._choices), default=0)
        left_s = (at_ns - self._stages.now_ns()) / SECOND_NS
        return min(RETRY_AFTER_S_MAX, max(left_s, RETRY_AFTER_S))
