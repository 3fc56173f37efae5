"""A probe that is a real, smallest possible call: opt-in, capped by the day, and booked to the workload `infra`."""

from __future__ import annotations

import secrets
from itertools import count
from typing import Any

from signalbox.core.call import Call, Decision, Principal
from signalbox.core.days import DAY_MS
from signalbox.core.errors import CallError, LedgerError, UpstreamAnswer, UpstreamFault, forget_frames
from signalbox.core.snapshot import INFRA, Deployment
from signalbox.pipeline.attempt import attempt
from signalbox.pipeline.dispatch import Collected, own_call
from signalbox.pipeline.stages import Stages
from signalbox.pricing.cost import PICO
from signalbox.routing.replica import Replica

# Deployments that are asked in one day; the cap of any further one could not be kept.
PROBED_MAX = 10_000
# The smallest question of each API; a deployment is asked in the first of these that it speaks.
QUESTIONS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1},
    "messages": {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1},
    "responses": {"input": "ping", "max_output_tokens": 16, "store": False},
    "completions": {"prompt": "ping", "max_tokens": 1},
    "embeddings": {"input": "ping"},
}
_WHO = Principal(key_id=INFRA, tenant=INFRA, team="", workloads=None, deployments=frozenset())


class PaidProbes:
    """What each deployment's probes have cost today (UTC), in this process."""

    def __init__(self) -> None:
        self._day = 0
        self._spent: dict[str, int] = {}
        # Several processes begin to count at one.
        self._token = secrets.token_hex(6)
        self._ids = count(1)

    def affordable(self, deployment: Deployment, stages: Stages) -> bool:
        """Whether today's cap has room for another one; never where nobody knows what it would cost."""
        spent = self._today(stages).get(deployment.name, 0)
        if len(self._spent) >= PROBED_MAX and deployment.name not in self._spent:
            return False
        return deployment.rates.priced and spent < round(deployment.health.probe_usd_per_day * PICO)

    async def ask(self, deployment: Deployment, replica: Replica, stages: Stages) -> None:
        """Asks this replica: one that answers is in use again, another is out of it for longer. In the journal, under
        the rules and in the budgets like every attempt."""
        api = next((api for api in QUESTIONS if api in deployment.apis), None)
        if api is None:
            return
        own = self._call(api, deployment, stages)
        own.permitted = stages.interlock.permitted(own)
        try:
            await attempt(own, deployment, replica, Collected(), stages)
        except (UpstreamAnswer, UpstreamFault, CallError, LedgerError) as failure:
            forget_frames(failure)
            replica.failed(stages.now_ns(), stages.fleet.chance(), slow=True)
        finally:
            self._book(deployment, own.spent_pico, stages)

    def _call(self, api: str, deployment: Deployment, stages: Stages) -> Call:
        own = own_call(
            f"probe_{stages.time_ms():x}_{self._token}_{next(self._ids):x}",
            api,
            QUESTIONS[api],
            _WHO,
            stages.snapshot.infra,
            deployment,
            stages,
        )
        own.labels = stages.snapshot.infra.labels
        own.decision = Decision((deployment,), f"probe:{deployment.name}")
        own.decided_ns = own.received_ns
        return own

    def _book(self, deployment: Deployment, pico: int, stages: Stages) -> None:
        spent = self._today(stages)
        spent[deployment.name] = spent.get(deployment.name, 0) + pico

    def _today(self, stages: Stages) -> dict[str, int]:
        today = stages.time_ms() // DAY_MS
        if today != self._day:
            self._day = today
            self._spent.clear()
        return self._spent
