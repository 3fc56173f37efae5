"""Signing in through an identity provider: sent there, and let in or turned away on the way back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from signalbox.console.rendering import render
from signalbox.console.sessions import COOKIE, Sessions, keep
from signalbox.console.sign_in import SignIn, target_of
from signalbox.control.office import SIGN_IN, KeyOffice
from signalbox.control.oidc import FLOW_S, Provider, Providers, Refusal, Returned
from signalbox.control.people import Person
from signalbox.control.published_keys import Unavailable
from signalbox.core.errors import LedgerError, StoreError

FLOW_COOKIE = "signalbox_flow"
FLOW_PATH = "/sign-in"
_NOT_NOW = "Nobody signs in through an identity provider here."
_DOWN = "The identity provider cannot be asked just now ({why}). Try again in a moment, or use a key with a role."
_REFUSED = "The identity provider's answer was refused. Start again; if it stays so, the record of actions says why."
_NO_ROLE = "Your identity provider knows you, but none of your groups has a role here. Ask who runs this installation."
_TOO_OFTEN = "Too many failed sign-ins from this address. Wait a minute."


class ThroughProvider:
    """The way there is a link and not a form: our policy for browsers sends forms nowhere but here."""

    def __init__(self, office: KeyOffice, sessions: Sessions, providers: Providers, entrance: SignIn) -> None:
        self._office = office
        self._sessions = sessions
        self._providers = providers
        self._entrance = entrance

    async def go(self, request: Request) -> Response:
        to = target_of(request.query_params.get("to", ""))
        provider = self._providers.now()
        if provider is None:
            return self._entrance.page(request, 404, _NOT_NOW, to)
        try:
            there, carried = await provider.begin(to)
        except Unavailable as error:
            return self._entrance.page(request, 503, _DOWN.format(why=error), to)
        response = RedirectResponse(there, 303)
        # Not strict: it has to come along when the provider sends the browser back.
        response.set_cookie(
            FLOW_COOKIE, carried, int(FLOW_S), path=FLOW_PATH, httponly=True, samesite="lax", secure=_tls(provider)
        )
        return response

    async def come_back(self, request: Request) -> Response:
        response = await self._let_in(request)
        response.delete_cookie(FLOW_COOKIE, path=FLOW_PATH, httponly=True, samesite="lax")
        response.headers["referrer-policy"] = "no-referrer"  # the address holds the code
        return response

    async def _let_in(self, request: Request) -> Response:
        provider = self._providers.now()
        if provider is None:
            return self._entrance.page(request, 404, _NOT_NOW, "/")
        address = request.client.host if request.client else ""
        if not self._sessions.may_try(address):
            return self._entrance.page(request, 429, _TOO_OFTEN, "/")
        try:
            person, to = await provider.finish(request.cookies.get(FLOW_COOKIE, ""), _returned(request))
            actor = self._office.person(person)
            if actor is None:
                return await self._turned_away(request, address, person.id, "no role is granted", _NO_ROLE)
            await self._office.record(
                actor, SIGN_IN, "", {"by": "oidc", "name": person.name, "tenant": actor.key.tenant}
            )
        except Unavailable as error:
            return self._entrance.page(request, 503, _DOWN.format(why=error), "/")
        except Refusal as refusal:
            return await self._turned_away(request, address, "", str(refusal), _REFUSED)
        except (LedgerError, StoreError):
            return self._entrance.page(request, 503, "The ledger cannot be written; nobody can sign in.", "/")
        return self._entered(request, provider, person, actor.id, to)

    def _entered(self, request: Request, provider: Provider, person: Person, actor_id: str, to: str) -> Response:
        self._sessions.end(request.cookies.get(COOKIE, ""))
        settings = provider.settings
        fresh, _ = self._sessions.begin(actor_id, settings.session_max_s, person)
        # A page that goes on by itself, not a redirect: on one that began at another site browsers would leave the
        # session's cookie out.
        response = Response(render("signed_in.html", to=to), media_type="text/html")
        keep(response, request, COOKIE, fresh, settings.console_url)
        return response

    async def _turned_away(self, request: Request, address: str, person_id: str, why: str, said: str) -> Response:
        self._sessions.failed(address)
        try:
            await self._office.record_turned_away(person_id, "oidc", why)
        except LedgerError:
            said = "The ledger cannot be written; nobody can sign in."
        return self._entrance.page(request, 403, said, "/")


def _tls(provider: Provider) -> bool:
    return provider.settings.console_url.startswith("https:")


def _returned(request: Request) -> Returned:
    """Raises Refusal where anything is said twice."""
    pairs = request.query_params.multi_items()
    told = dict(pairs)
    if len(told) != len(pairs):
        raise Refusal("something is said twice")
    return Returned(told.get("state", ""), told.get("code", ""), told.get("iss", ""), told.get("error", ""))
