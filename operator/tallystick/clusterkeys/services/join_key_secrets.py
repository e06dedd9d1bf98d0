"""The Secrets of one JoinKey during one reconciliation: read each at most once, find keys in them, and write them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from tallystick.clusterkeys.api.join_key import JOIN_KEYS, JoinKey
from tallystick.clusterkeys.domain.join_key_copies import (
    JOIN_KEY_COPY,
    SEALED_JOIN_KEY,
    Place,
    copy_body,
    keys_in,
    places,
    sealed_place,
    signing_key_in,
)
from tallystick.clusterkeys.domain.join_key_messages import (
    Problem,
    conflict_problem,
    namespace_missing,
    namespace_not_served,
    namespace_terminating,
    rejected,
    stuck_problem,
)
from tallystick.clusterkeys.domain.join_key_replacement import Picture
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.objects.held_secrets import HeldSecret
from tallystick.objects.obstacles import rejection_text
from tallystick.objects.owned_secrets import OwnedSecrets
from tallystick.objects.ownership import SecretConflict
from tallystick.objects.ports import (
    AlreadyExistsError,
    Cache,
    Cluster,
    Json,
    NamespaceTerminatingError,
    NotFoundError,
    RefusedError,
)

Body = Json | SecretConflict | None

_FORMS = {JOIN_KEY_COPY.type: (JOIN_KEYS.kind, JOIN_KEY_COPY)}


class JoinKeySecrets:
    """The Secrets of all JoinKeys: the sealed copies, and the copies that services read.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        namespaces: The namespaces that the operator serves; empty means all.
    """

    def __init__(self, cluster: Cluster, cache: Cache, namespaces: tuple[str, ...] = ()) -> None:
        self._cache = cache
        self._namespaces = namespaces
        self.copies = OwnedSecrets(cluster, cache, JOIN_KEYS, JOIN_KEY_COPY)
        self.sealed = OwnedSecrets(cluster, cache, JOIN_KEYS, SEALED_JOIN_KEY)

    def seen(self, join_key: JoinKey) -> dict[tuple[str, str], HeldSecret]:
        """Return the Secrets of a join key from the cache, the sealed copy among them."""
        return {(secret.namespace, secret.name): secret for secret in self._cache.secrets_of(join_key.metadata.uid)}

    def cached(self, namespace: str, name: str) -> HeldSecret | None:
        """Return the Secret of this name from the cache, also one that is not ours."""
        return self._cache.secret(namespace, name)

    def serves(self, namespace: str) -> bool:
        """Return whether the operator serves a namespace."""
        return not self._namespaces or namespace in self._namespaces

    def of(self, join_key: JoinKey) -> "Attempt":
        """Begin an attempt for one join key."""
        return Attempt(self, join_key)


class Attempt:
    """The Secrets of one join key as one attempt reads them."""

    def __init__(self, secrets: JoinKeySecrets, join_key: JoinKey) -> None:
        self._secrets = secrets
        self._join_key = join_key
        self._read: dict[tuple[str, str], Body] = {}

    async def sealed(self) -> Body:
        """Return the Secret with the sealed copy, or the reason why it is not ours; None if there is none."""
        place, meta = sealed_place(self._join_key), self._join_key.metadata
        return await self._once(place, lambda: self._secrets.sealed.held(meta, place.name))

    async def copy(self, place: Place) -> Body:
        """Return a copy, or the reason why it is not ours; None if there is none, or if it is not served."""
        if not self._secrets.serves(place.namespace):
            return None
        meta = self._join_key.metadata
        return await self._once(place, lambda: self._secrets.copies.held(meta, place.name, namespace=place.namespace))

    async def keys_in_copies(self, wanted: Iterable[str]) -> dict[str, ClusterKey]:
        """Return the keys with these fingerprints that copies hold. No further copy is read once all are found."""
        missing, found = set(wanted), dict[str, ClusterKey]()
        for place in places(self._join_key):
            if not missing:
                break
            body = await self.copy(place)
            if body is None or isinstance(body, SecretConflict):
                continue
            found |= {key.fingerprint: key for key in keys_in(body) if key.fingerprint in missing}
            missing -= found.keys()
        return found

    async def unseen(self, where: Iterable[Place]) -> list[HeldSecret]:
        """Read places, and return the copies of this join key in them, which the watch may not have delivered yet."""
        found = [await self.copy(place) for place in where]
        ours = [body for body in found if body is not None and not isinstance(body, SecretConflict)]
        return [HeldSecret.from_body(body, _FORMS) for body in ours if not body["metadata"].get("deletionTimestamp")]

    async def any_signs_with(self, fingerprint: str) -> bool:
        """Return whether a copy signs with a key, so that the key has been in use."""
        for place in places(self._join_key):
            body = await self.copy(place)
            if body is not None and not isinstance(body, SecretConflict) and signing_key_in(body) == fingerprint:
                return True
        return False

    async def write_sealed(self, wanted: Json) -> SecretConflict | None:
        """Write the sealed copy; return why that is not possible. It is stored before any copy is written."""
        held = await self.sealed()
        if isinstance(held, SecretConflict):
            return held
        self._forget(sealed_place(self._join_key))
        return await self._secrets.sealed.restore(wanted, held)

    async def write_copy(self, place: Place, picture: Picture, keys: Mapping[str, ClusterKey]) -> Problem | None:
        """Write a copy; return the problem that prevents it. Problems of the own namespace are raised."""
        if not self._secrets.serves(place.namespace):
            return namespace_not_served(place.namespace)
        wanted = copy_body(self._join_key, place, picture, keys)
        if not place.elsewhere:
            return await self._write(place, wanted)
        try:
            return await self._write(place, wanted)
        except NamespaceTerminatingError:
            return namespace_terminating(place.namespace)
        except RefusedError as error:
            return rejected(place, rejection_text(error))

    async def _write(self, place: Place, wanted: Json) -> Problem | None:
        is_read = (place.namespace, place.name) in self._read
        if not is_read and self._secrets.cached(place.namespace, place.name) is None:
            try:
                return await self._create(place, wanted)
            except AlreadyExistsError:
                pass  # a Secret without our labels, or one that the watch has not delivered yet
        held = await self.copy(place)
        self._forget(place)
        if isinstance(held, SecretConflict):
            return conflict_problem(self._join_key, place)
        if held is None:
            return await self._create(place, wanted)
        found = await self._secrets.copies.restore(wanted, held)
        return None if found is None else stuck_problem(place, found)

    async def _create(self, place: Place, wanted: Json) -> Problem | None:
        try:
            await self._secrets.copies.create(wanted)
        except NotFoundError:  # 404 on a create is about the namespace
            return namespace_missing(place.namespace)
        return None

    async def _once(self, place: Place, read: Callable[[], Awaitable[Body]]) -> Body:
        key = (place.namespace, place.name)
        if key not in self._read:
            self._read[key] = await read()
        return self._read[key]

    def _forget(self, place: Place) -> None:
        self._read.pop((place.namespace, place.name), None)
