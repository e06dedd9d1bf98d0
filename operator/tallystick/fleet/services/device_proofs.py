"""Accept the proofs of devices (RFC 9449): each check-in has a URL of its own."""

import re
from dataclasses import dataclass

from tallystick.fleet.domain.next_check_in import DEVICES_PATH, check_in_path
from tallystick.objects.ports import Audit, Clock
from tallystick.tokens.proofs import Proofs

_DEVICE = re.compile(r"d-[a-z2-7]{26}")


@dataclass(frozen=True, slots=True)
class DeviceProofs:
    """The proofs of one replica.

    Attributes:
        base_urls: The public URLs of the exchange, from the settings and never from a request (docs/rules.md#s14).
        clock: The time at which a proof is verified.
        audit: The audit log, for proofs that are not valid.
    """

    base_urls: tuple[str, ...]
    clock: Clock
    audit: Audit

    @property
    def of_enrollment(self) -> Proofs:
        """The proofs for the enrollment of a device."""
        return self._at(DEVICES_PATH, "enroll")

    def of_check_in(self, device: str) -> Proofs:
        """Return the proofs for the check-in of a device. A path that names no device has no URL, and no proof."""
        return self._at(check_in_path(device), "check-in") if _DEVICE.fullmatch(device) else self._none()

    def _at(self, path: str, action: str) -> Proofs:
        return Proofs(tuple(url + path for url in self.base_urls), self.clock, self.audit, action)

    def _none(self) -> Proofs:
        return Proofs((), self.clock, self.audit, "check-in")
