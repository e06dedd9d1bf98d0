"""Reconcile one JoinKey: share its key, keep each copy as it must be, and replace the key when that is due.

    sealed copy --> own copy --> copies of the targets --> status

The sealed copy is created first, and no write replaces it: so it decides which key it is. If the controller stops
between two writes, the next attempt takes the key from the sealed copy.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.api.reasons import KeyEventReason
from tallystick.clusterkeys.domain.join_key_copies import sealed_name
from tallystick.clusterkeys.domain.join_key_description import describe_join_key
from tallystick.clusterkeys.domain.join_key_messages import Problem, drift_text, provided_problem, readiness_of
from tallystick.clusterkeys.domain.join_key_replacement import Change
from tallystick.clusterkeys.domain.join_key_steps import Facts, Work, work_of
from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem
from tallystick.clusterkeys.services.join_key_finding import KeyFinder, Masters
from tallystick.clusterkeys.services.join_key_issuing import Issuing
from tallystick.clusterkeys.services.join_key_keeping import Keeping, Kept
from tallystick.clusterkeys.services.join_key_replacing import Random, Replacing
from tallystick.clusterkeys.services.join_key_secrets import JoinKeySecrets
from tallystick.clusterkeys.services.join_key_sharing import Seen, Sharing
from tallystick.clusterkeys.services.provided_keys import Provided, ProvidedKeys
from tallystick.objects.conditions import Progress
from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster
from tallystick.objects.reconciler import Reconciler
from tallystick.objects.result import Result

RETRY_WAITING_SECONDS = 10.0


class JoinKeys:
    """The reconciler of JoinKeys. Only the leader runs it, for one object at a time.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        masters: The master keys.
        provided: The keys in the users' Secrets.
        random: Returns so many random bytes, such as `secrets.token_bytes`.
        namespaces: The namespaces that the operator serves; empty means all.
        ctx: Time, audit log and events.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        masters: Masters,
        provided: ProvidedKeys,
        random: Random,
        namespaces: tuple[str, ...],
        ctx: Context,
    ) -> None:
        self._masters = masters
        self._provided = provided
        self._ctx = ctx
        self._reconciler = Reconciler(JoinKey, describe_join_key, cluster, cache, ctx)
        self._secrets = JoinKeySecrets(cluster, cache, namespaces)
        finder = KeyFinder(masters)
        self._sharing = Sharing(cluster, cache, self._secrets, self._reconciler)
        self._issuing = Issuing(self._secrets, finder, self._sharing, self._reconciler, random, ctx)
        self._replacing = Replacing(self._secrets, finder, self._sharing, self._reconciler, random, ctx)
        self._keeping = Keeping(self._secrets, finder, self._sharing, self._reconciler, random)

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Take all steps that one object needs. Raises ClusterError or NotYetError if a later attempt may succeed."""
        gone = partial(self._provided.forget, namespace, name)
        return await self._reconciler.run(namespace, name, self._act, if_gone=gone)

    async def _act(self, seen: Seen) -> Result | None:
        if seen.object.metadata.deletion_timestamp is not None:
            await self._sharing.remove_elsewhere(seen)
            await self._sharing.release(seen)
            return Result()
        recalled = self._provided.recall(seen.object)
        if recalled is not None and seen.object.status.fingerprint is not None:
            work = self._work(seen.object, recalled.fingerprint)
            if work.is_none:
                return await self._keep(seen, work, None, _problem_of(recalled.problem))
        provided = await self._provided.read(seen.object)
        if seen.object.status.fingerprint is None:
            return await self._issue(seen, provided)
        fingerprint = provided.fingerprint if isinstance(provided, ClusterKey) else None
        work = self._work(seen.object, fingerprint)
        problem = _problem_of(provided)
        if work.change is not None:
            waits = await self._replace(seen, work.change, provided)
            if waits is None:
                return None
            problem, work = waits, self._work(seen.object, fingerprint)  # it may have written some Secrets
        if not work.drifted:
            return await self._keep(seen, work, provided, problem)

        async def restore(fresh: Seen) -> Result | None:
            return await self._keep(fresh, self._work(fresh.object, fingerprint), provided, problem)

        # The two together: a sealed copy and a copy that drift at the same time count as one.
        return await self._reconciler.heal(
            seen, restore, is_due=lambda fresh: _is_live(fresh) and bool(self._work(fresh, fingerprint).drifted)
        )

    async def _issue(self, seen: Seen, provided: Provided) -> Result | None:
        issued = await self._issuing.issue(seen, provided)
        if isinstance(issued, Problem):
            return await self._finish(seen, {}, issued)
        result = await self._finish(issued.seen, issued.changes, None)
        # The key that an attempt before has sealed may not be the one that the user has put into his Secret since.
        is_wanted = not isinstance(provided, ClusterKey) or provided.fingerprint == issued.fingerprint
        return result if is_wanted else None

    async def _replace(self, seen: Seen, change: Change, provided: Provided) -> Problem | None:
        """Carry out a change of the key and record it; return the problem for which it waits."""
        seen = await self._sharing.hold(seen)  # the same edit may have added a target
        replaced = await self._replacing.replace(seen, change, provided if isinstance(provided, ClusterKey) else None)
        if isinstance(replaced, Problem):
            return replaced
        await self._finish(seen, replaced.changes, None)
        replaced.report()
        return None

    async def _keep(self, seen: Seen, work: Work, provided: Provided, problem: Problem | None) -> Result | None:
        kept = await self._keeping.keep(seen, work, provided if isinstance(provided, ClusterKey) else None)
        if not isinstance(kept, Kept):
            waits = await self._replace(seen, kept.change, provided)
            return None if waits is None else await self._finish(seen, {}, waits)
        result = await self._finish(kept.seen, kept.changes, problem or kept.problem)
        if kept.restored:
            for name in kept.restored:
                self._reconciler.record_heal(seen, key_id=seen.object.status.fingerprint, target=name)
            self._reconciler.warn(seen, KeyEventReason.JOIN_KEY_DRIFT, drift_text(kept.restored))
        return result

    async def _finish(self, seen: Seen, changes: Mapping[str, Any], problem: Problem | None) -> Result:
        """Record the object, and the first problem that is in the way."""
        if problem is None:
            after = seen.object.model_copy(update={"status": seen.object.status.model_copy(update=dict(changes))})
            readiness = readiness_of(after)
            if readiness.progress is Progress.READY:
                return await self._reconciler.done(seen, changes)
            problem = Problem(readiness.reason, readiness.message, readiness.progress)
        if problem.progress is Progress.STALLED:
            return await self._reconciler.stall(seen, problem.reason, problem.message, changes)
        return await self._reconciler.wait(
            seen, problem.reason, problem.message, changes, retry_after=RETRY_WAITING_SECONDS
        )

    def _work(self, join_key: JoinKey, provided: str | None) -> Work:
        meta = join_key.metadata
        return work_of(
            Facts(
                join_key=join_key,
                copies=self._secrets.seen(join_key),
                sealed=self._secrets.cached(meta.namespace, sealed_name(join_key)),
                master=self._masters.recorded(meta.namespace, join_key.spec.master_key_ref.name),
                provided=provided,
                now=self._ctx.clock.now(),
            )
        )


def _problem_of(provided: Provided) -> Problem | None:
    """Return the problem of the user's Secret. A key that is shared does not need it, so its deletion is none."""
    if not isinstance(provided, KeyProblem) or provided.reason == "WaitingForKey":
        return None
    return provided_problem(provided)


def _is_live(join_key: JoinKey) -> bool:
    return join_key.metadata.deletion_timestamp is None and join_key.status.fingerprint is not None
