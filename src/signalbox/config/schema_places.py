"""Settings of environments and their operators, each with its default and a sentence; part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.schema_words import Api, Date, Days, Name, Region, Text, Word

Kind = Literal["cloud", "private-cloud", "on-prem", "edge"]


class Attestation(Struct, frozen=True, forbid_unknown_fields=True):
    """A contract or certificate that an environment holds, with its limits."""

    name: Annotated[
        Word, Meta(description="What is attested, as rules name it, such as baa, dpa, scc or zero-retention.")
    ]
    until: Annotated[
        Date | None, Meta(description="Last day on which it holds (UTC); from the next day on it counts as absent.")
    ] = None
    evidence: Annotated[Text | None, Meta(description="Where the proof lies: a path, a link or a contract number.")] = (
        None
    )
    covers: Annotated[list[Api], Meta(description="APIs it holds for; empty means all of them.")] = []
    owner: Annotated[Text | None, Meta(description="Who answers for it and renews it.")] = None


class VendorAttestation(Attestation, frozen=True, forbid_unknown_fields=True):
    """A contract or certificate of an operator, with its limits."""

    environments: Annotated[
        list[Name], Meta(description="Environments of this operator it holds for; empty means all of them.")
    ] = []


class Vendor(Struct, frozen=True, forbid_unknown_fields=True):
    """What is on file about one operator of environments."""

    attests: Annotated[
        list[Word | VendorAttestation],
        Meta(
            description="Contracts and certificates, by name or with `until`, `evidence`, `owner`, `covers` and "
            "`environments`. They count in each environment of this operator that says nothing of the same name itself."
        ),
    ] = []
    owner: Annotated[Text | None, Meta(description="Who answers for this entry and renews what runs out.")] = None
    subprocessors: Annotated[
        list[Text], Meta(max_length=500, description="Whom the operator passes content to. Kept on file.")
    ] = []
    regions: Annotated[
        list[Region],
        Meta(description="Where the contract lets it process and store; an environment elsewhere is a finding."),
    ] = []
    retention_days: Annotated[
        Days | None,
        Meta(description="Days it keeps content; contradicts `zero-retention` above 0."),
    ] = None
    trains_on_data: Annotated[
        bool | None, Meta(description="Whether it trains on content; true contradicts `no-training`.")
    ] = None


class Environment(Struct, frozen=True, forbid_unknown_fields=True):
    """A place where models run, with the facts that rules need."""

    kind: Annotated[Kind, Meta(description="Who else is in the room: cloud, private-cloud, on-prem or edge.")]
    region: Annotated[
        Region | None,
        Meta(description="Where content is processed; eu contains eu/de. Unknown when left out: no region rule holds."),
    ] = None
    storage_region: Annotated[
        Region | None, Meta(description="Where content may come to rest. The same as `region` when left out.")
    ] = None
    operator: Annotated[
        Text | None, Meta(description="Who runs it. `self` for on-prem and edge, unknown for clouds when left out.")
    ] = None
    jurisdiction: Annotated[
        Region | None, Meta(description="Whose law reaches the operator. Unknown when left out: no such rule holds.")
    ] = None
    attests: Annotated[
        list[Word | Attestation],
        Meta(description="Contracts and certificates it holds, by name or with `until`, `evidence` and `covers`."),
    ] = []
