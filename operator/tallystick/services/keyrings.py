"""Keep the signing keyring: one Secret of the operator's namespace, made once by the leader, rotated with overlap.

Every change is a compare-and-swap on that Secret. Controller and exchange read it again every few seconds, far
more often than a new key waits before it signs.
"""

import base64
from collections.abc import Set
from datetime import timedelta

from tallystick.api.core import SECRETS
from tallystick.crypto.keyring import Keyring, KeyringError
from tallystick.crypto.keys import Algorithm, SigningKey
from tallystick.domain.errors import InvalidSettingError, NotYetError
from tallystick.domain.names import KEYRING_SECRET, KEYRING_SECRET_TYPE, MANAGED_BY, MANAGER
from tallystick.services.ports import AlreadyExistsError, Clock, Cluster, Json, NotFoundError

DATA_KEY = "keyring.json"
REFRESH_SECONDS = 5.0
# An older reading could miss a key that signs by now: a replica that cannot know says so.
TRUSTED_SECONDS = 60.0
# What was signed with a superseded key, and is not on record yet, is at most minutes old.
RETIRE_GRACE = timedelta(hours=1)


class Keyrings:
    """The keyring as this process knows it; the real `Keys` port."""

    def __init__(self, cluster: Cluster, clock: Clock, *, namespace: str, issuer: str) -> None:
        """Know nothing yet.

        Args:
            cluster: the API server.
            clock: time.
            namespace: the operator's own, where the Secret lives.
            issuer: the `iss` of all tokens; it must be that of the keyring, for ever.
        """
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._issuer = issuer
        self._keyring: Keyring | None = None
        self._body: Json = {}
        self._read_at = 0.0

    def keyring(self) -> Keyring:
        """Return the keyring; raises NotYetError where it was not read, or not lately."""
        age = self._clock.monotonic() - self._read_at
        if self._keyring is None or age > TRUSTED_SECONDS:
            raise NotYetError("temporarily_unavailable", "the signing keys cannot be read now; ask again")
        return self._keyring

    async def refresh(self) -> None:
        """Read the keyring again.

        Raises:
            ClusterError: it cannot be read; NotFoundError before the leader has made it.
            InvalidSettingError: it belongs to another issuer.
            KeyringError: it was damaged.
        """
        sent = self._clock.monotonic()
        self._take(await self._cluster.get(SECRETS, self._namespace, KEYRING_SECRET), sent)

    async def ensure(self, algorithm: Algorithm) -> None:
        """Read the keyring, or make the first one. Of two leaders that try, one succeeds and both use it."""
        try:
            await self.refresh()
        except NotFoundError:
            first = Keyring.first(self._issuer, SigningKey.generate(algorithm), self._clock.now())
            sent = self._clock.monotonic()
            try:
                self._take(await self._cluster.create(SECRETS, self._secret(first)), sent)
            except AlreadyExistsError:
                await self.refresh()

    async def rotate(self, algorithm: Algorithm) -> Keyring:
        """Add a new key, which signs once every verifier has had the time to fetch it.

        Raises:
            RotationPendingError: the key before it does not sign yet.
            ConflictError: somebody else changed the keyring meanwhile.
        """
        await self.refresh()
        await self._replace(self.keyring().rotate(SigningKey.generate(algorithm), self._clock.now()))
        return self.keyring()

    async def rotate_by_age(self, algorithm: Algorithm, max_age: timedelta) -> Keyring | None:
        """Rotate if the newest key is older than `max_age`, and return the new keyring; None where nothing is due."""
        if self.keyring().newest_age(self._clock.now()) <= max_age:
            return None
        return await self.rotate(algorithm)

    async def retire(self, in_use: Set[str]) -> Set[str]:
        """Drop the superseded keys that no live object names, and return their ids."""
        await self.refresh()
        before = self.keyring()
        after = before.retire(in_use, self._clock.now(), RETIRE_GRACE)
        if after != before:
            await self._replace(after)
        return _ids(before) - _ids(after)

    async def _replace(self, keyring: Keyring) -> None:
        body = {**self._body, "data": self._secret(keyring)["data"]}
        sent = self._clock.monotonic()
        self._take(await self._cluster.replace(SECRETS, body), sent)

    def _take(self, body: Json, sent: float) -> None:
        keyring = stored_keyring(body)
        if keyring.issuer != self._issuer:
            raise InvalidSettingError(
                f"the keyring in Secret {self._namespace}/{KEYRING_SECRET} was made for issuer {keyring.issuer}, not "
                f"for {self._issuer}: start with --issuer {keyring.issuer}, or all tokens of that issuer would die"
            )
        self._keyring, self._body, self._read_at = keyring, body, sent

    def _secret(self, keyring: Keyring) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": KEYRING_SECRET,
                "namespace": self._namespace,
                "labels": {MANAGED_BY: MANAGER},
            },
            "type": KEYRING_SECRET_TYPE,
            "data": {DATA_KEY: base64.b64encode(keyring.to_bytes()).decode()},
        }


def stored_keyring(secret: Json) -> Keyring:
    """Read the keyring out of its Secret; raises KeyringError."""
    try:
        return Keyring.from_bytes(base64.b64decode(secret["data"][DATA_KEY], validate=True))
    except (KeyError, TypeError, ValueError):
        raise KeyringError(f"Secret {KEYRING_SECRET} has no usable {DATA_KEY}") from None


def _ids(keyring: Keyring) -> Set[str]:
    return {entry.key.key_id for entry in keyring.entries}
