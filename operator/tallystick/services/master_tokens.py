"""Keep the record of a MasterToken: Active, Expired or Revoked. Only a record: the exchange reads the objects."""

from datetime import datetime

from tallystick.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.domain.phrases import master_verdict
from tallystick.domain.revocation import master_status
from tallystick.domain.validity import Invalid, revoked_by_pairing, why_master_invalid
from tallystick.services.outcome import Outcome
from tallystick.services.ports import Cluster, Json, NotFoundError, View
from tallystick.services.surroundings import Surroundings


class MasterTokens:
    """The reconciler of MasterTokens. Run by the leader alone, for one object at a time."""

    def __init__(self, cluster: Cluster, view: View, around: Surroundings) -> None:
        self._cluster = cluster
        self._view = view
        self._clock = around.clock
        self._audit = around.audit
        self._events = around.events

    async def reconcile(self, namespace: str, name: str) -> Outcome:
        """Bring one object to rest. Raises ClusterError where a later attempt may do better."""
        raw = self._view.get(MASTER_TOKENS, namespace, name)
        if raw is None:
            return Outcome()
        token = MasterToken.model_validate(raw)
        if token.metadata.deletion_timestamp is not None:
            return Outcome()
        state = await self._state(token, self._clock.now())
        await self._record(token, raw, state)
        return Outcome(wake_at=token.spec.expiration_time if state is MasterTokenState.ACTIVE else None)

    async def _state(self, token: MasterToken, now: datetime) -> MasterTokenState:
        pairing = self._seen_pairing(token)
        if pairing is None or revoked_by_pairing(token, pairing):
            # Revoked is for ever: what a watch has seen (or missed) does not decide it.
            pairing = await self._read_pairing(token)
        problem = why_master_invalid(token, pairing, uid=token.metadata.uid, token_id=token.spec.token_id, now=now)
        match problem:
            case None:
                return MasterTokenState.ACTIVE
            case Invalid.EXPIRED:
                return MasterTokenState.EXPIRED
            case _:
                return MasterTokenState.REVOKED

    def _seen_pairing(self, token: MasterToken) -> PairingToken | None:
        reference = token.spec.pairing_token_ref
        raw = self._view.get(PAIRING_TOKENS, token.metadata.namespace, reference.name) if reference else None
        return PairingToken.model_validate(raw) if raw is not None else None

    async def _read_pairing(self, token: MasterToken) -> PairingToken | None:
        reference = token.spec.pairing_token_ref
        if reference is None:
            return None
        try:
            raw = await self._cluster.get(PAIRING_TOKENS, token.metadata.namespace, reference.name)
        except NotFoundError:
            return None
        return PairingToken.model_validate(raw)

    async def _record(self, token: MasterToken, raw: Json, state: MasterTokenState) -> None:
        recorded = master_status(token, state, self._clock.now())
        status = recorded.model_copy(update={"observed_generation": token.metadata.generation})
        if status == token.status:
            return
        stored = await self._cluster.replace_status(MASTER_TOKENS, {**raw, "status": status.to_json()})
        self._view.remember(MASTER_TOKENS, stored)
        if state is not token.status.state:
            self._tell(token, raw, state)

    def _tell(self, token: MasterToken, raw: Json, state: MasterTokenState) -> None:
        meta = token.metadata
        self._audit.record(
            "record",
            state.value.lower(),
            kind="MasterToken",
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            token_id=token.spec.token_id,
        )
        if state is not MasterTokenState.ACTIVE:
            verdict = master_verdict(token, state)
            self._events.warn(raw, verdict.reason, verdict.message)
