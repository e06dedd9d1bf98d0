"""Reconcile one TokenRotation: start it, open its batches one after the other, and finish it.

    take the lock -> Running -> open, open ... -> Succeeded, Failed or Aborted -> release the lock

Each step is one conditional write, and each attempt decides by what is stored: so a crash between two writes
repeats nothing and leaves nothing out. The devices are moved by the exchange, which reads `status.open`.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.api.token_rotation import DeviceCounts, TokenRotation
from tallystick.fleet.domain.counts import sum_of
from tallystick.fleet.domain.facts import RotationFacts, Target
from tallystick.fleet.domain.next_step import Close, Finish, Open, Wait
from tallystick.fleet.domain.readings import rotation_facts, target_of
from tallystick.fleet.domain.rotation.description import describe_rotation, said, situation_of
from tallystick.fleet.domain.rotation.messages import not_issued_text, over, running
from tallystick.fleet.domain.rotation.status import counted, device_counts, opened, recorded, recorded_batches
from tallystick.fleet.domain.starting import TARGET_MAY_FOLLOW, GoOn, Hold, Never, Start
from tallystick.fleet.services.device_index import DeviceIndex, LookAgain
from tallystick.fleet.services.rotation_finish import Locks
from tallystick.fleet.services.rotation_looks import LOOK_EVERY, Look, Looking, Memory
from tallystick.fleet.services.rotation_start import NotIssued, Starting
from tallystick.objects.conditions import Progress, Readiness, Verdict, reconciling
from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster, Json
from tallystick.objects.reconciler import Observed, Reconciler
from tallystick.objects.result import Result
from tallystick.pairing.api.device_project import FINISHED, RotationState
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.schema.times import whole_second

# Another rotation of the same token can be paused, which is an event of that one only.
RETRY_WAITING_SECONDS = 10.0
SOON_SECONDS = LOOK_EVERY.total_seconds()

Seen = Observed[TokenRotation]
Changes = Mapping[str, Any]


class TokenRotations:
    """The reconciler of TokenRotations. Only the leader runs it, for one object at a time.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        index: The Devices by their PairingToken.
        look_again: Reconciles one object again.
        ctx: Time, audit log and events.
    """

    def __init__(self, cluster: Cluster, cache: Cache, index: DeviceIndex, look_again: LookAgain, ctx: Context) -> None:
        self._clock = ctx.clock
        self._index = index
        self._look_again = look_again
        self._starting = Starting(cluster, cache, index, ctx)
        self._locks = Locks(cluster, cache, ctx)
        self._looking = Looking(cluster, cache, index, ctx.clock)
        self._memories: dict[str, Memory] = {}
        self._targets: dict[tuple[str, str], str] = {}  # of each rotation that was seen: the PairingToken
        self._states: dict[tuple[str, str], RotationState] = {}
        self._reconciler = Reconciler(TokenRotation, describe_rotation, cluster, cache, ctx, verdict=Verdict.SUCCEEDED)

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Take all steps that one object needs. Raises ClusterError or NotYetError if a later attempt may succeed."""
        place = (namespace, name)
        return await self._reconciler.run(namespace, name, self._act, if_gone=lambda: self._forget(place))

    def running(self, state: RotationState) -> int:
        """Return the number of rotations in a state."""
        return sum(one is state for one in self._states.values())

    async def _act(self, seen: Seen) -> Result | None:
        rotation, meta = seen.object, seen.object.metadata
        place = (meta.namespace, meta.name)
        self._targets[place] = rotation.spec.target_ref.name
        self._states[place] = rotation.status.state or RotationState.PENDING
        if rotation.status.state in FINISHED:
            return await self._release(seen)
        memory = self._memories.setdefault(meta.uid, Memory())
        now = self._clock.now()
        pause = memory.pause(now)
        if pause:
            return Result(requeue_after=pause)
        memory.looked = now
        return await (self._go_on(seen, memory) if rotation.status.generation else self._start(seen))

    # The start.

    async def _start(self, seen: Seen) -> Result | None:
        rotation = seen.object
        decision = await self._starting.take_lock(rotation)
        match decision:
            case GoOn(generation):
                return await self._record_start(seen, generation)
            case Never(why, state):
                changes = {"state": state, "finish_time": self._now(), "devices": DeviceCounts()}
                return await self._record_end(seen, why, changes)
            case Hold():
                return await self._hold(seen, decision)
            case NotIssued():
                text = not_issued_text(f"{rotation.metadata.namespace}/{rotation.spec.target_ref.name}")
                await self._say(seen, reconciling(Reason.IN_PROGRESS, text), {"state": RotationState.PENDING})
                return Result(requeue_after=RETRY_WAITING_SECONDS)
            case Start():
                return Result(requeue_after=SOON_SECONDS)

    async def _record_start(self, seen: Seen, generation: int) -> Result | None:
        rotation, meta = seen.object, seen.object.metadata
        # The controller issues the new value when it looks at the PairingToken. Its own write is no news to it.
        self._look_again(PAIRING_TOKENS, meta.namespace, rotation.spec.target_ref.name)
        raw = await self._starting.read_token(meta.namespace, rotation.spec.target_ref.name)
        target = _locked_target(raw, meta.uid)
        if target is None:
            return Result(requeue_after=SOON_SECONDS)  # it was deleted just now
        changes = await self._starting.first_status(rotation, target, generation)
        started = rotation.model_copy(update={"status": rotation.status.model_copy(update=changes)})
        about = situation_of(started, recorded(started.status), self._clock.now())
        await self._say(seen, running(Reason.IN_PROGRESS, about), changes)
        self._reconciler.audit(
            "rotate",
            seen,
            generation=generation,
            old_token_id=changes["old_token_id"],
            new_token_id=changes["new_token_id"],
        )
        return None

    async def _hold(self, seen: Seen, hold: Hold) -> Result:
        rotation = seen.object
        about = situation_of(rotation, recorded(rotation.status), self._clock.now(), behind=hold.behind)
        await self._say(seen, running(hold.why, about, is_stalled=hold.stalled), {"state": RotationState.PENDING})
        if hold.why is Reason.TARGET_NOT_FOUND and not hold.stalled:
            return Result(requeue_at=rotation_facts(rotation).created + TARGET_MAY_FOLLOW)
        return Result(requeue_after=RETRY_WAITING_SECONDS if hold.why is Reason.WAITING_FOR_ROTATION else None)

    # While it runs.

    async def _go_on(self, seen: Seen, memory: Memory) -> Result | None:
        rotation, meta = seen.object, seen.object.metadata
        raw = await self._starting.read_token(meta.namespace, rotation.spec.target_ref.name)
        facts, target = rotation_facts(rotation), _locked_target(raw, meta.uid)
        look = await self._looking.look(facts, target, recorded(rotation.status), memory)
        if isinstance(look.step, Finish):
            return await self._finish(seen, facts, look, look.step)
        state, changes = self._changes(facts, look)
        held_until = None if _is_news(rotation, look, changes) else memory.counts_wait_until()
        if held_until is None and await self._say(seen, self._readiness(rotation, look), changes):
            memory.written = memory.looked
        shown = None
        if raw is not None:
            shown = await self._locks.show(rotation, raw, state, sum_of(look.batches), memory)
        return self._next_look(look, held_until, shown)

    def _changes(self, facts: RotationFacts, look: Look) -> tuple[RotationState, Changes]:
        changes: dict[str, Any] = counted(facts, look.batches, look.failed, self._clock.now())
        match look.step:
            case Open(opening):
                state = RotationState.RUNNING
                changes |= {"state": state, **opened(facts, opening)}
            case Close(_, state, opening):
                changes |= {"state": state, **opened(facts, opening)}
            case _:
                state = facts.state
        return state, changes

    def _readiness(self, rotation: TokenRotation, look: Look) -> Readiness:
        names = tuple(one.name for one in look.failed)
        about = situation_of(rotation, sum_of(look.batches), self._clock.now(), failed=names)
        why = look.step.why if isinstance(look.step, Wait | Close) else Reason.IN_PROGRESS
        return running(why, about)

    def _next_look(self, look: Look, *writes: datetime | None) -> Result:
        until = look.step.until if isinstance(look.step, Wait) else None
        times = [time for time in (until, look.again, *writes) if time is not None]
        # An opening is followed by a look at what it has changed, and a list by a look at a cache that has caught up.
        again = not isinstance(look.step, Wait) or look.listed or bool(look.step.look)
        soonest = self._clock.now() + timedelta(seconds=SOON_SECONDS)
        at = max(min(times), soonest) if times else None
        return Result(requeue_at=at, requeue_after=SOON_SECONDS if again else None)

    # The end.

    async def _finish(self, seen: Seen, facts: RotationFacts, look: Look, step: Finish) -> Result | None:
        rotation, now = seen.object, self._clock.now()
        # The devices of a token that is revoked are no members any more: the record has the counts of before.
        batches = recorded_batches(rotation.status) if step.why is Reason.TARGET_REVOKED else look.batches
        ended = tuple(batch.at_the_end(step.state) for batch in batches)
        changes: dict[str, Any] = {
            **counted(replace(facts, state=step.state), ended, look.failed, now),
            "state": step.state,
            "finish_time": self._now(),
            "devices": device_counts(step.counts),
        }
        return await self._record_end(seen, step.why, changes)

    async def _record_end(self, seen: Seen, why: Reason, changes: Changes) -> Result | None:
        rotation = seen.object
        ended = rotation.model_copy(update={"status": rotation.status.model_copy(update=dict(changes))})
        counts = recorded(ended.status)
        about = situation_of(ended, counts, self._clock.now())
        await self._say(seen, over(why, about), changes)
        facts: dict[str, Any] = {
            "reason": why.value,
            "generation": ended.status.generation,
            "new_token_id": ended.status.new_token_id,
            "total": counts.total,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
        }
        if why is Reason.ABORTED:
            self._reconciler.audit("abort", seen, **facts)
        else:
            self._reconciler.audit("finish", seen, **facts)
        return None

    async def _release(self, seen: Seen) -> Result:
        """Release the lock, after the end is recorded in the rotation itself."""
        rotation, meta = seen.object, seen.object.metadata
        self._memories.pop(meta.uid, None)
        self._index.drop_tally((meta.namespace, meta.name))
        if self._locks.is_held(rotation):
            await self._locks.release(rotation)
            # The rotations that wait are looked at after it. The write of this process is no news to it.
            self._look_again(PAIRING_TOKENS, meta.namespace, rotation.spec.target_ref.name)
        return await self._reconciler.done(seen)

    def _forget(self, place: tuple[str, str]) -> None:
        """Look at the PairingToken of a deleted rotation: its lock is given up, as by an abort."""
        self._index.drop_tally(place)
        self._states.pop(place, None)
        target = self._targets.pop(place, None)
        if target is not None:
            self._look_again(PAIRING_TOKENS, place[0], target)

    async def _say(self, seen: Seen, readiness: Readiness, changes: Changes) -> bool:
        """Record the rotation, and return whether this was a write.

        The audit log and an event report a new reason that a person has to look at.
        """
        before = said(seen.object)
        after = await self._reconciler.record_as(seen, readiness, changes)
        if readiness.progress in (Progress.STALLED, Progress.FAILED) and before != readiness.reason.value:
            if readiness.progress is Progress.STALLED:
                self._reconciler.audit("refuse", seen, outcome="stalled", reason=readiness.reason.value)
            self._reconciler.warn(seen, readiness.reason, readiness.message)
        return after is not seen

    def _now(self) -> datetime:
        return whole_second(self._clock.now())


def _is_news(rotation: TokenRotation, look: Look, changes: Changes) -> bool:
    """Return whether a look has found more than counts: a step, a batch that is done, or another spec."""
    status = rotation.status
    is_done = [one.done_time for one in changes["batches"]] != [one.done_time for one in status.batches]
    is_new_spec = status.observed_generation != rotation.metadata.generation
    return not isinstance(look.step, Wait) or is_done or is_new_spec


def _locked_target(raw: Json | None, rotation_uid: str) -> Target | None:
    """Return the PairingToken if this rotation holds its lock; None if it is another object, or does not exist."""
    if raw is None:
        return None
    target = target_of(PairingToken.model_validate(raw))
    lock = target.lock
    return target if lock is not None and lock.is_held and lock.uid == rotation_uid else None
