"""Delete the Secret of an admin token: a minute after the token was made, or as soon as the token has ended.

The Secret has to go before the token expires, so that few can have read it (docs/rules.md#r99).
"""

from contextlib import suppress
from datetime import datetime, timedelta

from tallystick.objects.context import Context
from tallystick.objects.ownership import belongs_to
from tallystick.objects.ports import Cluster, NotFoundError
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.pairing.domain.admin_token import ADMIN_SECRET, ADMIN_SECRET_FORM
from tallystick.schema.builtin import SECRETS


class AdminSecrets:
    """The Secrets of admin tokens. Only the leader uses it."""

    def __init__(self, cluster: Cluster, ctx: Context, delete_after: timedelta) -> None:
        """Hold the ports.

        Args:
            cluster: The API server.
            ctx: Time and audit log.
            delete_after: The time from the `iat` of a token to the deletion of its Secret.
        """
        self._cluster = cluster
        self._ctx = ctx
        self._delete_after = delete_after

    async def due_after(self, token: MasterToken, state: MasterTokenState) -> datetime | None:
        """Delete the Secret of an admin token if it is due, and return when it will be due; None if it was.

        No watch says whether the Secret exists: it is read once at each start for each admin token.
        """
        due = token.spec.issued_time + self._delete_after
        if state is MasterTokenState.ACTIVE and self._ctx.clock.now() < due:
            return due
        meta = token.metadata
        with suppress(NotFoundError):
            held = await self._cluster.get(SECRETS, meta.namespace, ADMIN_SECRET)
            if belongs_to(held, MASTER_TOKENS.kind, meta.uid, ADMIN_SECRET_FORM):
                await self._cluster.delete(SECRETS, meta.namespace, ADMIN_SECRET, uid=held["metadata"]["uid"])
                about = {"kind": MASTER_TOKENS.kind, "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
                self._ctx.audit.record("bootstrap", "removed", **about, token_id=token.spec.token_id)
        return None
