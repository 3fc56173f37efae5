"""`signalbox kill`: the kill switch of a running gateway, over its control plane."""

from __future__ import annotations

import argparse
import http.client
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from signalbox.cli.options import add_json
from signalbox.policy.stops import SCOPES

TIMEOUT_S = 10.0
FOR_S = 300.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scope", choices=SCOPES, help="whose calls; all: everybody's")
    parser.add_argument("name", nargs="?", default="", help="the tenant, team, key id, workload, user or session")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=float,
        default=FOR_S,
        metavar="SECONDS",
        help="refuse new calls so long (%(default)s); 0 lets them in again",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8701", help="the control plane (default: %(default)s)")
    parser.description = (
        "Ends the calls of somebody on every worker within a second and refuses new calls for a while. The admin "
        "secret, or a key with the role admin or operator, is read from SIGNALBOX_ADMIN_SECRET or "
        "SIGNALBOX_ADMIN_SECRET_FILE."
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """0 when it was done, 1 when the gateway refused, 2 when it could not be asked."""
    if (options.scope == "all") != (not options.name):
        return _said("Name whom to stop, and nobody for `all`.")
    if not options.for_s >= 0:
        return _said("--for must be a number of seconds, 0 or more.")
    token = _token()
    if not token:
        return _said("Set SIGNALBOX_ADMIN_SECRET (or _FILE) to the admin secret, or to a key with a role.")
    connection = _connection(str(options.url))
    if connection is None:
        return _said("--url must be http://host:port or https://host:port.")
    body = msgspec.json.encode({"scope": options.scope, "name": options.name, "for_s": options.for_s})
    try:
        connection.request("POST", "/api/stop", body, {"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        said = answer.read(65_536)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        return _said(f"The control plane at {options.url} cannot be asked: {why}. Check --url, and that it serves.")
    finally:
        connection.close()
    if answer.status == 401:
        print("SIGNALBOX_ADMIN_SECRET is neither its admin secret nor a key with a role.", file=sys.stderr)
        return 1
    if answer.status != 200:
        print(_message(said) or f"The control plane answered {answer.status}.", file=sys.stderr)
        return 1
    _warn(said)
    whom = f"{options.scope} {options.name}".strip()
    print(said.decode() if options.json else _done(whom, options.for_s))
    return 0


def _done(whom: str, for_s: float) -> str:
    if not for_s:
        return f"Stopped what ran: {whom}. New calls are let in, also where they were refused before."
    return f"Stopped: {whom}. New calls are refused for {for_s:g} s."


def _warn(said: bytes) -> None:
    """It was done, and perhaps to nobody: a name that was mistyped stops no calls."""
    try:
        warning = msgspec.json.decode(said, type=dict[str, object]).get("warning")
    except msgspec.MsgspecError:
        return
    if warning:
        print(f"warning: {warning}", file=sys.stderr)


def _connection(address: str) -> http.client.HTTPConnection | None:
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not host:
        return None
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=TIMEOUT_S)


def _token() -> str:
    path = os.environ.get("SIGNALBOX_ADMIN_SECRET_FILE")
    stated = os.environ.get("SIGNALBOX_ADMIN_SECRET", "")
    if not stated and path:
        try:
            stated = Path(path).read_text(encoding="utf-8")
        except OSError:
            return ""
    stated = stated.strip()
    return stated if stated.isascii() and stated.isprintable() else ""


def _message(said: bytes) -> str:
    try:
        return str(msgspec.json.decode(said)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError, IndexError):
        return ""


def _said(what: str) -> int:
    print(what, file=sys.stderr)
    return 2
