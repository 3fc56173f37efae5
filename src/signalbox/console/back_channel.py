"""Where an identity provider says, server to server, that somebody's sessions have ended."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from signalbox.console.forms import BadForm, read_form
from signalbox.console.sessions import Sessions
from signalbox.control.office import SIGN_OUT, KeyOffice
from signalbox.control.oidc import Providers, Refusal
from signalbox.control.published_keys import Unavailable
from signalbox.core.errors import LedgerError


class BackChannel:
    """No cookie and no secret goes with it: the token's signature is what counts. How often somebody tries is not
    limited by address, or whoever shares the provider's could keep sessions alive."""

    def __init__(self, office: KeyOffice, sessions: Sessions, providers: Providers) -> None:
        self._office = office
        self._sessions = sessions
        self._providers = providers

    async def hear(self, request: Request) -> Response:
        provider = self._providers.now()
        if provider is None:
            return _said(404, "Nobody signs in through an identity provider here.")
        try:
            form = await read_form(request)
            ended = await provider.logged_out(form.get("logout_token", ""))
        except BadForm as error:
            return _said(400, str(error))
        except Unavailable as error:
            return _said(503, f"The provider's keys cannot be had: {error}.")
        except Refusal as refusal:
            return await self._refused(str(refusal))
        count = self._sessions.end_of(ended)
        try:
            await self._office.record_signed_out(ended, SIGN_OUT, count)
        except LedgerError:
            return _said(503, "The sessions have ended, and the ledger cannot be written.")
        provider.took(ended)
        return Response(status_code=200, headers={"cache-control": "no-store"})

    async def _refused(self, why: str) -> Response:
        try:
            await self._office.record_turned_away("", "back-channel", why)
        except LedgerError:
            return _said(503, "The ledger cannot be written.")
        return _said(400, "The logout token was refused; the record of actions says why.")


def _said(status: int, what: str) -> Response:
    body = {"error": "invalid_request" if status == 400 else "unavailable", "error_description": what}
    return JSONResponse(body, status, headers={"cache-control": "no-store"})
