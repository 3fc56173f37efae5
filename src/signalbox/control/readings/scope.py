"""Which ledger rows an actor may read: everybody's, its tenant's, or those of its own keys."""

from __future__ import annotations

import msgspec

from signalbox.core.attempts import AttemptFilter
from signalbox.core.errors import ConfigError


class Scope(msgspec.Struct, frozen=True):
    """tenant: None for all. key_ids: None for all of the tenant's."""

    tenant: str | None = None
    key_ids: tuple[str, ...] | None = None

    @property
    def whole(self) -> bool:
        return self.tenant is None and self.key_ids is None

    def narrow(self, where: AttemptFilter) -> AttemptFilter:
        """The filter within this scope. Raises ConfigError for one that asks beyond it."""
        if self.tenant is not None and where.tenant not in (None, self.tenant):
            raise ConfigError(["tenant: these rows are not yours to read. Leave it out."])
        if self.key_ids is not None and where.key_id is not None and where.key_id not in self.key_ids:
            raise ConfigError(["key: these rows are not yours to read. Leave it out."])
        return msgspec.structs.replace(where, tenant=self.tenant or where.tenant, key_ids=self.key_ids)

    def sees(self, tenant: str, key_id: str) -> bool:
        return self.tenant in (None, tenant) and (self.key_ids is None or key_id in self.key_ids)
