"""Settings of how people sign in to the console, each with its unit, default and a sentence about it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_words import PemName
from signalbox.core.secret import Secret

_Text = Annotated[str, Meta(min_length=1, max_length=512)]
_Url = Annotated[str, Meta(min_length=1, max_length=2048, extra={"reference": True})]
_Claim = Annotated[str, Meta(min_length=1, max_length=256)]
_Scope = Annotated[str, Meta(pattern=r"^[!#-\[\]-~]{1,128}$", extra={"hint": "one word, such as groups"})]
Role = Literal["admin", "operator", "auditor", "developer"]
Algorithm = Literal["RS256", "ES256", "EdDSA"]


class Grant(Struct, frozen=True, forbid_unknown_fields=True):
    """One group of people and what they may do. Of several that fit somebody the first of the file counts."""

    value: Annotated[_Text, Meta(description="What `roles_claim` must be, or hold, to the letter.")]
    role: Annotated[Role, Meta(description="Their role.")]
    tenant: Annotated[
        str,
        Meta(min_length=1, max_length=128, description="Whose rows and keys they see; `*` for all tenants."),
    ] = "default"
    team: Annotated[str, Meta(max_length=128, description="The team that keys made by them belong to.")] = ""


class Oidc(Struct, frozen=True, forbid_unknown_fields=True):
    """An OpenID Connect provider: authorization code flow with PKCE. Nobody has a role but by `grants`."""

    issuer: Annotated[
        _Url, Meta(description="What `iss` must be, to the letter; `/.well-known/openid-configuration` is below it.")
    ]
    client_id: Annotated[_Text, Meta(description="What the provider calls this console.")]
    console_url: Annotated[
        _Url,
        Meta(
            description="Where browsers reach this console, such as https://signalbox.example.com. Register "
            "`<console_url>/sign-in/callback` at the provider."
        ),
    ]
    grants: Annotated[list[Grant], Meta(max_length=1000, description="Who may do what. Everybody else is turned away.")]
    client_secret: Annotated[
        Secret | None, Meta(description="Its secret, `${NAME}` or `file:/path`; none for a public client.")
    ] = None
    client_auth: Annotated[
        Literal["basic", "post"], Meta(description="How the secret is sent: in a header, or in the form.")
    ] = "basic"
    scopes: Annotated[list[_Scope], Meta(max_length=32, description="What is asked for, `openid` among it.")] = field(
        default_factory=lambda: ["openid", "profile"]
    )
    roles_claim: Annotated[
        _Claim,
        Meta(description="The claim of the ID token that `grants` look at; `realm_access.roles` goes into objects."),
    ] = "groups"
    name_claim: Annotated[_Claim, Meta(description="The claim that pages and the ledger show as somebody's name.")] = (
        "preferred_username"
    )
    algorithms: Annotated[
        list[Algorithm], Meta(min_length=1, max_length=3, description="Signatures of ID tokens that are taken.")
    ] = field(default_factory=lambda: ["RS256", "ES256", "EdDSA"])
    leeway_s: Annotated[float, Meta(ge=0, le=300, description="How far clocks may differ.")] = 30.0
    session_max_s: Annotated[
        float, Meta(ge=60, le=43_200, description="After this long somebody has to come from the provider again.")
    ] = 28_800.0
    label: Annotated[
        str, Meta(min_length=1, max_length=64, description="What the button says behind `Sign in with`.")
    ] = "single sign-on"
    ca_file: Annotated[PemName | None, Meta(description="CA bundle that its certificate must chain to.")] = None
    allow_private: Annotated[
        bool | None,
        Meta(description="Whether its name may resolve to a private address; by default only if it is written as one."),
    ] = None


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """How people and programs come into the control plane, besides by keys with a role."""

    break_glass: Annotated[
        Literal["on", "api", "off"],
        Meta(description="What the admin secret opens: pages and API, the API alone, or nothing."),
    ] = "on"
    oidc: Annotated[Oidc | None, Meta(description="Sign-in through an identity provider.")] = None
