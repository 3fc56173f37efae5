"""The table of detectors, in the order in which they look: a later one may use what earlier ones found."""

from __future__ import annotations

from signalbox.detectors import (
    bank,
    cards,
    email_addresses,
    ip_addresses,
    markings,
    national_ids,
    phones,
    secrets,
)
from signalbox.detectors.detector import Detector

DETECTORS: tuple[Detector, ...] = (
    secrets.DETECTOR,
    cards.DETECTOR,
    bank.DETECTOR,
    national_ids.DETECTOR,
    email_addresses.DETECTOR,
    ip_addresses.DETECTOR,
    phones.DETECTOR,
    markings.DETECTOR,
)
