"""Issue a pairing token over HTTP: create a PairingToken for the caller, wait for the controller, and return the token.

    authenticate --> authorize --> create --> wait until Active --> compute the token, compare its digest

The controller issues the token as for any other object, and stores it in its Secret. The exchange reads no Secret: it
computes the same token from the object and the keyring, byte for byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tallystick.errors import TallystickError
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader, retry_later
from tallystick.objects.obstacles import words_of
from tallystick.objects.ports import (
    AlreadyExistsError,
    Cluster,
    ConflictError,
    Ids,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState
from tallystick.pairing.domain.pairing_request import (
    Denied,
    Requester,
    Wanted,
    pairing_token_body,
    use_case_denied,
    wanted,
)
from tallystick.pairing.services.issuing import PairingIssuer
from tallystick.pairing.services.request_rate import RequestRate
from tallystick.pairing.services.requesters import Requesters

WAIT_SECONDS = 5.0
# The controller issues within some hundredths of a second. A longer wait asks less often.
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.02, 0.25, 1.3
NOT_AUTHENTICATED = "send the admin token, or a Kubernetes token whose audience is the issuer, as a bearer token"


@dataclass(frozen=True, slots=True)
class PairingRequest:
    """A request. The bearer token is not verified."""

    unverified_bearer: str = field(repr=False)
    use_case: str
    body: Mapping[str, object]
    source: str = ""


@dataclass(frozen=True, slots=True)
class IssuedPairing:
    """The response to the caller. `signed_jwt` is the pairing token itself."""

    signed_jwt: str = field(repr=False)
    token_id: str
    expires_in: int
    namespace: str
    name: str


class PairingRefusedError(TallystickError):
    """The exchange rejects a request for a pairing token.

    Attributes:
        code: The error code.
        description: The text for the caller.
        retry_after: Seconds until the caller may try again; 0 for never.
    """

    def __init__(self, code: str, description: str, *, retry_after: int = 0) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.retry_after = retry_after


class PairingRequests:
    """The use case, for one replica."""

    def __init__(
        self,
        cluster: Cluster,
        reader: FreshReader,
        issuer: PairingIssuer,
        requesters: Requesters,
        ctx: Context,
        *,
        ids: Ids,
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._issuer = issuer
        self._requesters = requesters
        self._ctx = ctx
        self._ids = ids
        self._rate = RequestRate(ctx.clock)

    async def issue(self, request: PairingRequest) -> IssuedPairing:
        """Create a PairingToken for the caller, and return its token.

        Raises:
            PairingRefusedError: The request is rejected, or the token is not issued in time.
            NotYetError: The API server does not respond, or the signing keys cannot be read.
        """
        requester: Requester | None = None
        try:
            authenticated = await self._requesters.authenticate(request.unverified_bearer)
            if authenticated is None:
                raise PairingRefusedError("invalid_token", NOT_AUTHENTICATED)
            requester, caller = authenticated
            self._check_rate(requester)
            asked = self._wanted(request, requester)
            if caller is not None:
                _raise_if(await self._requesters.denied(caller, asked))
            created = await self._create(asked, requester)
            issued = self._computed(await self._active(created))
        except PairingRefusedError as refused:
            who = requester.name if requester is not None else None
            self._record(request, "refused", caller=who, reason=refused.code, text=refused.description)
            raise
        self._record(
            request,
            "ok",
            kind=PAIRING_TOKENS.kind,
            namespace=issued.namespace,
            name=issued.name,
            uid=created.metadata.uid,
            token_id=issued.token_id,
            caller=requester.name,
        )
        return issued

    def _check_rate(self, requester: Requester) -> None:
        wait = self._rate.wait_of(requester.name)
        if wait:
            text = f"at most {self._rate.most} requests a minute of one caller; try again later"
            raise PairingRefusedError("too_many_requests", text, retry_after=wait)

    def _wanted(self, request: PairingRequest, requester: Requester) -> Wanted:
        policy = self._issuer.policy
        _raise_if(use_case_denied(request.use_case, policy.use_cases))
        asked = wanted(request.use_case, request.body, requester, policy.requester)
        if isinstance(asked, Denied):
            raise PairingRefusedError(asked.code, asked.text)
        return asked

    async def _create(self, asked: Wanted, requester: Requester) -> PairingToken:
        """Create the object. If the response is lost, read the object by its name, which is random."""
        self._ctx.server_clock.check()
        name = f"pair-{self._ids.new()}"
        body = pairing_token_body(asked, requester, self._issuer.policy.requester, name=name)
        try:
            return PairingToken.model_validate(await self._cluster.create(PAIRING_TOKENS, body))
        except NotFoundError:
            text = f"namespace {asked.namespace} does not exist"
            raise PairingRefusedError("invalid_request", text) from None
        except (UnavailableError, AlreadyExistsError) as error:
            raw = await self._reader.get_uncached(PAIRING_TOKENS, asked.namespace, name)
            if raw is None:
                raise retry_later(error if isinstance(error, UnavailableError) else UnavailableError(name)) from error
            return PairingToken.model_validate(raw)
        except ConflictError as error:  # another create has changed a quota
            raise retry_later(UnavailableError(str(error))) from error
        except RefusedError as refused:
            text = f"the API server rejects the PairingToken: {words_of(refused)}"
            raise PairingRefusedError("forbidden", text) from refused

    async def _active(self, created: PairingToken) -> PairingToken:
        """Wait until the controller has issued the token, for 5 seconds at most."""
        clock, meta = self._ctx.clock, created.metadata
        began, pause = clock.monotonic(), FIRST_PAUSE
        token = created
        while token.status.state is not PairingTokenState.ACTIVE or token.status.serial != 1:
            if clock.monotonic() - began >= WAIT_SECONDS:
                raise _not_in_time(token)
            await clock.pause(pause)
            pause = min(pause * GROWTH, LONGEST_PAUSE)
            raw = await self._reader.get_uncached(PAIRING_TOKENS, meta.namespace, meta.name)
            if raw is None or raw["metadata"]["uid"] != meta.uid:
                raise PairingRefusedError("forbidden", f"another user has deleted PairingToken {_named(created)}")
            token = PairingToken.model_validate(raw)
        return token

    def _computed(self, token: PairingToken) -> IssuedPairing:
        """Compute the token that the controller has issued. It must have the same claims (docs/rules.md#s1)."""
        meta, status = token.metadata, token.status
        signed = self._issuer.signed_as_issued(token)
        if signed is None or status.token_id is None or status.expires_in is None:
            text = (
                f"the token of PairingToken {_named(token)} cannot be computed here, because exchange and controller "
                "have different settings; read its Secret"
            )
            raise PairingRefusedError("temporarily_unavailable", text, retry_after=5)
        return IssuedPairing(signed, status.token_id, status.expires_in, meta.namespace, meta.name)

    def _record(self, request: PairingRequest, outcome: str, **facts: str | int | None) -> None:
        self._ctx.audit.record("request", outcome, **facts, use_case=request.use_case, source=request.source)


def _raise_if(denied: Denied | None) -> None:
    if denied is not None:
        raise PairingRefusedError(denied.code, denied.text)


def _named(token: PairingToken) -> str:
    return f"{token.metadata.namespace}/{token.metadata.name}"


def _not_in_time(token: PairingToken) -> PairingRefusedError:
    said = next((one for one in token.status.conditions if one.type == "Ready"), None)
    reason = f" ({said.reason})" if said is not None else ""
    text = (
        f"PairingToken {_named(token)} is not Active after {WAIT_SECONDS:.0f} seconds{reason}; read its status, or "
        "repeat the request for another token"
    )
    return PairingRefusedError("temporarily_unavailable", text, retry_after=5)
