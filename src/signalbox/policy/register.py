"""What is attested and until when: environments' own statements, the vendor register, documents of workloads.

An environment's own statement wins over what the register says about its operator under the same name, lapsed or not.
Everything counts on its last day (`until`, UTC) and no longer on the next.
"""

from __future__ import annotations

from datetime import date, timedelta

from msgspec import Struct

from signalbox.config import schema, schema_places, schema_workloads
from signalbox.config.declared import Declared, operator_of
from signalbox.policy.finding import Finding

# Days before the last one on which a warning is due.
WARN_DAYS = (90, 30, 7)


class Entry(Struct, frozen=True):
    """One thing that is attested. holder: whom it is about. place: where the file says it. environments: where it
    counts, empty for a document."""

    kind: str
    name: str
    holder: str
    place: str
    until: str | None = None
    evidence: str | None = None
    owner: str | None = None
    covers: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    def days_left(self, today: date) -> int | None:
        """Days after today on which it still holds; negative once it lapsed, None without an end."""
        return None if self.until is None else (date.fromisoformat(self.until) - today).days

    def state(self, today: date) -> str:
        """One of no-end, valid, expiring (90 days or fewer), expired."""
        left = self.days_left(today)
        if left is None:
            return "no-end"
        return "expired" if left < 0 else "expiring" if left <= WARN_DAYS[0] else "valid"


class Operator(Struct, frozen=True):
    """One operator with everything attested about it. vendor: its entry in the register, or None."""

    name: str
    vendor: schema_places.Vendor | None
    environments: tuple[str, ...]
    entries: tuple[Entry, ...]


