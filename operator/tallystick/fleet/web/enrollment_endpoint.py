"""POST /v1/devices: a device enrolls with the value of its PairingToken and a proof of its key."""

from aiohttp import hdrs, web

from tallystick.crypto.profiles import text
from tallystick.errors import ExchangeRefusedError
from tallystick.exchange.app_context import IN_FLIGHT
from tallystick.exchange.requests import DPOP, bearer_of, read_object
from tallystick.exchange.responses import json_response
from tallystick.fleet.domain.next_check_in import check_in_path
from tallystick.fleet.services.enrolling import Enrolled, Enrolling, EnrollRequest
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.fleet.web.problems import ENROLLMENT, problem_of

NO_VALUE = "the device must send its enrollment token as a bearer token"
LONGEST_NAME = 63
_is_name = text(LONGEST_NAME)


class EnrollmentEndpoint:
    """The handler of one replica."""

    def __init__(self, enrolling: Enrolling, *, base_url: str) -> None:
        """Hold the use case.

        Args:
            enrolling: The use case.
            base_url: The public URL of the exchange at which the device checks in.
        """
        self._enrolling = enrolling
        self._base_url = base_url

    async def post(self, request: web.Request) -> web.Response:
        """Enroll a device, or answer one that has enrolled before."""
        try:
            unverified_jwt = _value_of(request)
            name = await _name(request)
            enrolling = self._enrolling.enroll(
                EnrollRequest(
                    unverified_jwt=unverified_jwt,
                    unverified_proofs=request.headers.getall(DPOP, []),
                    display_name=name,
                    source=request.remote or "",
                )
            )
            enrolled = await request.app[IN_FLIGHT].result_of(enrolling)
        except DeviceRefusedError as refused:
            raise problem_of(refused, ENROLLMENT) from None
        return json_response(self._body(enrolled), status=201 if enrolled.created else 200)

    def _body(self, enrolled: Enrolled) -> dict[str, object]:
        copy = enrolled.copy
        return {
            "device_id": enrolled.device_id,
            "project": enrolled.project,
            "generation": copy.generation,
            "token_id": copy.token_id,
            "token": copy.signed_jwt,
            "token_type": DPOP if copy.key_bound else "Bearer",
            "check_in_uri": self._base_url + check_in_path(enrolled.device_id),
            "check_in_seconds": enrolled.check_in_seconds,
        }


async def _name(request: web.Request) -> str | None:
    """Return the name that the device gives itself. The body may be absent."""
    name = (await read_object(request, may_be_empty=True)).get("name")
    if name is not None and not _is_name(name):
        raise ExchangeRefusedError("invalid_request", f"name must have 1 to {LONGEST_NAME} printable characters")
    return name if isinstance(name, str) else None


def _value_of(request: web.Request) -> str:
    try:
        return bearer_of(request)
    except web.HTTPUnauthorized as missing:
        refused = DeviceRefusedError("invalid_token", NO_VALUE, verified=False)
        raise problem_of(refused, ENROLLMENT, challenge=missing.headers[hdrs.WWW_AUTHENTICATE]) from None
