"""Read the users' own keys of JoinKeys, each once for a version of its Secret.

Of a key, this module remembers the fingerprint alone: a look at a join key whose Secrets are as they must be needs no
more. The key itself is read again when it is needed.
"""

from dataclasses import dataclass
from typing import Self

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose
from tallystick.clusterkeys.domain.master_key_secret import SecretVersion, version_of
from tallystick.clusterkeys.domain.provided import read_provided
from tallystick.clusterkeys.services.provided_secrets import ProvidedSecrets
from tallystick.objects.ports import Cluster, NotFoundError
from tallystick.schema.builtin import SECRETS

Provided = ClusterKey | KeyProblem | None
"""The key in the user's Secret, or why there is none; None if the key is generated."""

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recalled:
    """The facts about the key of a Secret when it was read last.

    Attributes:
        fingerprint: The fingerprint of its key; None if it holds no usable key.
        problem: Why it holds none; None if it does.
    """

    fingerprint: str | None
    problem: KeyProblem | None

    @classmethod
    def of(cls, found: ClusterKey | KeyProblem) -> Self:
        """Keep the facts, and not the key."""
        if isinstance(found, KeyProblem):
            return cls(None, found)
        return cls(found.fingerprint, None)


@dataclass(frozen=True, slots=True)
class _Read:
    """The JoinKey and spec for which a Secret was read, its version, and the facts about its key."""

    wanted: tuple[str, str, int | None]
    version: SecretVersion
    recalled: Recalled


class ProvidedKeys:
    """The keys in the users' Secrets.

    Args:
        cluster: The API server.
        secrets: The versions of the Secrets, at most some seconds old.
    """

    def __init__(self, cluster: Cluster, secrets: ProvidedSecrets) -> None:
        self._cluster = cluster
        self._secrets = secrets
        self._read: dict[Place, _Read] = {}

    def recall(self, join_key: JoinKey) -> Recalled | None:
        """Return the facts of the last read if spec and Secret are still the same; None if it has to be read."""
        reference, meta = join_key.spec.secret_ref, join_key.metadata
        read = self._read.get((meta.namespace, meta.name))
        if reference is None or read is None or read.wanted != _wanted(join_key):
            return None
        is_same = read.version == self._secrets.version(Purpose.JOIN, meta.namespace, reference.name)
        return read.recalled if is_same else None

    async def read(self, join_key: JoinKey) -> Provided:
        """Read the key from its Secret."""
        reference, meta = join_key.spec.secret_ref, join_key.metadata
        if reference is None:
            return None
        place, where = (meta.namespace, meta.name), f"{meta.namespace}/{reference.name}"
        try:
            body = await self._cluster.get(SECRETS, meta.namespace, reference.name)
        except NotFoundError:
            self._read.pop(place, None)
            return read_provided(Purpose.JOIN, None, where=where, bits=join_key.spec.key_size)
        found = read_provided(Purpose.JOIN, body, where=where, bits=join_key.spec.key_size)
        self._read[place] = _Read(_wanted(join_key), version_of(body), Recalled.of(found))
        return found

    def forget(self, namespace: str, name: str) -> None:
        """Forget a JoinKey that is gone."""
        self._read.pop((namespace, name), None)


def _wanted(join_key: JoinKey) -> tuple[str, str, int | None]:
    reference = join_key.spec.secret_ref
    return join_key.metadata.uid, reference.name if reference is not None else "", join_key.spec.key_size
