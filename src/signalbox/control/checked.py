"""What is known of a configuration that was checked and may be put in force, besides what calls need of it."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from signalbox.config.schema_sign_in import SignIn
from signalbox.config.schema_telemetry import Alerts, Telemetry
from signalbox.core.budgets import Budget
from signalbox.core.issuers import Issuer
from signalbox.pricing.owned import Step


class Checked(msgspec.Struct, frozen=True):
    """What the supervisor needs to know of a configuration that may be put in force.

    stale_on: the UTC date on which it must be compiled anew. files: what it was read from besides its own. due: what
    runs out or is owed, with its place. due_counts: how many of each kind. budgets, telemetry, alerts,
    issuers, sign_in: what goes on beside it needs. certificate_file: the data plane's, empty for plain HTTP. gpus: what
    is held of GPUs, by deployment: its environment, its model, and since when how many. ends_revoked: calls under way
    end with their key.
    """

    version: str
    grace_s: float
    stale_on: str | None = None
    files: tuple[str, ...] = ()
    due: tuple[str, ...] = ()
    due_counts: dict[str, int] = {}
    budgets: tuple[Budget, ...] = ()
    telemetry: Telemetry = Telemetry()
    alerts: Alerts = Alerts()
    issuers: tuple[Issuer, ...] = ()
    gpus: dict[str, tuple[str, str, tuple[Step, ...]]] = {}
    sign_in: SignIn = SignIn()
    certificate_file: str = ""
    ends_revoked: bool = False

    def until_tomorrow(self, today: str) -> Checked:
        """The same, to be compiled anew on the day after this one."""
        return msgspec.structs.replace(self, stale_on=(date.fromisoformat(today) + timedelta(days=1)).isoformat())
