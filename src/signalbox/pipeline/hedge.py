"""A second attempt beside a slow first one: the first to give content answers, the other is cancelled and booked."""

from __future__ import annotations

import asyncio

from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.errors import RateLimited, UpstreamFault, forget_frames
from signalbox.core.hub import Event, Request
from signalbox.core.snapshot import Deployment
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.pipeline.attempt import attempt
from signalbox.pipeline.pursuit import Pursuit
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.verdict import FAILURES, Failure
from signalbox.routing.replica import Replica
from signalbox.upstream.time_share import TimeShare

LOST = "hedge_lost"


async def hedged(call: Call, pursuit: Pursuit, reply: Reply, stages: Stages) -> None:
    """Answers like `attempt`, from what the pursuit chose or, when that gives no content in time, from that or another
    one. Raises what the last of them failed with, the pursuit standing at that one."""
    race = _Race(call, reply, stages)
    try:
        race.enter(pursuit.deployment, pursuit.replica, pursuit.share())
        await asyncio.wait(race.tasks, timeout=call.workload.hedge_ns / 1e9)
        if race.tasks and race.winner is None and not any(task.done() for task in race.tasks) and pursuit.beside():
            race.enter(pursuit.deployment, pursuit.replica, pursuit.share())
        await race.run(pursuit)
    except asyncio.CancelledError as gone:
        race.why = gone.args
        raise
    finally:
        await race.leave()


class _Race:
    """tasks: entrants under way. winner: whoever gave content first. why: what its end was called, if it had another
    one."""

    def __init__(self, call: Call, reply: Reply, stages: Stages) -> None:
        self._call = call
        self.reply = reply
        self._stages = stages
        self.tasks: dict[asyncio.Task[None], _Entrant] = {}
        self.winner: _Entrant | None = None
        self.why: tuple[str, ...] = ()

    def enter(self, deployment: Deployment, replica: Replica, share: TimeShare | None) -> None:
        entrant = _Entrant(self, deployment, replica, second=bool(self.tasks))
        work = attempt(self._call, deployment, replica, entrant, self._stages, share)
        self.tasks[asyncio.get_running_loop().create_task(work)] = entrant

    async def run(self, pursuit: Pursuit) -> None:
        """Until one has answered, or all have failed."""
        hedged = len(self.tasks) > 1
        while self.tasks:
            done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                entrant = self.tasks.pop(task)
                had_no_room = _had_no_room(task) and entrant.second
                if self.winner is not None and self.winner is not entrant:
                    _forget(task)  # it had lost already, whatever came of it
                    continue
                if had_no_room:
                    if self.tasks:
                        pursuit.put_back(entrant.deployment)
                    else:
                        # The first one has failed, and left its room.
                        self.enter(entrant.deployment, entrant.replica, pursuit.share())
                    continue
                failure = _failure_of(task)
                if failure is None:
                    pursuit.deployment, pursuit.replica = entrant.deployment, entrant.replica
                    if hedged:
                        won = "second" if entrant.second else "first"
                        self._stages.metrics.add(("signalbox_hedges_total", self._call.workload.name, won))
                    return
                pursuit.deployment, pursuit.replica = entrant.deployment, entrant.replica
                if not self.tasks or self.winner is entrant:
                    raise failure
                pursuit.failed(failure)

    def won_by(self, entrant: _Entrant) -> None:
        if self.winner is None:
            self.winner = entrant
            for task, other in self.tasks.items():
                if other is not entrant:
                    task.cancel(LOST)
        elif self.winner is not entrant:
            raise UpstreamFault(LOST, "another attempt gave content first", sent=True)

    async def leave(self) -> None:
        """Nothing goes on when the call is over; what is cancelled is booked before."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel(*(self.why or ((LOST,) if self.winner is not None else ())))
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in tasks:
                _forget(task)
            self.winner = None  # no earlier, or a loser could still win
        finally:
            self.tasks.clear()  # they hold this object, and this object them


def _had_no_room(task: asyncio.Task[None]) -> bool:
    """Whether an attempt was not made because of a limit on calls or tokens, which an earlier one may be within."""
    return not task.cancelled() and isinstance(task.exception(), RateLimited)


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        forget_frames(task.exception())


def _failure_of(task: asyncio.Task[None]) -> Failure | None:
    """What it failed with as far as others may make up for it; raises everything else."""
    if task.cancelled():
        return None
    error = task.exception()
    if error is None:
        return None
    if isinstance(error, FAILURES):
        return error
    raise error


class _Entrant:
    """The reply as one of the attempts sees it: whatever it would show first makes it the winner."""

    __slots__ = ("_race", "_reply", "deployment", "replica", "second")

    def __init__(self, race: _Race, deployment: Deployment, replica: Replica, *, second: bool) -> None:
        self._race = race
        self._reply = race.reply
        self.deployment = deployment
        self.replica = replica
        self.second = second

    @property
    def started(self) -> bool:
        return self._reply.started

    @property
    def content_sent(self) -> bool:
        return self._reply.content_sent and self._race.winner is self

    @property
    def slow(self) -> bool:
        return self._reply.slow

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._race.won_by(self)
        self._reply.unary(head, body, cost_pico)

    def error(self, head: AnswerHead, body: bytes) -> None:
        self._race.won_by(self)
        self._reply.error(head, body)

    def own(self, body: bytes, reason: str) -> None:
        self._race.won_by(self)
        self._reply.own(body, reason)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        self._race.won_by(self)
        self._reply.start(head, request)

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        self._race.won_by(self)
        return self._reply.resume(request, told)

    def comment(self, text: str) -> None:
        if self._race.winner is self:
            self._reply.comment(text)

    def send(self, frames: list[Frame]) -> None:
        self._race.won_by(self)
        self._reply.send(frames)

    async def drain(self) -> None:
        await self._reply.drain()

    def end(self, usage: Usage | None, complete: bool) -> None:
        self._race.won_by(self)
        self._reply.end(usage, complete)
