"""Issue pairing tokens and master tokens: sign the recorded claims, and write the Secret of a PairingToken."""

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any

from tallystick.crypto.keyring import Keyring
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.errors import NotYetError
from tallystick.objects.held_secrets import HeldSecret, Json, content_digest, held_token
from tallystick.objects.owned_secrets import OwnedSecrets
from tallystick.objects.ownership import SecretConflict
from tallystick.objects.ports import AlreadyExistsError, Cache, Clock, Cluster
from tallystick.pairing.api.master_token import MasterToken
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState
from tallystick.pairing.domain.enrollment_values import ENROLLMENT, generation_of
from tallystick.pairing.domain.policy import PairingPolicy
from tallystick.pairing.domain.token_claims import adopted, granted
from tallystick.pairing.domain.tokens import (
    MASTER,
    PAIRING,
    PAIRING_SECRET,
    PairingTokenClaims,
    master_claims,
    pairing_claims,
    pairing_secret,
    pairing_secret_name,
)
from tallystick.tokens.authority import CaPem, no_ca
from tallystick.tokens.claims import digest
from tallystick.tokens.lost_keys import KeysLostError
from tallystick.tokens.signer import Signer


class PairingIssuer:
    """Signs pairing tokens and master tokens, and recognizes those that it has signed."""

    def __init__(self, signer: Signer, policy: PairingPolicy, *, ca_pem: CaPem = no_ca) -> None:
        """Store the ports and settings.

        Args:
            signer: Signs and verifies.
            policy: The settings.
            ca_pem: Returns the CA of the exchange's certificate, for the Secret. None if clients trust a public CA.
        """
        self._signer = signer
        self._ca_pem = ca_pem
        self.policy = policy

    @property
    def keyring(self) -> Keyring:
        """The last keyring that was read."""
        return self._signer.keyring

    def loss(self, key_ids: Set[str] = frozenset()) -> KeysLostError | None:
        """Return why tokens of these keys cannot be signed again, or none can be signed; None if they can."""
        return self._signer.loss(key_ids)

    def verify(self, unverified_jwt: str, now: datetime) -> VerifiedClaims:
        """Verify a pairing token; raises ExpiredTokenError or InvalidTokenError."""
        return self._signer.verify(unverified_jwt, PAIRING, now)

    def pairing_secret(self, token: PairingToken, grant: PairingTokenClaims) -> Json:
        """Sign a pairing token and return its Secret. The same claims give the same bytes (RFC 6979)."""
        return pairing_secret(token, grant, self._signed(grant), self._ca_pem())

    def claims_digest(self, grant: PairingTokenClaims) -> str:
        """Return the fingerprint of the claims."""
        return digest(pairing_claims(grant, self._signer.issuer))

    def secret_as_issued(self, token: PairingToken) -> Json | None:
        """Return the Secret of the token on record; None if its claims cannot be signed again (docs/rules.md#s3)."""
        grant = self._as_issued(token)
        return self.pairing_secret(token, grant) if grant is not None else None

    def signed_as_issued(self, token: PairingToken) -> str | None:
        """Return the token on record, byte for byte; None if its claims cannot be signed again."""
        grant = self._as_issued(token)
        return self._signed(grant) if grant is not None else None

    def _as_issued(self, token: PairingToken) -> PairingTokenClaims | None:
        grant = granted(token, self.policy)
        if grant is None or self.claims_digest(grant) != token.status.claims_digest:
            return None
        return grant if self.keyring.by_id(grant.key_id) is not None else None

    def _signed(self, grant: PairingTokenClaims) -> str:
        claims = pairing_claims(grant, self._signer.issuer)
        return self._signer.sign(claims, profile=grant.profile, key_id=grant.key_id)

    def adopt(self, token: PairingToken, secret: Mapping[str, Any], now: datetime) -> PairingTokenClaims | None:
        """Return the claims in the Secret of an earlier, unfinished issue of this serial; None if it is damaged."""
        found = self._held(token, secret, now)
        if found is None:
            return None
        claims, key_id = found
        grant = adopted(token, self.policy, issued=claims["iat"], expires=claims.get("exp"), key_id=key_id)
        return grant if grant is not None and self.claims_digest(grant) == digest(claims) else None

    def holds_what_was_issued(self, token: PairingToken, secret: Mapping[str, Any], now: datetime) -> bool:
        """Return whether a Secret holds the token on record, for the case that it cannot be signed again."""
        found = self._held(token, secret, now)
        return found is not None and digest(found[0]) == token.status.claims_digest

    def sign_master(self, token: MasterToken) -> str:
        """Sign the master token that an object records. The same object gives the same bytes (RFC 6979)."""
        claims = master_claims(token, self._signer.issuer)
        return self._signer.sign(claims, profile=MASTER, key_id=token.spec.key_id)

    def _held(self, token: PairingToken, secret: Mapping[str, Any], now: datetime) -> tuple[dict[str, Any], str] | None:
        """Return the claims and key ID of the token in a Secret, even if it has expired; None if it is not ours."""
        unverified_jwt = held_token(secret)
        profile = PAIRING if generation_of(token) is None else ENROLLMENT
        verified = self._signer.signed_by_us(unverified_jwt, profile, now) if unverified_jwt is not None else None
        return (dict(verified.claims), verified.key_id) if verified is not None else None


class PairingSecrets:
    """The Secrets of PairingTokens."""

    def __init__(self, cluster: Cluster, cache: Cache, issuer: PairingIssuer, clock: Clock) -> None:
        self._cache = cache
        self._issuer = issuer
        self._clock = clock
        self._secrets = OwnedSecrets(cluster, cache, PAIRING_TOKENS, PAIRING_SECRET)

    def seen(self, token: PairingToken) -> HeldSecret | None:
        """Return the Secret in the cache."""
        return self._cache.secret(token.metadata.namespace, pairing_secret_name(token))

    def expected_digest(self, token: PairingToken) -> bytes | None:
        """Return the content digest that the Secret of an Active token must have; None if it cannot be computed."""
        if token.status.state is not PairingTokenState.ACTIVE:
            return None
        try:
            wanted = self._issuer.secret_as_issued(token)
        except NotYetError:
            return None  # without signing keys no Secret is restored, and expiry and revocation continue
        return content_digest(wanted) if wanted is not None else None

    async def issue(self, token: PairingToken, planned: PairingTokenClaims) -> PairingTokenClaims | SecretConflict:
        """Create the Secret, or adopt that of an unfinished attempt, and return the claims of its token."""
        wanted = self._issuer.pairing_secret(token, planned)
        try:
            await self._secrets.create(wanted)
        except AlreadyExistsError:
            held = await self.held(token)
            if isinstance(held, SecretConflict):
                return held
            unfinished = self._issuer.adopt(token, held, self._clock.now()) if held is not None else None
            planned = unfinished or planned
            conflict = await self._secrets.restore(self._issuer.pairing_secret(token, planned), held)
            return conflict or planned
        return planned

    async def held(self, token: PairingToken) -> Json | SecretConflict | None:
        """Read the Secret: its body, or why it is not the token's own; None if there is none."""
        return await self._secrets.held(token.metadata, pairing_secret_name(token))

    async def restore(self, wanted: Json, held: Json | None) -> SecretConflict | None:
        """Write the Secret as it must be. `held` is the stored Secret of ours; None if there is none."""
        return await self._secrets.restore(wanted, held)

    async def remove(self, secret: HeldSecret) -> None:
        """Delete this Secret, and no later one of the same name."""
        await self._secrets.remove(secret)
