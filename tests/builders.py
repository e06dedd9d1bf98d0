"""Our objects with keyword defaults. `raw_*` give what the API server would, the others what we read from it.

Spec and status are spelled as in YAML; None leaves a field out.
"""

import functools
from datetime import datetime, timedelta
from typing import Any

from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import SigningKey
from tallystick.errors import NotYetError
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.policy import PairingPolicy
from tallystick.pairing.domain.requester import RequesterMode
from tallystick.pairing.domain.tokens import master_token_name, pairing_token_id
from tallystick.pairing.domain.use_cases import use_cases
from tallystick.schema.meta import API_VERSION
from tallystick.schema.times import rfc3339
from tallystick.tokens.lost_keys import KeysLostError
from tests.fakes import NOON

Json = dict[str, Any]

ISSUER = "https://trust.example.com"
REQUESTER = "alice@example.com"
UID = "0b9f7a52-98a0-4f0e-8f5b-3c9d1d6a7a10"
OTHER_UID = "11111111-98a0-4f0e-8f5b-3c9d1d6a7a10"
MASTER_UID = "6f1f2b1e-1c55-4a4e-9a3c-0d9f3c2b1a00"
CLAIM_ID = "5d1f2b1e-1c55-4a4e-9a3c-0d9f3c2b1a01"
MASTER_TOKEN_ID = "7e1f2b1e-1c55-4a4e-9a3c-0d9f3c2b1a02"
THUMBPRINT = "A" * 43
OTHER_THUMBPRINT = "B" * 42 + "A"


def raw_pairing_token(
    *,
    name: str = "press-1",
    namespace: str = "edge",
    uid: str | None = UID,
    generation: int = 1,
    deleting: bool = False,
    status: Json | None = None,
    **spec: Any,
) -> Json:
    """A PairingToken of purpose Service that Alice has asked for."""
    defaults: Json = {"purpose": "Service", "useCase": "mission-control", "requestedBy": REQUESTER}
    meta: Json = {"name": name, "namespace": namespace, "uid": uid, "generation": generation}
    meta["deletionTimestamp"] = rfc3339(NOON) if deleting else None
    return {
        "apiVersion": API_VERSION,
        "kind": PAIRING_TOKENS.kind,
        "metadata": _given(meta),
        "spec": _given({**defaults, **spec}),
        **({"status": _given(status)} if status is not None else {}),
    }


def a_pairing_token(**changes: Any) -> PairingToken:
    """`raw_pairing_token`, read."""
    return PairingToken.model_validate(raw_pairing_token(**changes))


def issued_status(
    *, serial: int = 1, state: str = "Active", uid: str = UID, issued: datetime = NOON, life: int = 300, **more: Any
) -> Json:
    """The status of a token that was issued at noon for 300 seconds."""
    return {
        "observedGeneration": 1,
        "state": state,
        "serial": serial,
        "tokenID": pairing_token_id(uid, serial),
        "kid": a_key().key_id,
        "subject": REQUESTER,
        "issuedTime": rfc3339(issued),
        "expirationTime": rfc3339(issued + timedelta(seconds=life)),
        "expiresIn": life,
        **more,
    }


def a_redemption(**changes: Any) -> Json:
    """The redemption of a client that has proved a key."""
    defaults: Json = {
        "redemptionID": CLAIM_ID,
        "clientKeyThumbprint": THUMBPRINT,
        "masterTokenID": MASTER_TOKEN_ID,
        "kid": a_key().key_id,
        "scope": ["mission-control:admin"],
        "time": rfc3339(NOON),
    }
    return _given({**defaults, **changes})


def used_status(*, redemption: Json | None = None, **more: Any) -> Json:
    """The status of a token that was redeemed."""
    return issued_status(
        **{"state": "Used", "usedTime": rfc3339(NOON), "redemption": redemption or a_redemption(), **more}
    )


def raw_master_token(
    *,
    namespace: str = "edge",
    uid: str | None = MASTER_UID,
    deleting: bool = False,
    status: Json | None = None,
    **spec: Any,
) -> Json:
    """The master token that the first redemption of the default PairingToken has made."""
    defaults: Json = {
        "pairingTokenRef": {"name": "press-1", "uid": UID},
        "serial": 1,
        "redemptionID": CLAIM_ID,
        "tokenID": MASTER_TOKEN_ID,
        "kid": a_key().key_id,
        "useCase": "mission-control",
        "scope": ["mission-control:admin"],
        "audience": [ISSUER],
        "subject": REQUESTER,
        "keyThumbprint": THUMBPRINT,
        "issuedTime": rfc3339(NOON),
        "expirationTime": rfc3339(NOON + timedelta(days=365)),
        "deletionPolicy": "Revoke",
        "revoked": False,
    }
    kept = _given({**defaults, **spec})
    meta: Json = {"name": master_token_name(kept["tokenID"]), "namespace": namespace, "uid": uid, "generation": 1}
    meta["deletionTimestamp"] = rfc3339(NOON) if deleting else None
    return {
        "apiVersion": API_VERSION,
        "kind": MASTER_TOKENS.kind,
        "metadata": _given(meta),
        "spec": kept,
        **({"status": _given(status)} if status is not None else {}),
    }


def a_master_token(**changes: Any) -> MasterToken:
    """`raw_master_token`, read."""
    return MasterToken.model_validate(raw_master_token(**changes))


def a_policy(
    *,
    external_urls: tuple[str, ...] = (ISSUER,),
    table: object = None,
    requester: RequesterMode = RequesterMode.POLICY,
) -> PairingPolicy:
    """The settings of an operator with the built-in use cases."""
    return PairingPolicy(external_urls, use_cases(table) if table is not None else use_cases(), requester)


def a_key(name: str = "first") -> SigningKey:
    """The same key for the same name, all through a test run."""
    return _key_of(name)


@functools.cache
def _key_of(_: str) -> SigningKey:
    return SigningKey.generate("ES256")


def a_keyring(*names: str, issuer: str = ISSUER, now: datetime = NOON) -> Keyring:
    """A keyring of the named keys, of which the last one signs."""
    first, *later = names or ("first",)
    keyring = Keyring.first(issuer, a_key(first), now)
    for name in later:
        keyring = keyring.rotate(a_key(name), now, publish_for=timedelta(0))
    return keyring


class HeldKeys:
    """The `Keys` port: a keyring in a variable; None for one that cannot be read. A `loss` stands in its place."""

    def __init__(self, keyring: Keyring | None = None) -> None:
        self.held: Keyring | None = keyring or a_keyring()
        self.loss: KeysLostError | None = None

    def keyring(self) -> Keyring:
        if self.loss is not None:
            raise self.loss.again()
        if self.held is None:
            raise NotYetError("temporarily_unavailable", "the signing keys cannot be read now; ask again")
        return self.held


def _given(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}
