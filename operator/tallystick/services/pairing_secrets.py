"""Keep the Secret of a PairingToken: store what is issued, take over what a crash has left, restore, remove."""

from tallystick.api.core import SECRETS
from tallystick.api.pairing_token import PairingToken, PairingTokenState
from tallystick.domain.claims import PairingGrant
from tallystick.domain.errors import NotYetError
from tallystick.domain.held_secrets import HeldSecret, content_digest, owner_uid
from tallystick.domain.names import pairing_secret_name
from tallystick.services.issuer import Issuer
from tallystick.services.owned_secrets import OwnedSecrets
from tallystick.services.ports import AlreadyExistsError, Clock, Cluster, Json, View


class PairingSecrets:
    """The Secrets of PairingTokens."""

    def __init__(self, cluster: Cluster, view: View, issuer: Issuer, clock: Clock) -> None:
        self._cluster = cluster
        self._view = view
        self._issuer = issuer
        self._clock = clock
        self._secrets = OwnedSecrets(cluster, view)

    def seen(self, token: PairingToken) -> HeldSecret | None:
        """Return what the watch has seen under the Secret's name."""
        return self._view.secret(token.metadata.namespace, pairing_secret_name(token))

    def expected_digest(self, token: PairingToken) -> bytes | None:
        """Return the content digest that the Secret of an Active token must have; None where that cannot be told."""
        if token.status.state is not PairingTokenState.ACTIVE:
            return None
        try:
            wanted = self._issuer.secret_as_issued(token)
        except NotYetError:
            return None  # without the signing keys nothing is healed, but expiry and revocation go on
        return content_digest(wanted) if wanted is not None else None

    async def issue(self, token: PairingToken, planned: PairingGrant) -> PairingGrant | None:
        """Create the Secret, or take over what an unfinished attempt left, and return what it says.

        None: the name is somebody else's, and was left alone.
        """
        wanted = self._issuer.pairing_secret(token, planned)
        try:
            await self._secrets.create(wanted)
        except AlreadyExistsError:
            held = await self._cluster.get(SECRETS, token.metadata.namespace, pairing_secret_name(token))
            if owner_uid(held) != token.metadata.uid:
                return None
            unfinished = self._issuer.adopt(token, held, self._clock.now())
            planned = unfinished or planned
            await self._secrets.restore(self._issuer.pairing_secret(token, planned), held)
        return planned

    async def held(self, token: PairingToken) -> Json | None:
        """Read the Secret, whoever it belongs to."""
        return await self._secrets.held(token.metadata.namespace, pairing_secret_name(token))

    async def restore(self, wanted: Json, held: Json | None) -> None:
        """Put the Secret back as it must be; `held` is what is there and ours, if anything is."""
        await self._secrets.restore(wanted, held)

    async def remove(self, secret: HeldSecret) -> None:
        """Delete the very Secret that was seen."""
        await self._secrets.remove(secret)
