"""Make the first admin token: once for each generation, when a controller begins to lead (docs/rules.md#s27).

    look for the trigger --> record (swap) --> MasterToken --> Secret --> delete the trigger

The record decides which token it is. Every later step can be repeated, by this process after a failure or by another
one after a crash, with the same result. The reconciler of MasterTokens deletes the Secret and revokes the token.
"""

import json

import structlog

from tallystick.objects.context import Context
from tallystick.objects.labels import BOOTSTRAP_ANNOTATION, KEYRING_SECRET
from tallystick.objects.ownership import SecretConflict, find_conflict
from tallystick.objects.ports import AlreadyExistsError, Cluster, Json, NotFoundError, RefusedError
from tallystick.objects.reasons import SharedReason
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.api.reasons import BootstrapReason
from tallystick.pairing.domain.admin_step import CleanUp, Done, Ignore, Input, Make, Store, next_step
from tallystick.pairing.domain.admin_token import (
    ADMIN_SECRET,
    ADMIN_SECRET_FORM,
    TRIGGER,
    AdminToken,
    Record,
    admin_master_token,
    admin_secret,
    is_unrecorded,
    recorded,
)
from tallystick.pairing.domain.redemption import same_master_token
from tallystick.pairing.domain.settings import PairingSettings
from tallystick.pairing.domain.tokens import master_token_name
from tallystick.pairing.domain.use_cases import RESERVED
from tallystick.pairing.domain.validity import why_master_invalid
from tallystick.pairing.services.issuing import PairingIssuer
from tallystick.schema.builtin import CONFIG_MAPS, SECRETS

RETRY_SECONDS = 5.0

log = structlog.get_logger("tallystick.bootstrap")


