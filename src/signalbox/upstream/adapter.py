"""What every provider adapter does: turns a deployment, an API and a client's headers into the head of a request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from operator import itemgetter

from signalbox.core.snapshot import Deployment
from signalbox.upstream import betas
from signalbox.upstream.head import RequestHead, extend, identified, request_head

TEMPLATES_MAX = 4096
_NAME = itemgetter(0)

# What the provider's log knows an attempt by.
_OWN_ID = b"x-client-request-id"
_ANTHROPIC_APIS = frozenset(("messages", "count_tokens"))
_NONE: frozenset[str] = frozenset()
# Never the caller's to say, whatever the rest of the name: they would choose whose account answers.
_ACCOUNT_WORDS = (b"auth", b"key", b"token", b"secret", b"organization", b"workspace")


class Adapter:
    """One provider's conventions. Values of this class are the entries of the table PROVIDERS.

    paths: API to the path behind the deployment's base URL. forwarded: client headers that go on as they are.
    defaults: headers sent unless the deployment or the client sets them, by API.
    """

    __slots__ = ("_defaults", "_interesting", "_paths", "_templates", "name")

    def __init__(
        self,
        name: str,
        *,
        paths: Mapping[str, bytes],
        forwarded: frozenset[bytes] = frozenset(),
        defaults: Mapping[str, tuple[tuple[bytes, bytes], ...]] | None = None,
    ) -> None:
        self.name = name
        self._paths = dict(paths)
        self._interesting = forwarded | {b"idempotency-key"}
        self._defaults = dict(defaults or {})
        # By identity of the frozen deployment, which the entry keeps alive so that the identity stays its own.
        self._templates: dict[tuple[int, str], _Template] = {}

    @property
    def apis(self) -> frozenset[str]:
        return frozenset(self._paths)

    def request(
        self,
        deployment: Deployment,
        api: str,
        client_headers: Sequence[tuple[bytes, bytes]],
        query: bytes,
        attempt_id: str,
        *,
        idempotency_scope: str | None = None,
    ) -> RequestHead:
        """The head of one attempt. client_headers: names in lower case; few of them go on, by rule.

        idempotency_scope: whose idempotency keys these are (tenant and key). The provider knows only our credential,
        so a client's key goes on only within its scope, hashed; without a scope it does not go on at all: two
        tenants with the same key would get each other's answers. Raises ValueError for an API that this provider
        does not have, and for a header that could break out of its line.
        """
        template = self._templates.get((id(deployment), api))
        if template is None or template.deployment is not deployment:
            template = self._template(deployment, api)
        anthropic = api in _ANTHROPIC_APIS
        interesting = self._interesting
        if not anthropic and not template.defaults and interesting.isdisjoint(map(_NAME, client_headers)):
            return identified(template.head, _OWN_ID, attempt_id)
        said = [
            header
            for header in client_headers
            if header[0] in interesting or (anthropic and header[0][:10] == b"anthropic-")
        ]
        extra: list[tuple[bytes, bytes]] = [(_OWN_ID, attempt_id.encode("latin-1", "replace"))]
        taken, taught = template.fixed, deployment.betas
        for name, value in said:
            if name == b"idempotency-key":
                if idempotency_scope is not None:
                    extra.append((name, _scoped(idempotency_scope, value)))
            elif name not in taken and not _chooses_account(name):
                if taught is not None and name in betas.HEADERS:
                    value = betas.known(value, taught)
                    if not value:
                        continue
                extra.append((name, value))
        if template.defaults:
            told = {name for name, _ in extra}
            extra.extend(header for header in template.defaults if header[0] not in told)
        suffixed = template.beta if anthropic and query and b"beta=true" in query.split(b"&") else template.head
        return extend(suffixed, extra)

    def betas_left_out(
        self, deployment: Deployment, api: str, client_headers: Sequence[tuple[bytes, bytes]]
    ) -> list[str]:
        """Beta features that the client's headers name and `request` does not send on: the deployment does not know
        them, or the API that it is called in has no such header."""
        names: list[str] = []
        for name, value in client_headers:
            if name not in betas.HEADERS:
                continue
            if not (name in self._interesting or (name == b"anthropic-beta" and api in _ANTHROPIC_APIS)):
                names += betas.left_out(name, value, _NONE)
            elif deployment.betas is not None:
                names += betas.left_out(name, value, deployment.betas)
        return names

    def probe(self, deployment: Deployment, path: bytes) -> RequestHead:
        """The head of a GET that carries nothing of any call: what the deployment itself sends with every request."""
        return request_head(path, _fixed(deployment).items())

    def _template(self, deployment: Deployment, api: str) -> _Template:
        path = self._paths.get(api)
        if path is None:
            raise ValueError(f"provider {self.name} has no API {api}")
        fixed = {
            b"content-type": b"application/json",
            b"accept": b"application/json, text/event-stream",
            **_fixed(deployment),
        }
        defaults = tuple(header for header in self._defaults.get(api, ()) if header[0] not in fixed)
        # The client may add betas to the operator's; every other header that the operator fixed stays as it is.
        taken = frozenset(fixed) - betas.HEADERS
        template = _Template(deployment, path, fixed, taken, defaults)
        if len(self._templates) >= TEMPLATES_MAX:
            self._templates.clear()
        self._templates[(id(deployment), api)] = template
        return template


class _Template:
    """What is the same in every request of one API to one deployment."""

    __slots__ = ("beta", "defaults", "deployment", "fixed", "head")

    def __init__(
        self,
        deployment: Deployment,
        path: bytes,
        headers: dict[bytes, bytes],
        fixed: frozenset[bytes],
        defaults: tuple[tuple[bytes, bytes], ...],
    ) -> None:
        self.deployment = deployment
        self.fixed = fixed
        self.defaults = defaults
        self.head = request_head(path, headers.items())
        self.beta = request_head(path + b"?beta=true", headers.items())


def _fixed(deployment: Deployment) -> dict[bytes, bytes]:
    fixed: dict[bytes, bytes] = {b"user-agent": b"signalbox"}
    for name, value in deployment.headers:
        fixed[name.lower().encode("ascii")] = value.encode("latin-1")
    if deployment.auth is not None:
        name, secret = deployment.auth
        fixed[name.lower().encode("ascii")] = secret.reveal().encode("latin-1")
    return fixed


def _chooses_account(name: bytes) -> bool:
    return any(word in name for word in _ACCOUNT_WORDS)


def _scoped(scope: str, value: bytes) -> bytes:
    digest = hashlib.sha256(scope.encode() + b"\0" + value).hexdigest()
    return b"sb-" + digest[:48].encode("ascii")
