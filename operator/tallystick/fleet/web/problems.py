"""The problems (RFC 9457) that devices get, by error code."""

from tallystick.errors import ProblemError
from tallystick.fleet.services.refused import DeviceRefusedError

INVALID_TOKEN = "The token is not valid"  # noqa: S105 - a title
INVALID_PROOF = "The DPoP proof is not valid"

# By error code of a rejected enrollment: the status, the title, and a description for the API document.
ENROLLMENT = {
    "dpop_required": (400, "A key is required", ""),
    "invalid_dpop_proof": (400, INVALID_PROOF, ""),
    "invalid_token": (401, INVALID_TOKEN, "The enrollment token is missing, not valid, expired, revoked or replaced."),
    "enrolment_closed": (403, "Enrollment is closed", ""),
    "device_limit": (403, "The PairingToken allows no more devices", ""),
    "device_revoked": (403, "The device is revoked", "No device of this key is enrolled now."),
    "too_many_requests": (429, "", ""),
}
CHECK_IN = {
    "invalid_token": (401, INVALID_TOKEN, ""),
    "invalid_dpop_proof": (401, INVALID_PROOF, "The copy or the proof of its key is missing or not valid."),
    "not_found": (404, "", "The token belongs to another device."),
    "device_removed": (410, "The device was removed", "The Device was deleted: stop calling."),
}
Refusals = dict[str, tuple[int, str, str]]


def problem_of(refused: DeviceRefusedError, refusals: Refusals, *, challenge: str = "") -> ProblemError:
    """Return the problem of a rejection. Only a token that is not ours counts as a failure of its source.

    Args:
        refused: The rejection.
        refusals: The problems of the endpoint.
        challenge: The header `WWW-Authenticate` of a 401.
    """
    status, title, _ = refusals[refused.code]
    return ProblemError(
        status,
        refused.code,
        refused.description,
        title=title,
        challenge=challenge,
        excused=refused.verified,
        retry_after=refused.retry_after,
    )