class AdminBootstrap:
    """Makes the admin token that a trigger asks for. Only the leader runs it.

    Args:
        cluster: The API server.
        issuer: Signs the token.
        settings: The generation, and the time after which the Secret is deleted.
        ctx: Time, audit log and events.
        namespace: The operator's namespace.
        is_served: Whether the operator serves its own namespace.
    """

    def __init__(
        self,
        cluster: Cluster,
        issuer: PairingIssuer,
        settings: PairingSettings,
        ctx: Context,
        *,
        namespace: str,
        is_served: bool,
    ) -> None:
        self._cluster = cluster
        self._issuer = issuer
        self._settings = settings
        self._ctx = ctx
        self._namespace = namespace
        self._is_served = is_served
        self._is_done = settings.bootstrap_generation == 0
        self._looked_for: str | None = None  # the uid of the trigger that was there at the first look

    async def run(self) -> None:
        """Do all that is missing; a run after that does nothing. May raise ClusterError or NotYetError: run again."""
        if self._is_done or self._issuer.loss() is not None:
            # A keyring that an administrator restores later is marked, and begins no token (docs/rules.md#s27).
            self._is_done = True
            return
        self._ctx.server_clock.check()
        trigger = await self._trigger()
        self._is_done = await self._follow(trigger)

    async def _trigger(self) -> Json | None:
        """Read the trigger. One that is placed later waits until a controller begins to lead (docs/rules.md#r96)."""
        found = await self._read_trigger()
        uid = str(found["metadata"]["uid"]) if found is not None else ""
        if self._looked_for is None:
            self._looked_for = uid
        return found if uid == self._looked_for else None

    async def _follow(self, trigger: Json | None) -> bool:
        """Take the steps that are due; return whether there is no further one."""
        while True:
            keyring = await self._cluster.get(SECRETS, self._namespace, KEYRING_SECRET)
            match await self._next_step(keyring, trigger):
                case Store(record):
                    await self._store(keyring, record)
                case Make(token) if trigger is not None:
                    return await self._make(token, trigger)
                case CleanUp(message) if trigger is not None:
                    self._ignore(trigger, message)
                    await self._delete(trigger)
                    return True
                case Ignore(message) if trigger is not None:
                    self._ignore(trigger, message)
                    return True
                case Done() | _:
                    return True

    async def _next_step(self, keyring: Json, trigger: Json | None) -> Store | Make | CleanUp | Ignore | Done:
        now = self._ctx.clock.now()
        record = recorded((keyring["metadata"].get("annotations") or {}).get(BOOTSTRAP_ANNOTATION), now)
        return next_step(
            Input(
                record=record,
                trigger=trigger["metadata"]["uid"] if trigger is not None else None,
                generation=self._settings.bootstrap_generation,
                is_behind=await self._is_behind(record),
                is_served=self._is_served,
                delete_after=self._settings.delete_admin_secret_after,
                key_id=self._issuer.keyring.signing_key(now).key_id,
                now=now,
            )
        )

    async def _is_behind(self, record: Record | None) -> bool:
        """Return whether there is a token that the record does not know: the keyring was lost, and is back or new."""
        may_make = record is None or (record.generation or 0) < self._settings.bootstrap_generation
        if not (may_make and self._is_served):
            return False
        listed = self._cluster.list(MASTER_TOKENS, self._namespace, field_selector=f"spec.useCase={RESERVED}")
        return any([is_unrecorded(MasterToken.model_validate(body), record) async for body in listed])

    async def _store(self, keyring: Json, record: Record) -> None:
        """Swap the record in. If another client has changed the Secret, the next run reads it again."""
        meta = keyring["metadata"]
        annotations = {**(meta.get("annotations") or {}), BOOTSTRAP_ANNOTATION: record.to_text()}
        await self._cluster.replace(SECRETS, {**keyring, "metadata": {**meta, "annotations": annotations}})

    async def _make(self, token: AdminToken, trigger: Json) -> bool:
        master = await self._master_token(token)
        if master is None:
            text = f"MasterToken {master_token_name(token.token_id)} is not that of the admin token. Delete it."
            self._warn(trigger, BootstrapReason.MASTER_TOKEN_CONFLICT, text)
            return False
        if self._is_wanted(master) and await self._is_there(trigger):
            foreign = await self._store_token(master)
            if foreign is not None:
                text = f"Secret {self._namespace}/{ADMIN_SECRET} {foreign.problem}. Delete the Secret."
                self._warn(trigger, SharedReason.SECRET_CONFLICT, text)
                return False
        await self._delete(trigger)
        return True

    async def _master_token(self, token: AdminToken) -> MasterToken | None:
        """Create the MasterToken, or read that of an earlier attempt; None if the name is taken (docs/rules.md#s1)."""
        wanted = admin_master_token(token, self._namespace)
        try:
            stored = await self._cluster.create(MASTER_TOKENS, wanted)
        except (AlreadyExistsError, RefusedError) as error:
            # A quota decides before the API server looks for the name. It may be exhausted by this very object.
            stored = await self._held(wanted["metadata"]["name"], error)
        found = MasterToken.model_validate(stored)
        computed = MasterToken.model_validate({**wanted, "metadata": stored["metadata"]}).spec
        return found if same_master_token(found, computed) else None

    async def _held(self, name: str, error: AlreadyExistsError | RefusedError) -> Json:
        try:
            return await self._cluster.get(MASTER_TOKENS, self._namespace, name)
        except NotFoundError:
            raise error from None

    def _is_wanted(self, master: MasterToken) -> bool:
        """Return whether the token is valid: one that a user has revoked by now is not stored."""
        uid, token_id = master.metadata.uid, master.spec.token_id
        return why_master_invalid(master, None, uid=uid, token_id=token_id, now=self._ctx.clock.now()) is None

    async def _is_there(self, trigger: Json) -> bool:
        """Return whether the trigger still exists. Without it, another leader has made the token, and all is done."""
        found = await self._read_trigger()
        return found is not None and found["metadata"]["uid"] == trigger["metadata"]["uid"]

    async def _store_token(self, master: MasterToken) -> SecretConflict | None:
        """Create the Secret; return why another one of its name is left alone (docs/rules.md#s22)."""
        signed = self._issuer.sign_master(master)
        wanted = admin_secret(master, json.dumps({"token": signed}, separators=(",", ":")))
        outcome = "ok"
        try:
            await self._cluster.create(SECRETS, wanted)
        except (AlreadyExistsError, RefusedError) as error:
            try:
                held = await self._cluster.get(SECRETS, self._namespace, ADMIN_SECRET)
            except NotFoundError:
                raise error from None
            conflict = find_conflict(held, MASTER_TOKENS, master.metadata, ADMIN_SECRET_FORM)
            if conflict is not None:
                return conflict
            outcome = "already"
        self._ctx.audit.record(
            "bootstrap",
            outcome,
            kind=MASTER_TOKENS.kind,
            namespace=self._namespace,
            name=master.metadata.name,
            uid=master.metadata.uid,
            token_id=master.spec.token_id,
            kid=master.spec.key_id,
        )
        log.info("the first admin token is stored", secret=f"{self._namespace}/{ADMIN_SECRET}")
        return None

    async def _read_trigger(self) -> Json | None:
        try:
            return await self._cluster.get(CONFIG_MAPS, self._namespace, TRIGGER)
        except NotFoundError:
            return None

    async def _delete(self, trigger: Json) -> None:
        """Delete this trigger, and no later one (docs/rules.md#r98)."""
        try:
            await self._cluster.delete(CONFIG_MAPS, self._namespace, TRIGGER, uid=trigger["metadata"]["uid"])
        except NotFoundError:
            return

    def _ignore(self, trigger: Json, message: str) -> None:
        self._ctx.audit.record("bootstrap", "ignored", kind="ConfigMap", namespace=self._namespace, name=TRIGGER)
        self._warn(trigger, BootstrapReason.TRIGGER_IGNORED, message)

    def _warn(self, trigger: Json, reason: BootstrapReason | SharedReason, message: str) -> None:
        about = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind, **trigger}
        self._ctx.events.warn(about, reason.value, message)
