"""The table of detectors, in the order in which they look: a later one may use what earlier ones found."""

from __future__ import annotations

from signalbox.detectors import (
    addresses,
    bank,
    cards,
    dates,
    email_addresses,
    export_control,
    health,
    ip_addresses,
    markings,
    national_ids,
    persons,
    phones,
    secrets,
    source_code,
)
from signalbox.detectors.detector import Detector

DETECTORS: tuple[Detector, ...] = (
    cards.DETECTOR,
    bank.DETECTOR,
    national_ids.DETECTOR,
    email_addresses.DETECTOR,
    ip_addresses.DETECTOR,
    phones.DETECTOR,
    dates.DETECTOR,
    addresses.DETECTOR,
    persons.DETECTOR,
    health.DETECTOR,
    markings.DETECTOR,
    export_control.DETECTOR,
    secrets.DETECTOR,
    source_code.DETECTOR,
)
