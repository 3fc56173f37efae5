"""The key office: who may act on the installation, what they may do with keys, and the record of it."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import msgspec

from signalbox.cache.shelf import secret_from
from signalbox.config.schema_sign_in import SignIn
from signalbox.control.contents import Contents, Erasure, KeptContent
from signalbox.control.keys import EVERY, GRACE_S_MAX, NewKey, TooBroad, given_usd, make, narrowed, rotate, within
from signalbox.control.logout_tokens import Ended
from signalbox.control.people import Person, granted
from signalbox.control.readings.scope import Scope
from signalbox.control.state import CACHE, AdminSecret
from signalbox.control.storage import StoreThread
from signalbox.core import keys
from signalbox.core.errors import ConfigError, StoreError
from signalbox.core.ports import VirtualKey
from signalbox.core.records import Action
from signalbox.core.secret import Secret
from signalbox.ledger import actions

ADMIN, DEVELOPER = "admin", "developer"
ACTIONS_MAX = 1000
SIGN_IN = "console.sign-in"
SIGN_OUT = "console.sign-out"
NOT_YOURS = "This installation has other tenants: stop your own tenant, or a team or key that is only yours."
# Each try that fails is another machine's that did not.
TRIES_MAX = 100
# Sign-ins that failed and are put on record, in a minute.
TURNED_AWAY_MAX = 60


class Actor(msgspec.Struct, frozen=True):
    """Who acts: the installation's own admin secret, or a key with a role. key: what it may hand on."""

    id: str
    role: str
    key: VirtualKey

    def sees(self, row: VirtualKey) -> bool:
        """Whether a key is this actor's business: everybody's for those of all tenants, else its tenant's; a
        developer's are those that it made and its own."""
        if self.key.tenant != EVERY and row.tenant != self.key.tenant:
            return False
        return self.role != DEVELOPER or self.id in (row.id, row.creator)


ADMIN_SECRET = Actor("admin-secret", ADMIN, VirtualKey("admin-secret", "", b"", EVERY, "", 0, role=ADMIN))


class NotYours(Exception):
    """The actor's role may do this, but it would reach other tenants than the actor's."""


class Kept(msgspec.Struct, frozen=True):
    """The file of kept answers, and the secret of its tags."""

    path: Path
    secret: bytes


