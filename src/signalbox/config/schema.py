"""Every setting of signalbox.yaml, declared once: its type, unit, default, limits and a sentence about it.

These types say what a file may hold. Reading a file into them is config/load.py; what they mean for a request is
compiled by policy/compiling.py. `signalbox schema` and docs/reference/config.md are generated from here.

Where they can, these modules do without annotations kept as text: reading a thousand of them back would take a tenth
of a second of every start.
"""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_budgets import ScopedBudget
from signalbox.config.schema_caching import Caches
from signalbox.config.schema_deployments import Deployment
from signalbox.config.schema_issuers import Issuer
from signalbox.config.schema_ledger import Ledger
from signalbox.config.schema_places import Environment, Vendor
from signalbox.config.schema_prices import Contract
from signalbox.config.schema_rules import Rule
from signalbox.config.schema_server import Conversations, Journal, Server
from signalbox.config.schema_sign_in import SignIn
from signalbox.config.schema_telemetry import Alerts, Telemetry
from signalbox.config.schema_tls import Holder
from signalbox.config.schema_words import Currency, Name, Text
from signalbox.config.schema_workloads import Team, Workload
from signalbox.core.secret import Secret

# Rule packs that this version ships; `packs:` may name these and no others.
PACKS: tuple[str, ...] = (
    *("gdpr", "hipaa", "pci-dss", "glba", "sox", "fedramp", "itar", "sr-11-7", "sr-26-2", "dora", "eu-ai-act"),
    *("pdpl-ksa", "pdpl-uae"),
)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """signalbox.yaml."""

    packs: Annotated[
        list[str], Meta(description=f"Rule packs in force, besides `rules`. These ship: {', '.join(PACKS)}.")
    ] = []
    environments: Annotated[
        dict[Name, Environment], Meta(max_length=1000, description="Places where models run, by name.")
    ] = {}
    vendors: Annotated[
        dict[Text, Vendor], Meta(max_length=1000, description="What is on file about operators, by operator.")
    ] = {}
    deployments: Annotated[
        dict[Name, Deployment], Meta(max_length=2000, description="Models that are served, by name.")
    ] = {}
    workloads: Annotated[
        dict[Name, Workload], Meta(max_length=5000, description="Tasks of the organisation, by name.")
    ] = {}
    default_workload: Annotated[
        Name | None,
        Meta(
            description="The workload of calls that name none. When left out: the first one of the file, or, with no "
            "workload at all, one called `default` that may use any permitted deployment."
        ),
    ] = None
    aliases: Annotated[
        dict[Name, Name], Meta(max_length=5000, description="Further names of workloads and deployments.")
    ] = {}
    contracts: Annotated[
        dict[Name, Contract], Meta(max_length=1000, description="What was agreed with providers about prices, by name.")
    ] = {}
    currencies_usd: Annotated[
        dict[Currency, Decimal],
        Meta(max_length=200, description="What one unit of a currency is worth in USD, such as EUR: 1.0842."),
    ] = {}
    teams: Annotated[dict[Name, Team], Meta(max_length=10_000, description="Groups of callers, by name.")] = {}
    budgets: Annotated[
        list[ScopedBudget],
        Meta(max_length=5000, description="What tenants, keys, users, sessions and deployments may use."),
    ] = []
    rules: Annotated[
        list[Rule], Meta(max_length=5000, description="Where content may go. Every rule that applies must allow.")
    ] = []
    issuers: Annotated[
        dict[Name, Issuer], Meta(max_length=100, description="Whose signed tokens are taken in place of virtual keys.")
    ] = {}
    certificates: Annotated[
        dict[Name, Holder],
        Meta(max_length=1000, description="Whose client certificates are taken in place of virtual keys."),
    ] = {}
    sign_in: Annotated[SignIn, Meta(description="How people come into the control plane.")] = field(
        default_factory=SignIn
    )
    server: Annotated[Server, Meta(description="Limits of the data plane's listening side.")] = field(
        default_factory=Server
    )
    conversations: Annotated[
        Conversations, Meta(description="What is remembered of conversations between their calls.")
    ] = field(default_factory=Conversations)
    caches: Annotated[Caches, Meta(description="What kept answers of all workloads may take.")] = field(
        default_factory=Caches
    )
    journal: Annotated[Journal, Meta(description="How records of attempts reach the disk.")] = field(
        default_factory=Journal
    )
    ledger: Annotated[Ledger, Meta(description="What the ledger keeps, and for how long.")] = field(
        default_factory=Ledger
    )
    store: Annotated[
        Secret | None,
        Meta(
            description="The database, as `postgresql://user:password@host/database`; `${NAME}` reads an environment "
            "variable, `file:/path` a file. A file in the state directory when left out. Read at start."
        ),
    ] = None
    telemetry: Annotated[Telemetry, Meta(description="What is told of single requests besides the ledger.")] = field(
        default_factory=Telemetry
    )
    alerts: Annotated[Alerts, Meta(description="What fires, and who is told.")] = field(default_factory=Alerts)
    config_source: Annotated[Literal["file"], Meta(description="Where the truth lies.")] = "file"
