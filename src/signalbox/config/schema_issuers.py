"""Settings of token issuers, each with its unit, default and a sentence about it; part of config/schema.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from signalbox.core.secret import Secret

_Text = Annotated[str, Meta(min_length=1, max_length=512)]
_Claim = Annotated[str, Meta(max_length=128, pattern=r"^[A-Za-z0-9_./:-]*$")]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose signed tokens (JWT: RS256, ES256, EdDSA) workloads may call with in place of a virtual key. A token is
    taken with its issuer, audience, `sub` and `exp`, until it expires; what it may do is said here."""

    issuer: Annotated[_Text, Meta(description="What `iss` must be, to the letter.")]
    audience: Annotated[_Text, Meta(description="What `aud` must be, or hold.")]
    jwks: Annotated[
        Secret,
        Meta(description="The issuer's public keys as a JSON Web Key Set: `file:/path`, read anew when it changes."),
    ]
    tenant: Annotated[_Name, Meta(description="The tenant of its tokens.")] = "default"
    tenant_claim: Annotated[_Claim, Meta(description="The claim that names the tenant in place of that.")] = ""
    team: Annotated[str, Meta(max_length=128, description="The team of its tokens.")] = ""
    team_claim: Annotated[_Claim, Meta(description="The claim that names the team in place of that.")] = ""
    workloads: Annotated[
        list[_Name], Meta(max_length=1000, description="Workloads its tokens may use; empty for all of their tenant.")
    ] = []
    workloads_claim: Annotated[
        _Claim,
        Meta(description="The claim (a list, or words) of workloads that one token may use; it only narrows them."),
    ] = ""
    data: Annotated[list[_Name], Meta(description="Data classes that its calls have at the least.")] = []
    authorized_parties: Annotated[
        list[_Text], Meta(max_length=1000, description="What `azp` must be one of; empty for anything.")
    ] = []
    leeway_s: Annotated[float, Meta(ge=0, le=300, description="How far clocks may differ.")] = 30.0
    lifetime_max_s: Annotated[
        float, Meta(ge=60, le=31_536_000, description="A token that holds for longer from now on is refused.")
    ] = 86_400.0
