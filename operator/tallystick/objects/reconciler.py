"""The part of a reconciler that is the same for all kinds: read, act, record once, stall, wait and heal.

The reconciler of a kind holds a `Reconciler`, and brings a pure function that describes an object, and its steps.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import structlog

from tallystick.errors import NotYetError
from tallystick.objects.conditions import (
    Description,
    Progress,
    Readiness,
    Verdict,
    conditions,
    reconciling,
    stalled,
)
from tallystick.objects.context import Context
from tallystick.objects.healing import HealBackoff
from tallystick.objects.obstacles import Obstacle, Obstacles
from tallystick.objects.ownership import SecretConflict
from tallystick.objects.ports import Cache, Cluster, ClusterError, Json, RefusedError
from tallystick.objects.reasons import SharedReason
from tallystick.objects.result import Result
from tallystick.schema.meta import Condition, ObjectMeta, Resource

# No kind needs more steps until it is done. The bound turns a rule that repeats its step into a slow retry.
MOST_STEPS = 5
RETRY_UNFINISHED_SECONDS = 1.0
# A foreign Secret has no label of ours, so no watch reports its deletion.
RETRY_STALLED_SECONDS = 10.0

_READINESS = (Progress.ENDED.value, *Verdict)

log = structlog.get_logger("tallystick.reconciler")


class ApiObject(Protocol):
    """A parsed object of one of our kinds."""

    RESOURCE: ClassVar[Resource]

    @property
    def metadata(self) -> ObjectMeta:
        """The metadata."""
        ...

    @property
    def status(self) -> Any:
        """The status: `observed_generation`, `conditions`, and the members of the kind."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Parse JSON."""
        ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy with other members."""
        ...


K = TypeVar("K", bound=ApiObject)


@dataclass(frozen=True, slots=True)
class Observed(Generic[K]):
    """An object as it was read: parsed, and as JSON for the next conditional write.

    Attributes:
        now: The time of the step that began with this reading. The recorded status and the next time at which the
            object is due both follow from it. If each read the clock, a time that passes between the two would be
            neither recorded nor due.
    """

    object: K
    raw: Json = field(repr=False)
    now: datetime


Act = Callable[[Observed[K]], Awaitable[Result | None]]


def _no_facts(_: ApiObject) -> Mapping[str, str | int]:
    return {}


def _nothing() -> None:
    return


def _no_changes(_: ApiObject) -> Mapping[str, Any]:
    return {}


class Reconciler(Generic[K]):
    """Reads, records and reports the objects of one kind. Only the leader uses it, for one object at a time.

    Args:
        model: The kind.
        describe: Returns the part of the status that follows from an object and the time.
        cluster: The API server.
        cache: The objects that the watches have read.
        ctx: Time, audit log and events.
        facts: Returns the facts that each audit line about an object holds, beside its kind, name and uid.
        held_up: Returns the members of the status that change while the next step cannot be taken.
        verdict: The condition that says whether an object is as its spec requires.
    """

    def __init__(
        self,
        model: type[K],
        describe: Callable[[K, datetime], Description],
        cluster: Cluster,
        cache: Cache,
        ctx: Context,
        *,
        facts: Callable[[K], Mapping[str, str | int]] = _no_facts,
        held_up: Callable[[K], Mapping[str, Any]] = _no_changes,
        verdict: Verdict = Verdict.READY,
    ) -> None:
        self._model = model
        self._describe = describe
        self._cluster = cluster
        self._cache = cache
        self._ctx = ctx
        self._facts = facts
        self._held_up = held_up
        self._verdict = verdict
        self._backoff = HealBackoff(ctx.clock)
        self._obstacles = Obstacles()
        self._unrecorded: set[tuple[str, str]] = set()  # objects whose status rejects the report, too

    async def run(self, namespace: str, name: str, act: Act[K], *, if_gone: Callable[[], None] = _nothing) -> Result:
        """Act on the object until `act` returns a Result; None: read the object again at once.

        `if_gone` is called if there is no such object. If the API server rejects a request, the object reports it.
        """
        for _ in range(MOST_STEPS):
            raw = self._cache.get(self._model.RESOURCE, namespace, name)
            if raw is None:
                self._unrecorded.discard((namespace, name))
                if_gone()
                return Result()
            seen = self._observed(raw)
            try:
                result = await act(seen)
            except (ClusterError, NotYetError) as error:
                obstacle = self._obstacles.found(seen.object.metadata.uid, error)
                if obstacle is None:
                    raise
                return await self._report(seen, obstacle)
            if result is not None:
                self._obstacles.passed(seen.object.metadata.uid)
                self._unrecorded.discard((namespace, name))
                return result
        return Result(requeue_after=RETRY_UNFINISHED_SECONDS)

    async def record(self, seen: Observed[K], changes: Mapping[str, Any] | None = None) -> Observed[K]:
        """Write the status if it differs from what it must be; return `seen` itself if nothing was written.

        Args:
            seen: The object as it was read.
            changes: Members of the status that change, by their Python names.
        """
        after, _ = await self._write(seen, changes)
        return after

    async def record_as(
        self, seen: Observed[K], readiness: Readiness, changes: Mapping[str, Any] | None = None
    ) -> Observed[K]:
        """Write the status with this readiness if it differs; return `seen` itself if nothing was written."""
        after, _ = await self._write(seen, changes, readiness)
        return after

    async def done(self, seen: Observed[K], changes: Mapping[str, Any] | None = None) -> Result:
        """Record the object with its last changes, and return when it is due again."""
        _, requeue_at = await self._write(seen, changes)
        return Result(requeue_at=requeue_at)

    def requeue(self, seen: Observed[K]) -> Result:
        """Return when the object is due again because time passes."""
        return Result(requeue_at=self._describe(seen.object, seen.now).requeue_at)

    async def wait(
        self,
        seen: Observed[K],
        reason: StrEnum,
        message: str,
        changes: Mapping[str, Any] | None = None,
        *,
        retry_after: float,
    ) -> Result:
        """Record that the object waits, and return to try again after so many seconds."""
        await self._write(seen, changes, reconciling(reason, message))
        return Result(requeue_after=retry_after)

    async def wait_for_clock(self, seen: Observed[K], changes: Mapping[str, Any] | None = None) -> Result | None:
        """Wait while the local clock differs too much from the API server's; return None if it does not."""
        try:
            self._ctx.server_clock.check()
        except NotYetError as problem:
            return await self.wait(
                seen, SharedReason.CLOCK_UNSAFE, problem.message, changes, retry_after=problem.retry_after
            )
        return None

    async def stall(
        self,
        seen: Observed[K],
        reason: StrEnum,
        message: str,
        changes: Mapping[str, Any] | None = None,
        *,
        retry: bool = True,
    ) -> Result:
        """Record that a user has to act. The audit log and an event report it only if it is new.

        Args:
            seen: The object as it was read.
            reason: Why, in one word.
            message: Why, and what to do next.
            changes: Members of the status that change.
            retry: False if only an edit of the object can help.
        """
        after, requeue_at = await self._write(seen, changes, stalled(reason, message))
        if _ready(after.object) != _ready(seen.object):
            self.audit("refuse", seen, outcome="stalled", reason=reason.value)
            self.warn(seen, reason, message)
        return Result(requeue_after=RETRY_STALLED_SECONDS if retry else None, requeue_at=requeue_at)

    async def stall_on_secret(
        self, seen: Observed[K], name: str, found: SecretConflict, changes: Mapping[str, Any] | None = None
    ) -> Result:
        """Stall because the Secret of this name is not the object's own (docs/rules.md#s22)."""
        message = f"Secret {seen.object.metadata.namespace}/{name} {found.problem}. {found.remedy}"
        return await self.stall(seen, SharedReason.SECRET_CONFLICT, message, changes)

    async def heal(self, seen: Observed[K], restore: Act[K], *, is_due: Callable[[K], bool]) -> Result | None:
        """Restore a Secret that another writer has changed, ever more slowly if it changes again and again.

        The watch may be behind. So the owner is read from the API server, and `is_due` decides again, before
        `restore` writes (docs/rules.md#s22). `restore` calls `record_heal`.
        """
        meta = seen.object.metadata
        pause = self._backoff.pause(meta.uid)
        if pause > 0:
            return Result(requeue_after=pause, requeue_at=self.requeue(seen).requeue_at)
        raw = await self._cluster.get(self._model.RESOURCE, meta.namespace, meta.name)
        self._cache.remember(self._model.RESOURCE, raw)
        fresh = self._observed(raw)
        return await restore(fresh) if is_due(fresh.object) else None

    def record_heal(self, seen: Observed[K], **facts: str | int | None) -> None:
        """Write a heal to the audit log, and count it for the back-off."""
        self.audit("heal", seen, outcome="ok", **facts)
        self._backoff.note(seen.object.metadata.uid)

    def warn(self, seen: Observed[K], reason: StrEnum, message: str) -> None:
        """Write a Warning event about the object."""
        self._ctx.events.warn(seen.raw, reason.value, message)

    def warn_readiness(self, seen: Observed[K]) -> None:
        """Write a Warning event with the reason and message of the object's condition Ready or Ended."""
        readiness = self._describe(seen.object, seen.now).readiness
        self.warn(seen, readiness.reason, readiness.message)

    def audit(self, action: str, seen: Observed[K], *, outcome: str = "ok", **facts: str | int | None) -> None:
        """Write one line about the object to the audit log."""
        meta = seen.object.metadata
        about = {"kind": self._model.RESOURCE.kind, "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
        self._ctx.audit.record(action, outcome, **about, **self._facts(seen.object), **facts)

    async def _report(self, seen: Observed[K], obstacle: Obstacle) -> Result:
        """Record an obstacle, and return to try again. The audit log and an event report it only if it is new."""
        meta = seen.object.metadata
        where = (meta.namespace, meta.name)
        key = f"{self._model.RESOURCE.kind} {meta.namespace}/{meta.name}"
        if not obstacle.is_reported:
            log.debug("reconciliation waits for the deletion of the namespace", key=key)
            return Result(failed=True)
        log.warning("reconciliation failed", key=key, reason=obstacle.reason.value, text=obstacle.message)
        # A step may have written the object before it failed.
        latest = self._observed(self._cache.get(self._model.RESOURCE, *where) or seen.raw)
        reported = where in self._unrecorded or (_ready(latest.object) or ("", ""))[0] == obstacle.reason.value
        requeue_at = await self._try_to_record(latest, obstacle)
        if not reported:
            self.audit("refuse", latest, outcome="rejected", reason=obstacle.reason.value)
            self.warn(latest, obstacle.reason, obstacle.message)
        return Result(requeue_at=requeue_at, requeue_after=obstacle.retry_after, failed=True)

    async def _try_to_record(self, latest: Observed[K], obstacle: Obstacle) -> datetime | None:
        """Write the obstacle into the status. If that is rejected or not known, only log and event report it."""
        where = (latest.object.metadata.namespace, latest.object.metadata.name)
        readiness = reconciling(obstacle.reason, obstacle.message)
        try:
            _, requeue_at = await self._write(latest, self._held_up(latest.object), readiness)
        except RefusedError:
            self._unrecorded.add(where)
            return self.requeue(latest).requeue_at
        except NotYetError:
            self._unrecorded.add(where)
            return None
        self._unrecorded.discard(where)
        return requeue_at

    def _observed(self, raw: Json) -> Observed[K]:
        return Observed(self._model.model_validate(raw), raw, self._ctx.clock.now())

    async def _write(
        self, seen: Observed[K], changes: Mapping[str, Any] | None = None, readiness: Readiness | None = None
    ) -> tuple[Observed[K], datetime | None]:
        """Write the status if it differs; return the object, and when it is due again because time passes."""
        before, now = seen.object.status, seen.now
        changed = seen.object.model_copy(update={"status": before.model_copy(update=dict(changes or {}))})
        description, generation = self._describe(changed, now), changed.metadata.generation
        status = changed.status.model_copy(
            update={
                **description.derived,
                "observed_generation": generation,
                "conditions": conditions(
                    readiness or description.readiness,
                    before=before.conditions,
                    generation=generation,
                    now=now,
                    further=description.conditions,
                    verdict=self._verdict,
                ),
            }
        )
        if status == before:
            return seen, description.requeue_at
        stored = await self._cluster.replace_status(self._model.RESOURCE, {**seen.raw, "status": status.to_json()})
        self._cache.remember(self._model.RESOURCE, stored)
        return Observed(changed.model_copy(update={"status": status}), stored, now), description.requeue_at


def _ready(of: ApiObject) -> tuple[str, str] | None:
    found: list[Condition] = [condition for condition in of.status.conditions if condition.type in _READINESS]
    return (found[0].reason, found[0].message) if found else None
