"""Create the keys `default` at the first start, once.

That this is done is noted on the Secret with the signing keys, which exists exactly once for an installation. So a key
that an administrator has deleted since is not created again (docs/rules.md#r54, docs/rules.md#r74).
"""

from contextlib import suppress
from typing import Any

import structlog

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.clusterkeys.domain.settings import ClusterKeySettings
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.objects.ports import AlreadyExistsError, Cluster, Json, NotFoundError
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import GROUP, Resource

ANNOTATION = f"{GROUP}/bootstrap-keys"
DONE = "created"
NAME = "default"
RETRY_SECONDS = 5.0

log = structlog.get_logger("tallystick.keys")


class Bootstrap:
    """Creates MasterKey and JoinKey `default` in the operator's namespace. Only the leader runs it.

    Args:
        cluster: The API server.
        namespace: The operator's namespace.
        settings: Whether the keys are created, and the Secrets with keys of the user.
        is_served: Whether the operator serves its own namespace.
    """

    def __init__(self, cluster: Cluster, namespace: str, settings: ClusterKeySettings, *, is_served: bool) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._settings = settings
        self._is_done = not (settings.bootstrap_keys and is_served)

    async def run(self) -> None:
        """Create what is missing, and note that. After a failure the next run continues. May raise ClusterError."""
        if self._is_done:
            return
        try:
            keyring = await self._cluster.get(SECRETS, self._namespace, KEYRING_SECRET)
        except NotFoundError:
            return  # it is created first, or it is lost, and then this is no first start
        annotations = keyring["metadata"].get("annotations") or {}
        if annotations.get(ANNOTATION) != DONE:
            await self._create(MASTER_KEYS, self._settings.bootstrap_master_key_secret)
            await self._create(JOIN_KEYS, self._settings.bootstrap_join_key_secret)
            await self._note(keyring, annotations)
        self._is_done = True

    async def _create(self, kind: Resource, secret: str | None) -> None:
        spec: dict[str, Any] = {"secretRef": {"name": secret}} if secret is not None else {}
        metadata = {"name": NAME, "namespace": self._namespace}
        body: Json = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
        with suppress(AlreadyExistsError):  # a user's own one, or one of an attempt whose end was not noted
            await self._cluster.create(kind, body)
            log.info("created a key for the first start", kind=kind.kind, key=f"{self._namespace}/{NAME}")

    async def _note(self, keyring: Json, annotations: dict[str, str]) -> None:
        metadata = {**keyring["metadata"], "annotations": {**annotations, ANNOTATION: DONE}}
        await self._cluster.replace(SECRETS, {**keyring, "metadata": metadata})
