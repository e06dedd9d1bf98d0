"""Reconcile one ConnectionConfiguration: look, ask the domain for the next step, perform it by conditional writes.

A token costs three writes: the plan in the status, the Secret, and the status again. Between any two of them a crash
leaves a plan that the next attempt carries out, for the `jti` and all claims are in it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tallystick.api.connection_configuration import (
    CONNECTION_CONFIGURATIONS,
    ConnectionConfiguration,
    ConnectionToken,
    ConnectionTokenState,
    Instances,
    RevocationReason,
)
from tallystick.api.meta import Condition
from tallystick.domain import connections
from tallystick.domain.conditions import Verdict, conditions
from tallystick.domain.connection_phrases import (
    deleted_text,
    license_text,
    remarks_of,
    still_in_use_text,
    verdict_of,
)
from tallystick.domain.errors import NotYetError
from tallystick.domain.names import connection_secret_name
from tallystick.domain.presence import Attendance, Grade, Presence, attendance
from tallystick.domain.reminders import reminder
from tallystick.domain.slots import Plan, active_tokens, end_of, live_tokens, minted, on_record, plan
from tallystick.services.census import Census
from tallystick.services.connection_secrets import ConnectionSecrets, Foreign, Signatures, Stored
from tallystick.services.healings import Healings
from tallystick.services.issuer import Issuer
from tallystick.services.outcome import Outcome
from tallystick.services.ports import Cluster, Json, Presences, View
from tallystick.services.surroundings import Surroundings

# An object needs at most: settle, write the Secret, activate, rest.
MOST_STEPS = 5
RETRY_CONFLICT_SECONDS = 10.0


class ConnectionConfigurations:
    """The reconciler of ConnectionConfigurations. Run by the leader alone, for one object at a time."""

    def __init__(
        self, cluster: Cluster, view: View, issuer: Issuer, presences: Presences, around: Surroundings
    ) -> None:
        self._cluster = cluster
        self._view = view
        self._issuer = issuer
        self._presences = presences
        self._clock = around.clock
        self._server_clock = around.server_clock
        self._audit = around.audit
        self._events = around.events
        self._secrets = ConnectionSecrets(cluster, view, issuer, around.clock)
        self._healings = Healings(around.clock)
        self.census = Census(around)

    async def reconcile(self, namespace: str, name: str) -> Outcome:
        """Bring one object to rest. Raises ClusterError or NotYetError where a later attempt may do better."""
        settled, signatures = False, Signatures(self._issuer)
        for _ in range(MOST_STEPS):
            raw = self._view.get(CONNECTION_CONFIGURATIONS, namespace, name)
            if raw is None:
                self.census.gone(namespace, name)
                return Outcome()
            configuration = ConnectionConfiguration.model_validate(raw)
            self.census.note(configuration)
            step = connections.next_step(self._seen(configuration, signatures))
            if isinstance(step, connections.KeepSecret):
                outcome = await self._keep_secret(configuration, raw, signatures, of_ours=settled)
            else:
                outcome = await self._take(step, configuration, raw)
            if outcome is not None:
                return outcome
            settled = settled or isinstance(step, connections.Settle)
        return Outcome(retry_after=1.0)

    def _seen(self, configuration: ConnectionConfiguration, signatures: Signatures) -> connections.Seen:
        return connections.Seen(
            configuration=configuration,
            plan=plan(configuration, self._clock.now()),
            secret=self._secrets.seen(configuration),
            expected_digest=self._secrets.expected_digest(configuration, signatures),
        )

    async def _take(
        self,
        step: connections.Settle | connections.Activate | connections.Rest,
        configuration: ConnectionConfiguration,
        raw: Json,
    ) -> Outcome | None:
        """Perform a step. None asks for another look at once."""
        match step:
            case connections.Settle():
                return await self._settle(step, configuration, raw)
            case connections.Activate():
                active = await self._activate(configuration, raw, live_tokens(configuration))
                self.census.note(active)
                return self._at_rest(active)  # the watch tells of whatever has come between
            case connections.Rest():
                return self._at_rest(await self._record(configuration, raw))

    async def _settle(
        self, step: connections.Settle, configuration: ConnectionConfiguration, raw: Json
    ) -> Outcome | None:
        try:
            self._server_clock.check()
        except NotYetError as problem:
            # By a wrong clock a licence might be over too soon, and what it ends is ended for ever.
            verdict = Verdict(ready=False, reconciling=True, reason="ClockUnsafe", message=problem.message)
            await self._record(configuration, raw, verdict=verdict)
            return Outcome(retry_after=problem.retry_after)
        planned, new = step.plan, self._minted(configuration, step.plan)
        users = self._attendance(configuration).users
        changes: dict[str, Any] = {
            "tokens": on_record((*planned.tokens, *new)),
            "vacant_slots": list(planned.vacant),
            "last_serial": new[-1].serial if new else configuration.status.last_serial,
        }
        await self._record(configuration, raw, changes)
        for token in planned.ended:
            self._audit_of("revoke", configuration, token, reason=token.reason)
        self._tell_of(configuration, raw, planned.ended, users)
        return None

    def _minted(self, configuration: ConnectionConfiguration, planned: Plan) -> tuple[ConnectionToken, ...]:
        if not planned.mint:
            return ()
        now = self._clock.now()
        try:
            key_id = self._issuer.keyring.signing_key(now).key_id
        except NotYetError:
            if planned.ended:
                return ()  # what has ended is recorded all the same; the next look finds what is to be made
            raise
        return minted(configuration, planned.mint, key_id=key_id, issuer=self._issuer.policy.issuer, now=now)

    def _tell_of(
        self,
        configuration: ConnectionConfiguration,
        raw: Json,
        ended: tuple[ConnectionToken, ...],
        users: Mapping[int, tuple[str, ...]],
    ) -> None:
        """Tell in events what has ended, and whom it cuts off."""
        if any(token.reason is RevocationReason.LICENSE_EXPIRED for token in ended):
            self._events.warn(raw, RevocationReason.LICENSE_EXPIRED.value, license_text(configuration))
        deleted = tuple(token.token_id for token in ended if token.reason is RevocationReason.CONFIGURATION_DELETED)
        if deleted:
            self._events.warn(raw, RevocationReason.CONFIGURATION_DELETED.value, deleted_text(deleted))
        for token in ended:
            cut_off = users.get(token.serial, ())
            if token.reason is RevocationReason.MANUAL and cut_off:
                self._events.warn(raw, "TokenStillInUse", still_in_use_text(token.token_id, cut_off))

    async def _keep_secret(
        self, configuration: ConnectionConfiguration, raw: Json, signatures: Signatures, *, of_ours: bool
    ) -> Outcome | None:
        """Write the Secret. `of_ours`: for a change of our own, and not to heal what somebody else has done."""
        meta = configuration.metadata
        heals = not of_ours and live_tokens(configuration) == active_tokens(configuration)
        if heals:
            pause = self._healings.pause(meta.uid)
            if pause > 0:
                return Outcome(retry_after=pause, wake_at=self._wake_at(configuration))
            # What a watch has seen may be over: look at the owner again before healing (S22).
            fresh = await self._cluster.get(CONNECTION_CONFIGURATIONS, meta.namespace, meta.name)
            self._view.remember(CONNECTION_CONFIGURATIONS, fresh)
            configuration, raw = ConnectionConfiguration.model_validate(fresh), fresh
            if not isinstance(connections.next_step(self._seen(configuration, signatures)), connections.KeepSecret):
                return None
        stored = await self._secrets.write(configuration, signatures)
        if isinstance(stored, Foreign):
            return await self._secret_is_foreign(configuration, raw, stored)
        if not signatures.of(configuration).complete:
            return await self._go_on_without(configuration, raw, stored)
        if heals:
            self._audit_of("heal", configuration, None)
            self._healings.note(meta.uid)
        return None

    async def _go_on_without(self, configuration: ConnectionConfiguration, raw: Json, stored: Stored) -> Outcome | None:
        """Go on where a token cannot be signed again, so that no digest tells whether the Secret is as it must be."""
        live = live_tokens(configuration)
        there = [token for token in live if token.token_id in stored.token_ids]
        if any(token.state is ConnectionTokenState.PENDING for token in there):
            await self._activate(configuration, raw, there)
            return None
        lost = [token.slot for token in live if token not in there]
        if not lost:
            return self._at_rest(await self._record(configuration, raw))
        message = (
            f"the Secret has lost the token of {', '.join(lost)}, which cannot be signed again because the operator's "
            "settings or keys have changed; replace the slot in spec.tokens by another one"
        )
        return await self._stall(configuration, raw, "ClaimsChanged", message)

    async def _activate(
        self, configuration: ConnectionConfiguration, raw: Json, there: Sequence[ConnectionToken]
    ) -> ConnectionConfiguration:
        """Say of the Pending tokens that are in the Secret now that they are Active."""
        pending = [token for token in there if token.state is ConnectionTokenState.PENDING]
        for token in reversed(pending):
            self._audit_of("issue", configuration, token, kid=token.key_id)
        active = {"state": ConnectionTokenState.ACTIVE}
        tokens = [
            token.model_copy(update=active) if token in pending else token for token in configuration.status.tokens
        ]
        return await self._record(configuration, raw, {"tokens": tokens})

    def _at_rest(self, configuration: ConnectionConfiguration) -> Outcome:
        return Outcome(wake_at=self._wake_at(configuration))

    async def _secret_is_foreign(self, configuration: ConnectionConfiguration, raw: Json, found: Foreign) -> Outcome:
        namespace = configuration.metadata.namespace
        name = f"Secret {namespace}/{connection_secret_name(configuration)}"
        owner = found.owner
        belongs = f"already belongs to {owner[0]} {namespace}/{owner[1]}" if owner else "exists and is not ours"
        message = (
            f"{name} {belongs}; it is left alone: remove it, or make a ConnectionConfiguration with another "
            "spec.secretName"
        )
        return await self._stall(configuration, raw, "SecretConflict", message)

    async def _stall(self, configuration: ConnectionConfiguration, raw: Json, reason: str, message: str) -> Outcome:
        verdict = Verdict(ready=False, stalled=True, reason=reason, message=message)
        known = any(said.type == "Ready" and said.reason == reason for said in configuration.status.conditions)
        await self._record(configuration, raw, verdict=verdict)
        if not known:
            self._audit_of("refuse", configuration, None, outcome="stalled", reason=reason)
            self._events.warn(raw, reason, message)
        # What is in the way carries no label of ours, so no watch tells when it is gone.
        return Outcome(retry_after=RETRY_CONFLICT_SECONDS, wake_at=self._wake_at(configuration))

    def _wake_at(self, configuration: ConnectionConfiguration) -> datetime | None:
        """Return when a licence ends, an instance has been silent for too long, or a rotation is due."""
        now = self._clock.now()
        age = reminder(configuration, now)
        times = [
            *(end_of(token, configuration) for token in live_tokens(configuration)),
            self._attendance(configuration).next_change,
            age.next_change if age else None,
        ]
        return min((time for time in times if time is not None), default=None)

    def _attendance(self, configuration: ConnectionConfiguration) -> Attendance:
        return attendance(self._presence(configuration), self._clock.now())

    def _presence(self, configuration: ConnectionConfiguration) -> Presence:
        return self._presences.of(configuration.metadata.uid)

    async def _record(
        self,
        configuration: ConnectionConfiguration,
        raw: Json,
        changes: Mapping[str, Any] | None = None,
        *,
        verdict: Verdict | None = None,
    ) -> ConnectionConfiguration:
        """Write the status if it says something else than it should, and return the object with it.

        Args:
            configuration: the object as it was read.
            raw: the same.
            changes: members of the status that are to be different.
            verdict: what to say; None says what the tokens say by themselves.
        """
        generation = configuration.metadata.generation
        status = configuration.status.model_copy(update=dict(changes or {}))
        changed = configuration.model_copy(update={"status": status})
        there = self._attendance(changed)
        active = active_tokens(changed)
        status = status.model_copy(
            update={
                "observed_generation": generation,
                "tokens": [_counted(token, there) for token in status.tokens],
                "active_tokens": len(active),
                "current_token_id": active[0].token_id if active else None,
                "instances": _instances(there, self._presence(changed), active[0].serial if active else None),
                "conditions": self._said(changed, there, verdict, configuration.status.conditions),
            }
        )
        if status == configuration.status:
            return configuration
        body = {**raw, "status": status.to_json()}
        stored = await self._cluster.replace_status(CONNECTION_CONFIGURATIONS, body)
        self._view.remember(CONNECTION_CONFIGURATIONS, stored)
        return configuration.model_copy(update={"status": status})

    def _said(
        self,
        configuration: ConnectionConfiguration,
        there: Attendance,
        verdict: Verdict | None,
        before: list[Condition],
    ) -> list[Condition]:
        now = self._clock.now()
        return conditions(
            verdict or verdict_of(configuration, there, now),
            before=before,
            generation=configuration.metadata.generation,
            now=now,
            remarks=remarks_of(configuration, there, reminder(configuration, now), now),
        )

    def _audit_of(
        self,
        action: str,
        configuration: ConnectionConfiguration,
        token: ConnectionToken | None,
        *,
        outcome: str = "ok",
        **facts: str | None,
    ) -> None:
        meta = configuration.metadata
        self._audit.record(
            action,
            outcome,
            kind=CONNECTION_CONFIGURATIONS.kind,
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            serial=token.serial if token else None,
            token_id=token.token_id if token else None,
            **facts,
        )


def _counted(token: ConnectionToken, there: Attendance) -> ConnectionToken:
    users = len(there.users.get(token.serial, ()))
    return token if token.instances == users else token.model_copy(update={"instances": users})


def _instances(there: Attendance, presence: Presence, current: int | None) -> Instances:
    outdated = sum(len(users) for serial, users in there.users.items() if serial != current)
    return Instances(
        good=there.grades.get(Grade.GOOD, 0),
        warning=there.grades.get(Grade.WARNING, 0),
        problem=there.grades.get(Grade.PROBLEM, 0),
        outdated=outdated,
        unlisted=presence.unlisted,
    )
