"""Write the Secrets that belong to our objects, by conditional writes; what one returns goes into the view at once."""

from contextlib import suppress

from tallystick.api.core import SECRETS
from tallystick.domain.held_secrets import HeldSecret, content_digest
from tallystick.services.ports import Cluster, Json, NotFoundError, View


class OwnedSecrets:
    """The Secrets of our objects, whichever kind they are of."""

    def __init__(self, cluster: Cluster, view: View) -> None:
        self._cluster = cluster
        self._view = view

    async def held(self, namespace: str, name: str) -> Json | None:
        """Read a Secret, whoever it belongs to."""
        try:
            return await self._cluster.get(SECRETS, namespace, name)
        except NotFoundError:
            return None

    async def create(self, wanted: Json) -> None:
        """Create a Secret; raises AlreadyExistsError where its name is taken."""
        self._view.remember(SECRETS, await self._cluster.create(SECRETS, wanted))

    async def restore(self, wanted: Json, held: Json | None) -> None:
        """Make the Secret as it must be; `held` is what is there and ours, if anything is."""
        if held is None:
            await self.create(wanted)
        elif content_digest(held) == content_digest(wanted):
            self._view.remember(SECRETS, held)
        else:
            await self._replace(wanted, held)

    async def remove(self, secret: HeldSecret) -> None:
        """Delete the very Secret that was seen."""
        with suppress(NotFoundError):  # somebody was faster, and it is gone
            await self._cluster.delete(
                SECRETS, secret.namespace, secret.name, uid=secret.uid, resource_version=secret.resource_version
            )
        self._view.forget(SECRETS, secret.namespace, secret.name, secret.uid)

    async def _replace(self, wanted: Json, held: Json) -> None:
        """Make the Secret as wanted, in place where the API allows it."""
        meta = held["metadata"]
        if held.get("immutable") or held.get("type") != wanted["type"]:
            # Neither can be changed back in place: delete this very Secret and create ours.
            await self._cluster.delete(SECRETS, meta["namespace"], meta["name"], uid=meta["uid"])
            await self.create(wanted)
            return
        identity = {key: meta[key] for key in ("uid", "resourceVersion")}
        body = {**wanted, "metadata": {**wanted["metadata"], **identity}}
        self._view.remember(SECRETS, await self._cluster.replace(SECRETS, body))
