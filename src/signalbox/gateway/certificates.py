"""Client certificates in place of virtual keys: whose, and what their holder may do."""

from __future__ import annotations

from signalbox.core.call import Principal
from signalbox.core.errors import Unauthenticated
from signalbox.core.issuers import Certificate, Holder

BELOW = "/*"


class Holders:
    """The holders of one configuration."""

    def __init__(self, holders: tuple[Holder, ...]) -> None:
        self.holders = holders
        self._names = {name: one for one in holders for name in one.names}
        self._uris = {uri: one for one in holders for uri in one.uris if not uri.endswith(BELOW)}
        below = [(uri.removesuffix("*"), one) for one in holders for uri in one.uris if uri.endswith(BELOW)]
        # The longest first: it says most about whom it means.
        self._below = sorted(below, key=lambda pair: -len(pair[0]))

    def principal(self, certificate: Certificate) -> Principal | None:
        """Who holds a certificate, None where it names nobody. Raises Unauthenticated where it names several."""
        found = [(self._uri(uri), uri) for uri in certificate.uris]
        found += [(self._names.get(name.lower()), name) for name in certificate.names]
        named = [(holder, text) for holder, text in found if holder is not None]
        if not named:
            return None
        holder, text = named[0]
        if any(other is not holder for other, _ in named):
            raise Unauthenticated("The client certificate names several callers.")
        return Principal(
            key_id=f"{holder.name}:{text}",
            tenant=holder.tenant,
            team=holder.team,
            workloads=frozenset(holder.workloads) if holder.workloads is not None else None,
            deployments=frozenset(),
            default_workload=holder.workloads[0] if holder.workloads else None,
            labels=holder.labels,
            expires_s=certificate.expires_s,
        )

    def _uri(self, uri: str) -> Holder | None:
        found = self._uris.get(uri)
        if found is None:
            found = next((holder for start, holder in self._below if uri.startswith(start) and uri != start), None)
        return found
