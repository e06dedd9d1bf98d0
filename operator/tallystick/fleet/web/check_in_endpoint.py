"""POST /v1/devices/{id}/check-in: the one request of a device after its enrollment."""

import re

from aiohttp import hdrs, web

from tallystick.crypto.profiles import matching, serial, text
from tallystick.errors import ExchangeRefusedError
from tallystick.exchange.app_context import IN_FLIGHT
from tallystick.exchange.requests import DPOP, presented_token, read_object
from tallystick.exchange.responses import empty_response, json_response
from tallystick.fleet.domain.facts import Failure
from tallystick.fleet.services.check_ins import CheckedIn, CheckInRequest, CheckIns, HandedOut
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.fleet.web.problems import CHECK_IN, problem_of
from tallystick.objects.ports import Clock
from tallystick.schema.times import rfc3339, whole_second

NO_COPY = "the device must send its token as Authorization: DPoP, with a proof; without a key, as Authorization: Bearer"
REASON = re.compile(r"[A-Z][A-Za-z]{0,62}")
LONGEST_MESSAGE = 256
WRONG_FAILURE = (
    "failed must have generation (an integer), reason (letters, the first in upper case, at most 63) and optionally "
    f"message (at most {LONGEST_MESSAGE} printable characters)"
)
# RFC 9449, section 7.1.
_ALGORITHMS = 'algs="ES256"'
_NO_TOKEN = f"DPoP {_ALGORITHMS}"
_is_reason, _is_message = matching(REASON.pattern), text(LONGEST_MESSAGE)


class CheckInEndpoint:
    """The handler of one replica."""

    def __init__(self, check_ins: CheckIns, clock: Clock) -> None:
        self._check_ins = check_ins
        self._clock = clock

    async def post(self, request: web.Request) -> web.Response:
        """Take a check-in."""
        try:
            checked_in = await request.app[IN_FLIGHT].result_of(self._check_ins.take(await self._read(request)))
        except DeviceRefusedError as refused:
            raise problem_of(refused, CHECK_IN, challenge=f'DPoP error="{refused.code}", {_ALGORITHMS}') from None
        return _response(checked_in)

    async def _read(self, request: web.Request) -> CheckInRequest:
        presented = presented_token(request)
        if presented is None:
            challenge = _NO_TOKEN if hdrs.AUTHORIZATION not in request.headers else ""
            refused = DeviceRefusedError("invalid_token", NO_COPY, verified=False)
            raise problem_of(refused, CHECK_IN, challenge=challenge or f'DPoP error="invalid_token", {_ALGORITHMS}')
        members = await read_object(request, may_be_empty=True)
        return CheckInRequest(
            unverified_jwt=presented.unverified,
            with_proof=presented.with_proof,
            unverified_proofs=request.headers.getall(DPOP, []),
            device=request.match_info["id"],
            failed=self._failure(members.get("failed")),
            source=request.remote or "",
        )

    def _failure(self, failed: object) -> Failure | None:
        """Read the failure that a device reports, with the time of the request."""
        if failed is None:
            return None
        members = failed if isinstance(failed, dict) else {}
        generation, reason, message = (members.get(name) for name in ("generation", "reason", "message"))
        if not serial(generation) or not _is_reason(reason) or not (message is None or _is_message(message)):
            raise ExchangeRefusedError("invalid_request", WRONG_FAILURE)
        return Failure(int(generation or 0), str(reason), str(message or ""), whole_second(self._clock.now()))


def _response(checked_in: CheckedIn) -> web.Response:
    headers: dict[str, str] = {hdrs.RETRY_AFTER: str(checked_in.wait)}
    if checked_in.handed_out is None:
        return empty_response(status=204, headers=headers)
    return json_response(_body(checked_in.handed_out), headers=headers)


def _body(handed_out: HandedOut) -> dict[str, object]:
    copy, before = handed_out.copy, handed_out.prove_before
    return {
        "generation": copy.generation,
        "token_id": copy.token_id,
        "token": copy.signed_jwt,
        "token_type": DPOP if copy.key_bound else "Bearer",
        "rotation": handed_out.rotation,
        **({"prove_before": rfc3339(before)} if before is not None else {}),
    }
