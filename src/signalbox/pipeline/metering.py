"""What this process has learnt of each deployment's tokens, for figures that its provider does not tell."""

from __future__ import annotations

from signalbox.ledger.estimate import Calibration


class Metering:
    """One calibration a deployment, by name so that it outlives a reload; bounded by the configuration's size."""

    NAMES_MAX = 10_000

    def __init__(self) -> None:
        self._by_name: dict[str, Calibration] = {}

    def of(self, deployment: str) -> Calibration:
        found = self._by_name.get(deployment)
        if found is None:
            if len(self._by_name) >= self.NAMES_MAX:
                self._by_name.clear()
            found = self._by_name[deployment] = Calibration()
        return found
