"""Which labels a call carries: the union of what workload, key and caller declare. Nothing here ever lowers one."""

from __future__ import annotations

from signalbox.core.call import Call
from signalbox.core.errors import BadRequest
from signalbox.core.labels import NONE, Labels, labels_of


def classify(call: Call) -> Labels:
    """Declared labels, raised by the workload's `opaque` class when parts cannot be read."""
    labels = call.workload.labels
    if call.principal.labels is not NONE:
        labels |= call.principal.labels
    if call.data_header is not NONE:
        labels |= call.data_header
    if call.envelope.opaque:
        labels |= call.workload.opaque
    return labels


def declared(header: str) -> Labels:
    """Labels from an `x-signalbox-data: phi,personal` header. Raises BadRequest for an unknown name: a typing error
    must not lower what the caller meant to raise."""
    names = [name.strip().lower() for name in header.split(",") if name.strip()]
    try:
        return labels_of(names)
    except ValueError as error:
        raise BadRequest(
            f"x-signalbox-data names an unknown data class {str(error)[:64]!r}.", param="x-signalbox-data"
        ) from None
