"""What is wrong with how people are to sign in, as it is declared."""

from __future__ import annotations

from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.issuers import check_address, is_here
from signalbox.config.problems import Path, Problems, repeated
from signalbox.config.schema import Config


def check_sign_in(config: Config, problems: Problems) -> None:
    oidc = config.sign_in.oidc
    if oidc is None:
        return
    at: Path = ("sign_in", "oidc")
    check_address((*at, "issuer"), oidc.issuer, problems)
    if "?" in oidc.issuer:
        problems.add((*at, "issuer"), "has a query", "End the address with its path")
    _check_console(at, oidc.console_url, problems)
    if "openid" not in oidc.scopes:
        problems.add((*at, "scopes"), "`openid` is missing, so that there would be no ID token", "Add openid")
    if not oidc.algorithms:
        problems.add((*at, "algorithms"), "no signature is taken", "Leave it out, or name what the provider signs with")
    if not oidc.grants:
        problems.add((*at, "grants"), "nobody is granted a role", "Add value, role and tenant of a group")
    for position in repeated(grant.value for grant in oidc.grants):
        value = oidc.grants[position].value
        problems.add((*at, "grants", position), f"{value[:64]!r} is granted a role twice", "Keep one of them")


def _check_console(at: Path, url: str, problems: Problems) -> None:
    path: Path = (*at, "console_url")
    try:
        origin = origin_of(url, private=None, ca_file=None, proxy=None)
    except AddressProblem as problem:
        problems.add(path, problem.what, problem.fix)
        return
    if origin.path:
        problems.add(path, "has a path", "The console is served at the root of its host: leave the path out")
    if origin.scheme != "https" and not is_here(origin.host):
        problems.add(
            path, "is reached without TLS, so that sessions could be read on the way", "Begin it with https://"
        )
