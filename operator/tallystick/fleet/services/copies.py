"""Sign the copies of devices. A copy is a function of the Device and its generation, so it can be signed again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tallystick.errors import NotYetError
from tallystick.fleet.domain.copies import DEVICE, copy_claims, copy_id, key_of_copy
from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.fleet.domain.readings import pairing_token_of
from tallystick.tokens.signer import Signer


@dataclass(frozen=True, slots=True)
class SignedCopy:
    """A copy for its device. Its value is stored nowhere."""

    generation: int
    token_id: str
    signed_jwt: str = field(repr=False)
    key_bound: bool


class DeviceCopies:
    """Signs copies, and names the key that signs new ones."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def signing_key_id(self, now: datetime) -> str:
        """Return the ID of the key that signs new copies; raises NotYetError if the keyring was not read lately."""
        return self._signer.keyring.signing_key(now).key_id

    def sign(self, body: Mapping[str, Any], device: DeviceFacts, generation: int) -> SignedCopy:
        """Sign a copy that the device has proved or was offered. The same copy gives the same bytes (RFC 6979).

        Args:
            body: The Device as it was stored.
            device: Its facts.
            generation: The generation of the copy.

        Raises:
            NotYetError: The key of the copy is not in the keyring.
        """
        key_id = key_of_copy(device, generation)
        if key_id is None:
            raise NotYetError("temporarily_unavailable", "the copy was replaced meanwhile; try again")
        claims = copy_claims(
            device,
            generation,
            namespace=body["metadata"]["namespace"],
            project_key=body["spec"]["projectKey"],
            pairing_token=pairing_token_of(body),
            issuer=self._signer.issuer,
        )
        signed = self._signer.sign(claims, profile=DEVICE, key_id=key_id)
        return SignedCopy(generation, copy_id(device.uid, generation), signed, device.key_thumbprint is not None)
