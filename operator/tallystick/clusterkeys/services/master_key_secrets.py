"""Write the Secrets of MasterKeys: create and change those of generated keys, and delete those of external ones."""

from contextlib import suppress

from tallystick.clusterkeys.api.master_key import MASTER_KEYS, MasterKey
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.domain.master_key_secret import (
    MASTER_KEY_SECRET,
    SecretVersion,
    generated_secret,
    secret_name,
    version_of,
    with_keys_of,
)
from tallystick.objects.owned_secrets import OwnedSecrets
from tallystick.objects.ports import AlreadyExistsError, Cache, Cluster, ConflictError, Json, NotFoundError
from tallystick.schema.builtin import SECRETS


class MasterKeySecrets:
    """Writes the Secrets of MasterKeys, each in the very version that the decision was about."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._owned = OwnedSecrets(cluster, cache, MASTER_KEYS, MASTER_KEY_SECRET)

    async def write(
        self, key: MasterKey, newest: ClusterKey, previous: ClusterKey | None, *, over: SecretVersion | None
    ) -> Json | None:
        """Write a generated key, and return what was stored.

        Args:
            key: The MasterKey.
            newest: The key that seals.
            previous: The key before it; None if no join key needs it.
            over: The version of the Secret to replace; None to create it.

        Returns:
            None if the Secret is not as it was: it has to be read again.
        """
        wanted = generated_secret(key, newest, previous)
        with suppress(AlreadyExistsError, ConflictError, NotFoundError):
            if over is None:
                return await self._owned.create(wanted)
            held = await self._cluster.get(SECRETS, key.metadata.namespace, secret_name(key))
            if version_of(held) != over:
                return None
            stored = await self._cluster.replace(SECRETS, with_keys_of(wanted, held))
            self._cache.remember(SECRETS, stored)
            return stored
        return None

    async def delete(self, key: MasterKey, version: SecretVersion) -> None:
        """Delete this version of the Secret, and no later one of its name. Raises ConflictError if it was changed."""
        name, namespace = secret_name(key), key.metadata.namespace
        with suppress(NotFoundError):
            await self._cluster.delete(
                SECRETS, namespace, name, uid=version.uid, resource_version=version.resource_version
            )
        self._cache.forget(SECRETS, namespace, name, version.uid)