class KeyOffice:
    """Every change is on record before it is made, and what was refused is on record too."""

    def __init__(
        self,
        store: StoreThread,
        secret: AdminSecret,
        pepper: bytes,
        journal: Path,
        now_ms: Callable[[], int],
        sign_in: Callable[[], SignIn],
        tell: Callable[[], Awaitable[None]],
    ) -> None:
        """sign_in: what the configuration in force says of it. tell: has workers know of changed keys at once; raises
        StoreError."""
        self._tell = tell
        self.sign_in = sign_in
        self._store = store
        self._secret = secret
        self._pepper = pepper
        self._digester = keys.Digester(pepper)
        self._journal = journal
        self._contents = Contents(pepper)
        self.kept = Kept(journal.parent / CACHE, secret_from(pepper))
        self._now_ms = now_ms
        self._turned_since_ms = 0
        self._turned_away = 0
        # So that callers of one machine do not make each other try again.
        self._giving = asyncio.Lock()
        self._version = -1
        self._rows: dict[str, VirtualKey] = {}

    async def actor(self, token: str) -> Actor | None:
        """Who holds this token; None for a wrong one, and for a key that calls models."""
        if self._secret.matches(token):
            return ADMIN_SECRET if self.sign_in().break_glass != "off" else None
        parts = keys.split(token)
        if parts is None:
            return None
        rows = await self._known()
        row = rows.get(parts[0])
        digest = self._digester.digest(parts[1])
        if not hmac.compare_digest(digest, row.secret_hmac if row is not None else bytes(32)) or row is None:
            return None
        return self._acting(row)

    async def visitor(self, token: str) -> Actor | None:
        """The same, of those whom this token opens pages."""
        actor = await self.actor(token)
        return None if actor is ADMIN_SECRET and self.sign_in().break_glass != "on" else actor

    def person(self, person: Person) -> Actor | None:
        """Somebody from the identity provider, as far as the configuration in force grants them anything."""
        key = granted(person, self.sign_in().oidc)
        return Actor(key.id, key.role, key) if key is not None else None

    async def still(self, actor_id: str) -> Actor | None:
        """Somebody who was let in before; None when their key no longer holds."""
        if actor_id == ADMIN_SECRET.id:
            return ADMIN_SECRET if self.sign_in().break_glass == "on" else None
        return self._acting((await self._known()).get(actor_id))

    def _acting(self, row: VirtualKey | None) -> Actor | None:
        if row is None or not row.role or row.revoked_ms is not None:
            return None
        if row.expires_ms is not None and row.expires_ms <= self._now_ms():
            return None
        return Actor(row.id, row.role, row)

    async def scope(self, actor: Actor) -> Scope:
        """Which ledger rows an actor may read: a developer's are those of the keys that it made."""
        tenant = None if actor.key.tenant == EVERY else actor.key.tenant
        if actor.role != DEVELOPER:
            return Scope(tenant)
        return Scope(tenant, tuple(row.id for row in await self.list_keys(actor)))

    async def sees_all(self, actor: Actor) -> bool:
        """Whether there is nobody of another tenant whom the actor could see anything of."""
        tenants = {row.tenant for row in (await self._known()).values()} - {EVERY}
        return actor.key.tenant == EVERY or tenants <= {actor.key.tenant}

    async def may_stop(self, actor: Actor, scope: str, name: str) -> bool:
        """Whether nobody's calls but those of the actor's tenant would end. Where there are other tenants, workloads,
        users and sessions could be anybody's, and so could a team that another tenant has as well."""
        if await self.sees_all(actor):
            return True
        rows = (await self._known()).values()
        ours = [row for row in rows if row.tenant == actor.key.tenant]
        teams = {row.team for row in ours} - {row.team for row in rows if row.tenant != actor.key.tenant}
        return name in {"tenant": {actor.key.tenant}, "key": {row.id for row in ours}, "team": teams}.get(scope, set())

    async def record_change(self, actor: Actor, action: str, target: str) -> None:
        """Somebody changes the configuration, which is everybody's. Raises NotYours for one of several tenants: who may
        say where everybody's calls go may as well have them sent to an address of their own."""
        may = await self.sees_all(actor)
        await self.record(actor, action, target, refused=not may)
        if not may:
            raise NotYours("This installation has other tenants: its configuration takes a key of all tenants.")

    async def record_invalidation(self, actor: Actor, tags: Collection[str]) -> None:
        """Somebody ends kept answers. Raises NotYours where some may be another tenant's."""
        ours = {f"key:{row.id}" for row in (await self._known()).values() if row.tenant == actor.key.tenant}
        may = await self.sees_all(actor) or ours.union({f"tenant:{actor.key.tenant}"}).issuperset(tags)
        await self.record(actor, "cache.invalidate", " ".join(tags)[:512], refused=not may)
        if not may:
            raise NotYours("This installation has other tenants: end answers by the tags of your tenant or its keys.")

    async def list_keys(self, actor: Actor) -> list[VirtualKey]:
        return [row for row in (await self._known()).values() if actor.sees(row)]

    async def create(self, actor: Actor, wanted: NewKey) -> tuple[VirtualKey, Secret]:
        """Raises TooBroad, and ValueError for what makes no sense."""
        try:
            async with self._giving:
                made = await self._make(actor, wanted)
        except TooBroad as error:
            await self.record(actor, "key.create", wanted.name, {"why": str(error)}, refused=True)
            raise
        await self._changed()
        return made

    async def _make(self, actor: Actor, wanted: NewKey) -> tuple[VirtualKey, Secret]:
        """What a creator has given is counted, and the key is made if no machine has changed any meanwhile."""
        recorded: NewKey | None = None
        for _ in range(TRIES_MAX):
            given = given_usd((await self._known()).values(), actor.key)
            version = self._version  # of what was counted: nothing was awaited since
            allowed = msgspec.structs.replace(narrowed(wanted, actor.key, given), creator=actor.id)
            row, key = make(allowed, self._pepper, self._now_ms())
            if allowed != recorded:
                await self.record(actor, "key.create", allowed.name, {"tenant": allowed.tenant, "role": allowed.role})
                recorded = allowed
            if await self._store.run(lambda store, row=row, version=version: store.insert_key(row, version)):
                return row, key
        raise StoreError("the keys changed all the time while one was made; try again")

    async def rotate(self, actor: Actor, key_id: str, grace_s: int) -> tuple[VirtualKey, Secret] | None:
        """A fresh key in place of one; None when there is none that the actor sees. Raises ValueError, and TooBroad
        where whoever gets to see the new one could do more with it than with what they have."""
        row = await self._visible(actor, key_id)
        if row is None:
            return None
        if not 0 <= grace_s <= GRACE_S_MAX:
            raise ValueError(f"the grace must be 0 to {GRACE_S_MAX} seconds")
        if actor.id not in (row.id, row.creator) and not within(row, actor.key):
            await self.record(actor, "key.rotate", key_id, {"why": "it is broader than the actor's own"}, refused=True)
            raise TooBroad("it may do more than this key; revoke it, and make a narrower one")
        await self.record(actor, "key.rotate", key_id, {"grace_s": str(grace_s)})
        made = await self._store.run(lambda store: rotate(store, row, self._pepper, self._now_ms(), grace_s * 1000))
        await self._changed()
        return made

    async def revoke(self, actor: Actor, key_id: str) -> bool:
        if await self._visible(actor, key_id) is None:
            return False
        await self.record(actor, "key.revoke", key_id)
        revoked = await self._store.run(lambda store: store.revoke_key(key_id, self._now_ms()))
        await self._changed()
        return revoked

    async def erase(self, actor: Actor, asked: Erasure) -> int:
        """Makes captured content unreadable; how many keys were destroyed. Raises ConfigError, for a tenant that is not
        the actor's too."""
        if actor.key.tenant not in (EVERY, asked.tenant):
            raise ConfigError(["tenant: is not yours. Leave it out."])
        for subject in self._contents.subjects(asked):
            await self.record(actor, "content.erase", subject)
        return await self._store.run(lambda store: self._contents.erase(store, asked, self._now_ms()))

    async def content(self, actor: Actor, call_id: str) -> KeptContent | None:
        """What was captured of a call; None when there is nothing that the actor may see."""
        await self.record(actor, "content.read", call_id[:128])
        rows = await self._store.run(lambda store: store.attempts_of(call_id))
        scope = await self.scope(actor)
        if not scope.whole and not any(scope.sees(row.tenant, row.key_id) for row in rows):
            return None
        return await self._store.run(lambda store: self._contents.read(store, call_id))

    async def actions(self, actor: Actor) -> list[Action]:
        """The last ACTIONS_MAX of those that are for the actor's eyes: where there are other tenants, what its tenant's
        keys and people did, and what was done to its keys or for it."""
        every = await asyncio.to_thread(lambda: list(actions.read(self._journal)))
        if not await self.sees_all(actor):
            tenant = actor.key.tenant
            ours = {actor.id} | {row.id for row in (await self._known()).values() if row.tenant == tenant}
            ours |= {one.actor for one in every if one.action == SIGN_IN and one.detail.get("tenant") == tenant}
            about = ((one, {one.actor, one.target}) for one in every)
            every = [one for one, who in about if who & ours or one.detail.get("tenant") == tenant]
        return every[-ACTIONS_MAX:]

    async def record_turned_away(self, person_id: str, by: str, why: str) -> None:
        """Somebody was not let in. Only so many a minute are put on record: anybody can try, and each costs a write."""
        now_ms = self._now_ms()
        if now_ms - self._turned_since_ms >= 60_000:
            self._turned_since_ms, self._turned_away = now_ms, 0
        self._turned_away += 1
        if self._turned_away <= TURNED_AWAY_MAX:
            nobody = VirtualKey(person_id or "nobody", "", b"", "", "", 0)
            await self.record(Actor(nobody.id, "", nobody), SIGN_IN, "", {"by": by, "why": why[:500]}, refused=True)

    async def record_signed_out(self, ended: Ended, action: str, sessions: int) -> None:
        """An identity provider has ended somebody's sessions."""
        person = Person(ended.issuer, ended.subject, "", ())
        key = VirtualKey(person.id, "", b"", "", "", 0)
        await self.record(Actor(key.id, "", key), action, "", {"by": "back-channel", "sessions": str(sessions)})

    async def record(
        self,
        actor: Actor,
        action: str,
        target: str = "",
        detail: dict[str, str] | None = None,
        *,
        refused: bool = False,
    ) -> None:
        """Raises LedgerError when it cannot be recorded; then nothing may be done."""
        entry = Action(self._now_ms(), actor.id, actor.role, action, target, detail or {}, refused)
        await asyncio.to_thread(actions.record, self._journal, entry)

    async def _changed(self) -> None:
        """Whoever holds the answer can use a new key, or knows an old one to be refused, on every worker."""
        with contextlib.suppress(StoreError):  # the change is stored; workers hear of it when the store answers again
            await self._tell()

    async def _visible(self, actor: Actor, key_id: str) -> VirtualKey | None:
        row = (await self._known()).get(key_id)
        return row if row is not None and actor.sees(row) else None

    async def _known(self) -> dict[str, VirtualKey]:
        version = await self._store.run(lambda store: store.keys_version())
        if version != self._version:
            self._rows = {row.id: row for row in await self._store.run(lambda store: store.list_keys())}
            self._version = version
        return self._rows
