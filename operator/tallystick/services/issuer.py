"""Sign and recognise our own tokens: claims from the domain, signatures from the keyring."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tallystick.api.connection_configuration import ConnectionConfiguration, ConnectionToken
from tallystick.api.master_token import MasterToken
from tallystick.api.pairing_token import PairingToken
from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import SigningKey
from tallystick.crypto.tokens import (
    ExpiredTokenError,
    InvalidTokenError,
    VerifiedClaims,
    sign,
    unverified_typ,
    verify,
)
from tallystick.domain.claims import (
    CONNECTION_TYPE,
    MASTER_TYPE,
    PAIRING_TYPE,
    PairingGrant,
    connection_claims,
    digest,
    master_claims,
    pairing_claims,
)
from tallystick.domain.connection_secrets import connection_secret, slot_key
from tallystick.domain.errors import NotYetError
from tallystick.domain.grants import IssuancePolicy, adopted, granted
from tallystick.domain.held_secrets import Json, held_token
from tallystick.domain.pairing_secrets import pairing_secret
from tallystick.domain.slots import grant_of, live_tokens
from tallystick.services.ports import Keys


class Issuer:
    """Everything that ends in a signature goes through here."""

    def __init__(self, keys: Keys, policy: IssuancePolicy, *, ca_pem: str | None = None) -> None:
        """Hold what issuing needs.

        Args:
            keys: the signing keyring.
            policy: what the settings say about issuing.
            ca_pem: the CA of the exchange's certificate, put beside the token, where it has one of its own.
        """
        self._keys = keys
        self.policy = policy
        self._ca_pem = ca_pem

    @property
    def keyring(self) -> Keyring:
        """The keyring as it is known now."""
        return self._keys.keyring()

    def key(self, key_id: str) -> SigningKey:
        """Return the key of a record, which must still be there while a live object names it."""
        key = self.keyring.by_id(key_id)
        if key is None:
            raise NotYetError("SigningKeyMissing", f"signing key {key_id} is not in the keyring", retry_after=5)
        return key

    def pairing_secret(self, token: PairingToken, grant: PairingGrant) -> Json:
        """Sign a pairing token and return its Secret. The same grant gives the same bytes (RFC 6979)."""
        claims = pairing_claims(grant, self.policy.issuer)
        signed = sign(claims, typ=PAIRING_TYPE, key=self.key(grant.key_id))
        return pairing_secret(token, grant, signed, self._ca_pem)

    def claims_digest(self, grant: PairingGrant) -> str:
        """Return the fingerprint of what a grant says."""
        return digest(pairing_claims(grant, self.policy.issuer))

    def secret_as_issued(self, token: PairingToken) -> Json | None:
        """Return the Secret of what was issued; None where the same claims cannot be signed again (S3)."""
        grant = granted(token, self.policy)
        if grant is None or self.claims_digest(grant) != token.status.claims_digest:
            return None
        if self.keyring.by_id(grant.key_id) is None:
            return None
        return self.pairing_secret(token, grant)

    def adopt(self, token: PairingToken, secret: Mapping[str, Any], now: datetime) -> PairingGrant | None:
        """Read back what an earlier, unfinished issue of this serial has stored; None where it is damaged."""
        unverified_jwt = held_token(secret)
        if unverified_jwt is None:
            return None
        signed = self._signed_by_us(unverified_jwt, now)
        if signed is None:
            return None
        found, key_id = signed
        grant = adopted(token, self.policy, issued=found["iat"], expires=found["exp"], key_id=key_id)
        same = grant is not None and digest(pairing_claims(grant, self.policy.issuer)) == digest(found)
        return grant if same else None

    def holds_what_was_issued(self, token: PairingToken, secret: Mapping[str, Any], now: datetime) -> bool:
        """Tell whether the token in a Secret is the one on record, where it cannot be signed again."""
        unverified_jwt = held_token(secret)
        found = self._signed_by_us(unverified_jwt, now) if unverified_jwt else None
        return found is not None and digest(found[0]) == token.status.claims_digest

    def sign_master(self, token: MasterToken) -> str:
        """Sign the master token that an object records. The same object gives the same bytes (RFC 6979)."""
        return sign(master_claims(token, self.policy.issuer), typ=MASTER_TYPE, key=self.key(token.spec.key_id))

    def connection_tokens(self, configuration: ConnectionConfiguration) -> dict[str, str]:
        """Sign the live tokens, by their `jti`; one that would not say what it said at its issue is left out (S3)."""
        signed = ((token, self._connection_token(configuration, token)) for token in live_tokens(configuration))
        return {token.token_id: signed_jwt for token, signed_jwt in signed if signed_jwt is not None}

    def connection_tokens_held(
        self, configuration: ConnectionConfiguration, secret: Mapping[str, Any], now: datetime
    ) -> dict[str, str]:
        """Return the live tokens that a Secret holds as they were issued, by their `jti`."""
        held = ((token, held_token(secret, slot_key(token.slot))) for token in live_tokens(configuration))
        return {token.token_id: jwt for token, jwt in held if jwt is not None and self._is_as_issued(jwt, token, now)}

    def connection_secret(self, configuration: ConnectionConfiguration, signed_jwts: Mapping[str, str]) -> Json:
        """Return the Secret of these tokens."""
        base_url = self.policy.external_urls[0]
        return connection_secret(configuration, signed_jwts, base_url=base_url, ca_pem=self._ca_pem)

    def _is_as_issued(self, unverified_jwt: str, token: ConnectionToken, now: datetime) -> bool:
        verified = self.verified(unverified_jwt, now)
        return verified is not None and digest(dict(verified.claims)) == token.claims_digest

    def _connection_token(self, configuration: ConnectionConfiguration, token: ConnectionToken) -> str | None:
        claims = connection_claims(grant_of(configuration, token), self.policy.issuer)
        key = self.keyring.by_id(token.key_id)
        if key is None or digest(claims) != token.claims_digest:
            return None
        return sign(claims, typ=CONNECTION_TYPE, key=key)

    def verified(self, unverified_jwt: str, now: datetime) -> VerifiedClaims | None:
        """Verify a token of any of our types; None for what is none, or has expired."""
        typ = unverified_typ(unverified_jwt)
        if typ is None:
            return None
        try:
            return verify(unverified_jwt, self.keyring, typ=typ, issuer=self.policy.issuer, now=now)
        except InvalidTokenError:
            return None

    def _signed_by_us(self, unverified_jwt: str, now: datetime) -> tuple[dict[str, Any], str] | None:
        """Return the claims and the key id of a token that we signed, also of one that has expired."""
        try:
            verified = verify(unverified_jwt, self.keyring, typ=PAIRING_TYPE, issuer=self.policy.issuer, now=now)
        except ExpiredTokenError as expired:
            verified = expired.claims
        except InvalidTokenError:
            return None
        return dict(verified.claims), verified.key_id


def facts_of(verified: VerifiedClaims) -> dict[str, str | int | None]:
    """Return what the audit log says of a verified token."""
    reference = verified.reference
    return {
        "kind": reference.kind,
        "namespace": reference.namespace,
        "name": reference.name,
        "uid": reference.uid,
        "serial": reference.serial,
        "token_id": verified.token_id,
    }
