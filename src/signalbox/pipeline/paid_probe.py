"""A probe that is a real, smallest possible call: opt-in, capped by the day, and booked to the workload `infra`."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec

from signalbox.core.call import Call, Decision, Principal
from signalbox.core.errors import CallError, LedgerError, UpstreamAnswer, UpstreamFault
from signalbox.core.labels import NONE
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.attempt import attempt
from signalbox.pipeline.dispatch import Collected
from signalbox.pipeline.stages import Stages
from signalbox.pricing.cost import PICO
from signalbox.routing.replica import Replica
from signalbox.wire.table import DIALECTS

INFRA = "infra"
DAY_MS = 86_400_000
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
    """What each deployment's probes have cost today, in this process."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[int, int]] = {}
        self._ids = count(1)

    def affordable(self, deployment: Deployment, stages: Stages) -> bool:
        """Whether today's cap has room for another one; never where nobody knows what it would cost."""
        day, spent = self._spent.get(deployment.name, (0, 0))
        spent = spent if day == stages.time_ms() // DAY_MS else 0
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
        except (UpstreamAnswer, UpstreamFault, CallError, LedgerError):
            replica.failed(stages.now_ns(), stages.fleet.chance(), slow=True)
        finally:
            self._book(deployment, own.spent_pico, stages)

    def _call(self, api: str, deployment: Deployment, stages: Stages) -> Call:
        workload = stages.snapshot.infra
        doc = {"model": deployment.model, **QUESTIONS[api]}
        now_ns = stages.now_ns()
        own = Call(
            id=f"probe_{stages.time_ms():x}_{id(self):x}_{next(self._ids):x}",
            api=api,
            snapshot=stages.snapshot,
            principal=_WHO,
            body=msgspec.json.encode(doc),
            doc=doc,
            envelope=DIALECTS[api].envelope(doc),
            model=deployment.model,
            workload=workload,
            pinned=deployment,
            data_header=NONE,
            headers=[],
            query=b"",
            received_ns=now_ns,
            auth_ns=now_ns,
        )
        own.labels = workload.labels
        own.decision = Decision((deployment,), f"probe:{deployment.name}")
        own.decided_ns = now_ns
        return own

    def _book(self, deployment: Deployment, pico: int, stages: Stages) -> None:
        today = stages.time_ms() // DAY_MS
        day, spent = self._spent.get(deployment.name, (today, 0))
        if len(self._spent) >= PROBED_MAX and deployment.name not in self._spent:
            self._spent.clear()
        self._spent[deployment.name] = (today, pico + (spent if day == today else 0))

