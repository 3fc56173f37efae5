"""Signing in with the admin secret or a role's key, and out again; the way to an identity provider is beside it."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from signalbox.console.access import Visit
from signalbox.console.forms import BadForm, read_form
from signalbox.console.rendering import render
from signalbox.console.sessions import COOKIE, FORM_COOKIE, Sessions, drop, from_here, keep, same
from signalbox.control.office import SIGN_IN, KeyOffice
from signalbox.control.oidc import Providers
from signalbox.core.errors import LedgerError, StoreError

TOKEN_CHARS_MAX = 1024


class SignIn:
    """The secret is compared and forgotten; the browser keeps a session id only."""

    def __init__(self, office: KeyOffice, sessions: Sessions, providers: Providers) -> None:
        self._office = office
        self._sessions = sessions
        self._providers = providers

    async def show(self, request: Request) -> Response:
        return self.page(request, 200, "", target_of(request.query_params.get("to", "")))

    async def enter(self, request: Request) -> Response:
        try:
            form = await read_form(request)
        except BadForm as error:
            return self.page(request, 400, str(error), "/")
        to = target_of(form.get("to", ""))
        if not from_here(request) or not same(form.get("csrf", ""), request.cookies.get(FORM_COOKIE, "")):
            return self.page(request, 403, "This form is stale, or was not made by this console. Try again.", to)
        address = request.client.host if request.client else ""
        if not self._sessions.may_try(address):
            return self.page(request, 429, "Too many wrong secrets. Wait a minute.", to)
        token = form.get("secret", "").strip()
        try:
            actor = await self._office.visitor(token) if 0 < len(token) <= TOKEN_CHARS_MAX else None
            if actor is not None:
                await self._office.record(actor, SIGN_IN)
            else:
                await self._office.record_turned_away("", "secret", "neither the admin secret nor a key with a role")
        except (LedgerError, StoreError):
            return self.page(request, 503, "The ledger or the store cannot be used; nobody can sign in.", to)
        if actor is None:
            self._sessions.failed(address)
            return self.page(request, 401, "That is neither the admin secret nor a key with a role.", to)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        fresh, _ = self._sessions.begin(actor.id)
        response = RedirectResponse(to, 303)
        keep(response, request, COOKIE, fresh, self._console_url())
        drop(response, request, FORM_COOKIE)
        return response

    async def leave(self, request: Request, visit: Visit) -> Response:
        self._sessions.end(request.cookies.get(COOKIE, ""))
        provider = self._providers.now()
        there = await provider.sign_out_url() if provider is not None and visit.session.person is not None else ""
        response = (
            Response(render("signed_out.html", there=there), media_type="text/html")
            if there
            else RedirectResponse("/sign-in", 303)
        )
        drop(response, request, COOKIE)
        return response

    def page(self, request: Request, status: int, problem: str, to: str) -> Response:
        token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
        oidc = self._office.sign_in().oidc
        html = render(
            "sign_in.html",
            csrf=token,
            problem=problem,
            to=to,
            label=oidc.label if oidc is not None else "",
            break_glass=self._office.sign_in().break_glass == "on",
        )
        page = Response(html, status, media_type="text/html")
        keep(page, request, FORM_COOKIE, token, self._console_url())
        return page

    def _console_url(self) -> str:
        oidc = self._office.sign_in().oidc
        return oidc.console_url if oidc is not None else ""


def target_of(text: str) -> str:
    """A path of ours to go on to; anything else is the overview, so that no link leads elsewhere."""
    plain = text.isascii() and text.isprintable() and not set(text) & set("\\?#%@: ")
    return text if plain and text.startswith("/") and not text.startswith("//") and len(text) < 200 else "/"