class Register:
    """The vendor register of one file, indexed by operator; upper and lower case of operators are alike."""

    def __init__(self, config: schema.Config) -> None:
        self._config = config
        self._vendors = {name.casefold(): (name, vendor) for name, vendor in config.vendors.items()}
        self._places: dict[str, list[str]] = {}
        for name, environment in config.environments.items():
            self._places.setdefault(operator_of(environment).casefold(), []).append(name)

    def vendor_of(self, environment: str) -> tuple[str, schema_places.Vendor] | None:
        """The entry about an environment's operator, with its name in the file."""
        return self._vendors.get(operator_of(self._config.environments[environment]).casefold())

    def operates(self, operator: str) -> list[str]:
        """The environments of an operator."""
        return self._places.get(operator.casefold(), [])

    def attests(self, environment: str) -> list[schema_places.Attestation]:
        """An environment's own statements, then its operator's under names it is silent about."""
        own = [_attestation(held) for held in self._config.environments[environment].attests]
        stated = {held.name for held in own}
        found = self.vendor_of(environment)
        if found is None:
            return own
        held_by_vendor = [_vendor_attestation(held) for held in found[1].attests]
        return own + [held for held in held_by_vendor if held.name not in stated and _is_for(held, environment)]

    def entries(self) -> list[Entry]:
        """Everything attested, in the order of the file: register, environments, documents of workloads."""
        found: list[Entry] = []
        for operator, vendor in self._config.vendors.items():
            silent = [(name, self._stated(name)) for name in self.operates(operator)]
            for held in map(_vendor_attestation, vendor.attests):
                where = tuple(name for name, stated in silent if held.name not in stated and _is_for(held, name))
                owner = held.owner or vendor.owner
                found.append(_entry(held, f"vendor {operator!r}", f"vendors.{operator}", owner, where))
        for name, environment in self._config.environments.items():
            for held in map(_attestation, environment.attests):
                found.append(_entry(held, f"environment {name!r}", f"environments.{name}", held.owner, (name,)))
        for name, workload in self._config.workloads.items():
            for title, document in workload.facts.documents.items():
                found.append(_document(name, title, document))
        return found

    def _stated(self, environment: str) -> set[str]:
        return {_attestation(held).name for held in self._config.environments[environment].attests}

    def operators(self) -> list[Operator]:
        """Those of the register in the order of the file, then others that operate an environment."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries():
            found.setdefault(entry.place, []).append(entry)
        names = dict.fromkeys([*self._vendors, *self._places])
        listed: list[Operator] = []
        for key in names:
            places = self._places.get(key, [])
            named, vendor = self._vendors.get(key, ("", None))
            name = named or operator_of(self._config.environments[places[0]]) or "(unknown)"
            held = [
                entry
                for place in (f"vendors.{named}", *(f"environments.{each}" for each in places))
                for entry in found.get(place, [])
            ]
            listed.append(Operator(name, vendor, tuple(places), tuple(held)))
        return listed


def _is_for(held: schema_places.VendorAttestation, environment: str) -> bool:
    return not held.environments or environment in held.environments


def _document(workload: str, title: str, document: str | schema_workloads.Document) -> Entry:
    if isinstance(document, str):
        document = schema_workloads.Document(document)
    return Entry(
        "document",
        title,
        f"workload {workload!r}",
        f"workloads.{workload}",
        document.until,
        document.evidence,
        document.owner,
    )


def _entry(
    held: schema_places.Attestation, holder: str, place: str, owner: str | None, environments: tuple[str, ...]
) -> Entry:
    return Entry(
        "attestation",
        held.name,
        holder,
        place,
        held.until,
        held.evidence,
        owner,
        tuple(held.covers),
        environments,
    )


def stale_on(config: schema.Config, today: date) -> str | None:
    """The next day on which something lapses or a warning about it is due: compile anew then. None for never."""
    days: list[date] = []
    for entry in Register(config).entries():
        if entry.until is None:
            continue
        last = date.fromisoformat(entry.until)
        days += [last - timedelta(days=ahead) for ahead in WARN_DAYS if (last - date.min).days >= ahead]
        days += [last + timedelta(days=1)] if last < date.max else []
    coming = [day for day in days if day > today]
    return min(coming).isoformat() if coming else None


# --- findings ---


def findings(declared: Declared, today: date) -> list[Finding]:
    """What runs out, and what the register contradicts or leaves open."""
    register = Register(declared.config)
    running_out = (_running_out(declared, entry, today) for entry in register.entries())
    found = [finding for finding in running_out if finding is not None]
    for operator, vendor in declared.config.vendors.items():
        place = declared.where(f"vendors.{operator}")
        if not register.operates(operator):
            found.append(Finding("warning", place, f"vendor {operator!r} operates no environment: it has no effect."))
        bare = [held if isinstance(held, str) else held.name for held in vendor.attests if _without_evidence(held)]
        if bare:
            found.append(Finding("warning", place, f"vendor {operator!r} has no evidence on file for {_list(bare)}."))
    for name in declared.config.environments:
        found += _contradictions(declared, register, name)
    return found


def _running_out(declared: Declared, entry: Entry, today: date) -> Finding | None:
    left = entry.days_left(today)
    if left is None or left > WARN_DAYS[0]:
        return None
    whose = f" Ask {entry.owner}." if entry.owner else ""
    place = declared.where(entry.place)
    if left < 0:
        text = f"{entry.kind} {entry.name!r} of {entry.holder} lapsed on {entry.until}: it counts as absent.{whose}"
        return Finding("warning", place, text, "expired")
    within = min(days for days in WARN_DAYS if left <= days)
    when = "ends today" if left == 0 else f"ends in {left} day{'s' if left > 1 else ''}"
    text = f"{entry.kind} {entry.name!r} of {entry.holder} {when}, on {entry.until} (within {within} days).{whose}"
    return Finding("warning", place, text, "expiring")


def _contradictions(declared: Declared, register: Register, name: str) -> list[Finding]:
    found_vendor, environment = register.vendor_of(name), declared.config.environments[name]
    if found_vendor is None:
        return []
    operator, vendor = found_vendor
    place = declared.where(f"environments.{name}")
    held = {attestation.name for attestation in register.attests(name)}
    found: list[Finding] = []
    if vendor.trains_on_data and "no-training" in held:
        what = f"environment {name!r} counts as no-training, but the register says that {operator!r} trains on data."
        found.append(Finding("error", place, f"{what} Put one of the two right."))
    if vendor.retention_days and "zero-retention" in held:
        what = f"environment {name!r} counts as zero-retention, but the register says that {operator!r} keeps content"
        found.append(Finding("error", place, f"{what} for {vendor.retention_days} days. Put one of the two right."))
    for region in dict.fromkeys((environment.region, environment.storage_region)):
        if region is not None and vendor.regions and not any(_inside(region, wide) for wide in vendor.regions):
            what = f"environment {name!r} is in {region}, where the contract with {operator!r} does not reach"
            found.append(Finding("error", place, f"{what} ({_list(vendor.regions)}). Put one of the two right."))
    return found


def _inside(region: str, wide: str) -> bool:
    return region == wide or region.startswith(f"{wide}/")


def _without_evidence(held: str | schema_places.VendorAttestation) -> bool:
    return isinstance(held, str) or held.evidence is None


def _list(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _attestation(held: str | schema_places.Attestation) -> schema_places.Attestation:
    return schema_places.Attestation(held) if isinstance(held, str) else held


def _vendor_attestation(held: str | schema_places.VendorAttestation) -> schema_places.VendorAttestation:
    return schema_places.VendorAttestation(held) if isinstance(held, str) else held
