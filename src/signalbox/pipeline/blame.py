"""Who is to blame for a call's failures: a credential, a model's name, a replica, or a body that breaks all of them."""

from __future__ import annotations

from signalbox.core.call import Call
from signalbox.core.errors import Quarantined
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.verdict import CRASH, CREDENTIAL, MODEL, OVERLOAD, SILENT, Verdict
from signalbox.routing.group import CREDENTIAL_NS
from signalbox.routing.quarantine import Quarantine, digest
from signalbox.routing.replica import SECOND_NS, Replica
from signalbox.routing.retry import RETRY_AFTER_S_MAX

# So many places must have broken on the same body before it, and not they, is taken to be at fault.
POISONED_MIN = 2


class Blame:
    """Of one call, from its first failure on."""

    __slots__ = ("_body", "_call", "_crashed", "_fleet", "_metrics", "_suspects")

    def __init__(self, call: Call, stages: Stages) -> None:
        self._call = call
        self._body = b""
        self._fleet = stages.fleet
        self._metrics = stages.metrics
        # Environments in which this body broke something that was well; whom to blame if another one answers.
        self._crashed: set[str] = set()
        self._suspects: list[Replica] = []

    def put(
        self, verdict: Verdict, deployment: Deployment, replica: Replica, now_ns: int, wait_s: float | None
    ) -> None:
        """Where a verdict says that it belongs. wait_s: how long the upstream asked not to be asked."""
        blame, wait_ns = verdict.blame, round((wait_s or 0.0) * SECOND_NS)
        chance, group = self._fleet.chance(), self._fleet.of(deployment)
        if blame == CREDENTIAL:
            group.credential.refused(now_ns, wait_ns)
        elif blame == MODEL:
            # What the caller named (a file, a stored answer) may be what is not found, or not allowed.
            envelope = self._call.envelope
            if not envelope.stateful and not envelope.onward:
                group.cool_ns = now_ns + CREDENTIAL_NS
        elif blame == OVERLOAD:
            replica.failed(now_ns, chance, wait_ns=wait_ns, overloaded=True)
        elif blame == CRASH:
            self._crash(deployment, replica, now_ns, chance)
        else:
            replica.failed(now_ns, chance, wait_ns=wait_ns, slow=blame == SILENT)

    def _crash(self, deployment: Deployment, replica: Replica, now_ns: int, chance: float) -> None:
        """It broke on this body: the body's doing if it breaks others too that are well, else its own."""
        body = self._digest()
        if not replica.failures or replica.culprit == body:
            self._crashed.add(deployment.environment.name)
        if replica.culprit == body:
            self._suspects.append(replica)
        replica.failed(now_ns, chance, culprit=body)

    def is_on_the_body(self, now_ns: int) -> bool:
        """Whether it broke so many that it is kept away from the rest for a while."""
        if len(self._crashed) < POISONED_MIN:
            return False
        quarantine, body = self._fleet.quarantine, self._digest()
        if not quarantine.holds(body):
            quarantine.hold(body, now_ns)
            self._metrics.add(("signalbox_quarantined_total",))
        return True

    def _digest(self) -> bytes:
        """Once for all failures: a body may have megabytes."""
        if not self._body:
            self._body = _digest_of(self._call)
        return self._body

    def answered_by(self, replica: Replica, now_ns: int) -> None:
        """Whoever failed on the same body before did so for reasons of its own."""
        for one in self._suspects:
            if one is not replica:
                one.failed(now_ns, self._fleet.chance())


def check_quarantine(call: Call, quarantine: Quarantine) -> None:
    """Raises Quarantined for a body that broke whatever it was sent to, a short while ago."""
    held_ns = quarantine.held_for_ns(_digest_of(call), call.decided_ns)
    if held_ns:
        raise Quarantined(
            "This request broke every provider it was sent to and is not sent again for now.",
            retry_after_s=min(RETRY_AFTER_S_MAX, held_ns / SECOND_NS),
        )


def _digest_of(call: Call) -> bytes:
    return digest(call.principal.tenant, call.api, call.body)
