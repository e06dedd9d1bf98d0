"""Requests for pairing tokens at one replica, beside a controller that issues what the exchange has created."""

from typing import Any

from aiohttp.test_utils import TestClient

from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.admin_token import admin_master_token, new_record
from tallystick.pairing.domain.requester_mode import RequesterMode
from tallystick.pairing.domain.settings import PairingSettings
from tallystick.pairing.domain.token_claims import PairingTokenClaims, grant
from tallystick.pairing.domain.tokens import MASTER, PAIRING, master_claims
from tallystick.pairing.feature import pairing_policy
from tests.worlds.replica import Replica, _as_issued, a_bearer

Json = dict[str, Any]

HOME = "tallystick-system"
PATH = "/v1/service_trust/pairing/mission-control"
TRIGGER_UID = "0b9f7a52-98a0-4f0e-8f5b-3c9d1d6a7a10"
CREATE = ("create", "pairingtokens")
USE = ("use", "usecases")


class PolicyReplica(Replica):
    """A replica whose tokens have their requester as subject."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settings = PairingSettings(requester=RequesterMode.POLICY)
        self.policy = pairing_policy((self.issuer,), self.settings)
        self.tokens.policy = self.policy
        self.app = self._composed()


class Requesting:
    """A replica whose caller `press` may create PairingTokens and use `mission-control` in `edge`."""

    def __init__(self, replica: Replica | None = None) -> None:
        self.replica = replica or Replica()
        self.cluster, self.clock = self.replica.cluster, self.replica.clock
        self.clock.pause = self._pause  # type: ignore[method-assign]
        self.cluster.rights |= {
            ("press", *CREATE, "edge", ""),
            ("press", *USE, "edge", "mission-control"),
        }

    async def _pause(self, seconds: float) -> None:
        """Let time pass while the exchange waits, as it does: a token that is never issued ends the wait."""
        self.clock.advance(seconds)

    async def ask(self, bearer: str | None, *, path: str = PATH, body: Json | None = None, issued: bool = True) -> Any:
        """Send a request; return the status and the body of the response."""
        async with self.replica.client() as client:
            return await self.ask_by(client, bearer, path=path, body=body, issued=issued)

    async def ask_by(
        self, client: TestClient, bearer: str | None, *, path: str = PATH, body: Json | None = None, issued: bool = True
    ) -> Any:
        if issued:
            self.cluster.before_next("get", PAIRING_TOKENS.plural, self.issue_all)
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        answer = await client.post(path, headers=headers, **({} if body is None else {"json": body}))
        self.headers = answer.headers
        return answer.status, await answer.json()

    def issue_all(self, **changes: Any) -> None:
        """Issue the tokens of all objects that have none, as the controller does."""
        for body in self.objects():
            if "status" in body:
                continue
            token = PairingToken.model_validate(body)
            key_id = self.replica.keyring().signing_key(self.clock.now()).key_id
            granted = grant(token, self.replica.policy, now=self.clock.now(), key_id=key_id)
            assert isinstance(granted, PairingTokenClaims)
            digest = self.replica.tokens.claims_digest(granted)
            status = {**_as_issued(granted), "claimsDigest": digest, **changes}
            meta = body["metadata"]
            self.cluster.edit(
                PAIRING_TOKENS,
                meta["namespace"],
                meta["name"],
                lambda stored, status=status: stored.update(status=status),
            )

    def subject_of(self, signed: str) -> str:
        """Verify a pairing token, and return its subject."""
        return self.replica.signer.verify(signed, PAIRING, self.clock.now()).subject

    def objects(self) -> list[Json]:
        return self.cluster.all(PAIRING_TOKENS)

    def admin_token(self, namespace: str = HOME, **changes: Any) -> str:
        """Make an admin token as the controller does, and return it."""
        key_id = self.replica.keyring().signing_key(self.clock.now()).key_id
        record = new_record(generation=1, trigger=TRIGGER_UID, now=self.clock.now(), key_id=key_id)
        assert record.token is not None
        body = admin_master_token(record.token, namespace)
        body["spec"] |= changes
        token = MasterToken.model_validate(self.cluster.put(MASTER_TOKENS, body))
        return self.replica.signer.sign(master_claims(token, self.replica.issuer), profile=MASTER, key_id=key_id)

    def edit_admin(self, **spec: Any) -> None:
        (body,) = self.cluster.all(MASTER_TOKENS)
        meta = body["metadata"]
        self.cluster.edit(MASTER_TOKENS, meta["namespace"], meta["name"], lambda stored: stored["spec"].update(spec))


PRESS = a_bearer("press")
__all__ = ["CREATE", "HOME", "PATH", "PRESS", "USE", "PolicyReplica", "Replica", "Requesting"]
