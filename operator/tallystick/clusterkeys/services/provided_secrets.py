"""Notice within seconds that a user has changed a Secret with a key of his own.

Such a Secret carries no label of ours, so no watch reports it. The leader lists the metadata of all Secrets of both
types, and reconciles the objects whose Secret appeared, changed or is gone. A Secret of another type is never listed.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tallystick.clusterkeys.domain.keys import Purpose
from tallystick.clusterkeys.domain.master_key_secret import SecretVersion, version_of
from tallystick.objects.labels import MANAGED_BY, MANAGER
from tallystick.objects.ports import Cache, Cluster
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import Resource

LOOK_SECONDS = 5.0
# The watch reports the Secrets with this label. There may be thousands of copies of join keys.
_NOT_OURS = f"{MANAGED_BY}!={MANAGER}"

Follower = tuple[Resource, str, str]
_Followed = tuple[Purpose, str, str]  # the purpose of the key, and the namespace and name of the Secret


class ProvidedSecrets:
    """The versions of the Secrets with keys, as the watch and the last listing have them.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        namespaces: The namespaces that are served; '' means all.
        look_again: Reconciles one object again.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        namespaces: Sequence[str],
        look_again: Callable[[Resource, str, str], None],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._namespaces = namespaces
        self._look_again = look_again
        self._listed: dict[_Followed, SecretVersion] = {}
        self._followers: dict[_Followed, set[Follower]] = {}
        self._seen: dict[_Followed, SecretVersion | None] = {}
        self._was_listed = False

    def version(self, purpose: Purpose, namespace: str, name: str) -> SecretVersion | None:
        """Return the last known version of a Secret; None if it is not known, which may mean that it does not exist.

        Only the version that a caller has read before says something: then the Secret is the same.
        """
        cached = self._cache.secret(namespace, name)
        if cached is not None:
            return SecretVersion(cached.uid, cached.resource_version)
        return self._listed.get((purpose, namespace, name))

    def follow(self, purpose: Purpose, namespace: str, name: str, follower: Follower) -> None:
        """Reconcile an object again each time that its Secret changes, until the object is gone."""
        followed = (purpose, namespace, name)
        self._followers.setdefault(followed, set()).add(follower)
        self._seen.setdefault(followed, self.version(*followed))

    def note(self, purpose: Purpose, namespace: str, name: str, version: SecretVersion) -> None:
        """Record the version of a Secret that a follower has read. The next look compares with it.

        Two listings alone do not show that a Secret has appeared and gone between them.
        """
        followed = (purpose, namespace, name)
        if followed in self._followers and self._cache.secret(namespace, name) is None:
            self._seen[followed] = version

    async def look(self) -> None:
        """List the Secrets of each type that is followed, and reconcile the objects that follow a changed one.

        The first run lists both types. May raise ClusterError.
        """
        followed_types = {purpose for purpose, _, _ in self._followers} if self._was_listed else set(Purpose)
        self._listed = {
            (purpose, body["metadata"]["namespace"], body["metadata"]["name"]): version_of(body)
            for purpose in Purpose
            if purpose in followed_types
            for namespace in self._namespaces
            async for body in self._list(purpose, namespace)
        }
        self._was_listed = True
        for followed, before in list(self._seen.items()):
            now = self.version(*followed)
            if now != before:
                self._seen[followed] = now
                self._reconcile_followers(followed)

    def _reconcile_followers(self, followed: _Followed) -> None:
        # An object that follows another Secret by now is reconciled in vain, which costs no write.
        there = {follower for follower in self._followers[followed] if self._cache.get(*follower) is not None}
        self._followers[followed] = there
        if not there:
            del self._followers[followed], self._seen[followed]
        for follower in sorted(there, key=_by_name):
            self._look_again(*follower)

    def _list(self, purpose: Purpose, namespace: str) -> Any:
        return self._cluster.list(
            SECRETS,
            namespace,
            label_selector=_NOT_OURS,
            field_selector=f"type={purpose.secret_type}",
            metadata_only=True,
        )


def _by_name(follower: Follower) -> tuple[str, str, str]:
    resource, namespace, name = follower
    return resource.plural, namespace, name
