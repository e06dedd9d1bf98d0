"""The types of tokens of a fleet: the copy of a device, and the value that devices enroll with."""

from collections.abc import Callable, Mapping
from typing import Any

from tallystick.crypto.tokens import VerifiedClaims
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.copies import DEVICE
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.enrollment_values import ENROLLMENT
from tallystick.tokens.token_type import TokenType


def _project(verified: VerifiedClaims) -> Mapping[str, object]:
    """Return the members of introspection: a verifier compares the project with its own."""
    return {"project": verified.claims["project"]}


TOKEN_TYPES = (
    TokenType(profile=DEVICE, resource=DEVICES, introspected=_project),
    TokenType(profile=ENROLLMENT, resource=PAIRING_TOKENS, introspected=_project),
)


def has_copy(generation: int) -> Callable[[Mapping[str, Any]], bool]:
    """Return a check whether a Device, as it was read, has proved or was offered a generation, or a newer one.

    A copy leaves only after it is recorded, so an older reading of the Device is not used to reject it.
    """

    def reached(body: Mapping[str, Any]) -> bool:
        status = body.get("status") or {}
        proved = status.get("generation") or body["spec"]["generation"]
        offered = (status.get("offer") or {}).get("generation") or 0
        return bool(max(proved, offered) >= generation)

    return reached


def has_value(serial: int, generation: int) -> Callable[[Mapping[str, Any]], bool]:
    """Return a check whether a PairingToken, as it was read, has this serial and generation, or a later one."""

    def reached(body: Mapping[str, Any]) -> bool:
        present = int((body.get("status") or {}).get("generation") or 1)
        return int(body["spec"].get("serial") or 1) >= serial and present >= generation

    return reached
