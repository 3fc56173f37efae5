"""Settings of token issuers, each with its unit, default and a sentence about it; part of config/schema.py."""

from typing import Annotated

from msgspec import Meta, Struct

from signalbox.config.schema_words import PemName
from signalbox.core.secret import Secret

_Text = Annotated[str, Meta(min_length=1, max_length=512)]
_Url = Annotated[str, Meta(min_length=1, max_length=2048, extra={"reference": True})]
_Claim = Annotated[str, Meta(max_length=128, pattern=r"^[A-Za-z0-9_./:-]*$")]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose signed tokens (JWT: RS256, ES256, EdDSA) workloads may call with in place of a virtual key. A token is
    taken with its issuer, audience, `sub` and `exp`, until it expires; what it may do is said here."""

    issuer: Annotated[_Text, Meta(description="What `iss` must be, to the letter.")]
    audience: Annotated[_Text, Meta(description="What `aud` must be, or hold.")]
    jwks: Annotated[
        Secret | None,
        Meta(
            description="The issuer's public keys as a JSON Web Key Set: `file:/path`, read anew when it changes.",
            extra={"document": True},
        ),
    ] = None
    jwks_url: Annotated[
        _Url | None,
        Meta(
            description="Or where the issuer publishes them, https. They are fetched beside the calls, never for one.",
        ),
    ] = None
    jwks_refresh_s: Annotated[
        float,
        Meta(
            ge=30,
            le=86_400,
            description="How often they are fetched; a token with a key that nobody knows has them fetched earlier, "
            "every 30 s at the most.",
        ),
    ] = 300.0
    jwks_age_max_s: Annotated[
        float,
        Meta(
            ge=60,
            le=2_592_000,
            description="For how long the last good ones hold while they cannot be fetched; then tokens are refused.",
        ),
    ] = 86_400.0
    ca_file: Annotated[
        PemName | None,
        Meta(description="CA bundle that the certificate there must chain to."),
    ] = None
    allow_private: Annotated[
        bool | None,
        Meta(description="Whether its name may resolve to a private address; by default only if it is written as one."),
    ] = None
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
