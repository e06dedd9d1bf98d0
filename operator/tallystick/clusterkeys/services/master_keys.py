"""Reconcile one MasterKey: take the step that `domain/master_key_step.py` decides, by conditional writes.

A generated key costs two writes, the Secret and the status, in that order, and a provided one costs the status alone.
A crash between them leaves a Secret whose key the next attempt records.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from tallystick.clusterkeys.api.fields import KeySource
from tallystick.clusterkeys.api.master_key import MASTER_KEYS, MasterKey, MasterKeyState
from tallystick.clusterkeys.api.reasons import KeyEventReason
from tallystick.clusterkeys.domain import master_key_step as steps
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.master_key_description import counts_of, describe
from tallystick.clusterkeys.domain.master_key_messages import rotated_text
from tallystick.clusterkeys.domain.master_key_secret import Absent, Found, SecretVersion, secret_name
from tallystick.clusterkeys.domain.master_key_view import Memory, View
from tallystick.clusterkeys.services.join_key_index import JoinKeyIndex
from tallystick.clusterkeys.services.master_key_secrets import MasterKeySecrets
from tallystick.clusterkeys.services.master_keyring import MasterKeyring
from tallystick.clusterkeys.services.provided_secrets import ProvidedSecrets
from tallystick.objects.conditions import Progress, Readiness
from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster, ConflictError
from tallystick.objects.reconciler import RETRY_STALLED_SECONDS, Observed, Reconciler
from tallystick.objects.result import Result
from tallystick.schema.times import whole_second

# A change of many join keys is counted in few writes.
COUNT_SECONDS = 1.0
# A join key that was about to be sealed at a rotation is recorded after this time, or has failed.
RETRY_BUSY_SECONDS = 1.0
DEFAULT_BITS = 256

Seen = Observed[MasterKey]
Place = tuple[str, str]


class MasterKeys:
    """The reconciler of MasterKeys. Only the leader runs it, for one object at a time.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        keyring: The keys that this controller has.
        join_keys: The join keys by their MasterKey.
        provided: The versions of the Secrets with keys.
        random: Returns so many random bytes.
        identity: The name of this controller.
        ctx: Time, audit log and events.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        keyring: MasterKeyring,
        join_keys: JoinKeyIndex,
        provided: ProvidedSecrets,
        *,
        random: Callable[[int], bytes],
        identity: str,
        ctx: Context,
    ) -> None:
        self._cache = cache
        self._keyring = keyring
        self._join_keys = join_keys
        self._provided = provided
        self._random = random
        self._identity = identity
        self._ctx = ctx
        self._secrets = MasterKeySecrets(cluster, cache)
        self._views: dict[Place, View] = {}
        self._states: dict[Place, str] = {}  # for a metric: to unpack all objects for each figure takes too long
        self._counted_at: dict[Place, float] = {}
        self._sealing_at_rotation: dict[Place, int] = {}
        self._reconciler = Reconciler(
            MasterKey, lambda key, _: describe(key, self._views.get(_place(key))), cluster, cache, ctx
        )

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Take all steps that one object needs. Raises ClusterError or NotYetError if a later attempt may succeed."""
        try:
            return await self._reconciler.run(
                namespace, name, self._act, if_gone=partial(self._forget, namespace, name)
            )
        finally:
            self._note_state(namespace, name)

    def count(self, state: str) -> int:
        """Return the number of MasterKeys in a state."""
        return sum(one == state for one in self._states.values())

    def _note_state(self, namespace: str, name: str) -> None:
        body = self._cache.get(MASTER_KEYS, namespace, name)
        if body is not None:
            self._states[namespace, name] = body["status"].get("state", "")

    async def _act(self, seen: Seen) -> Result | None:
        key = seen.object
        self._provided.follow(Purpose.MASTER, key.metadata.namespace, secret_name(key), (MASTER_KEYS, *_place(key)))
        view = await self._observe(key)
        match steps.next_step(key, view):
            case steps.Generate() as step:
                await self._generate(seen, step)
                return None
            case steps.Record() as step:
                await self._record(seen, step)
                return None
            case steps.ForgetPrevious() as step:
                return await self._forget_previous(seen, step)
            case steps.RemoveSecret() as step:
                return await self._remove_secret(seen, step)
            case steps.NoteRemoval():
                self._keyring.change(key, removed=True)
                return None
            case steps.Report(readiness):
                return await self._report(seen, readiness)
            case steps.Done():
                return await self._done(seen)

    async def _observe(self, key: MasterKey) -> View:
        memory = self._keyring.memory(key) if key.spec.external else None
        view = View(
            found=await self._look(key, memory),
            memory=memory,
            join_keys=self._join_keys.summary(*_place(key)),
        )
        self._views[_place(key)] = view
        return view

    async def _look(self, key: MasterKey, memory: Memory | None) -> Found:
        if memory is None:
            return await self._keyring.look(key)
        if memory.removed and not self._keyring.is_listed(key):
            return Absent()
        # Only a GET shows that the Secret is gone.
        return await self._keyring.look(key, again=not memory.removed)

    async def _generate(self, seen: Seen, step: steps.Generate) -> None:
        """Write a new key into the Secret. The next look records it."""
        key = seen.object
        new = ClusterKey.generate(Purpose.MASTER, key.spec.key_size or DEFAULT_BITS, self._random)
        await self._write(key, new, step.previous, step.over)

    async def _write(
        self, key: MasterKey, newest: ClusterKey, previous: ClusterKey | None, over: SecretVersion | None
    ) -> bool:
        """Write the keys into the Secret; return False if it is not as it was, so that it has to be read again."""
        body = await self._secrets.write(key, newest, previous, over=over)
        if body is None:
            self._keyring.drop(key)
        else:
            self._keyring.note(key, body)
        return body is not None

    async def _record(self, seen: Seen, step: steps.Record) -> None:
        """Record the key of the Secret, keep it in memory if it is external, and let the join keys follow."""
        key, newest, place = seen.object, step.held.newest, _place(seen.object)
        changes: dict[str, Any] = {
            "fingerprint": newest.fingerprint,
            "key_size": newest.bits,
            "serial": step.serial,
            "source": KeySource.GENERATED if key.spec.secret_ref is None else KeySource.PROVIDED,
        }
        if step.replaces is not None:
            changes["previous_fingerprint"] = step.replaces
        memory = self._memory_of(step) if step.loads else None
        if memory is not None:
            self._views[place] = replace(self._views[place], memory=memory)
        self._reconciler.audit(_action(key, step), seen, master_key_id=newest.fingerprint, serial=step.serial)
        after = await self._reconciler.record(seen, changes)
        self._counted_at[place] = self._ctx.clock.monotonic()
        if memory is not None:
            self._keyring.load(key, memory)
        if step.replaces is None:
            self._keyring.keep(after.object, step.held)  # otherwise the next look finds the previous key, too
        else:
            self._reconciler.warn(seen, KeyEventReason.MASTER_KEY_ROTATED, rotated_text(key, newest.fingerprint))
        self._sealing_at_rotation[place] = self._join_keys.last_run()
        self._join_keys.look_at_all_again(*place)

    def _memory_of(self, step: steps.Record) -> Memory:
        return Memory(
            newest=step.held.newest,
            previous=step.previous,
            identity=self._identity,
            loaded_time=whole_second(self._ctx.clock.now()),
            secret_uid=step.held.version.uid,
        )

    async def _forget_previous(self, seen: Seen, step: steps.ForgetPrevious) -> Result | None:
        """Remove the previous key, if the API server confirms that no join key is sealed with it."""
        key, place = seen.object, _place(seen.object)
        newest = key.status.fingerprint
        busy = not self._join_keys.is_done_until(self._sealing_at_rotation.get(place, 0))
        if busy or any(facts.is_outdated(newest) for facts in await self._join_keys.listed(*place)):
            return replace(await self._done(seen), requeue_after=RETRY_BUSY_SECONDS)
        held = step.held
        if held is not None and not await self._write(key, held.newest, None, held.version):
            return None
        forgotten = key.status.previous_fingerprint
        self._reconciler.audit("forget-key", seen, master_key_id=forgotten)
        self._keyring.change(key, previous=None)
        await self._reconciler.record(seen, {"previous_fingerprint": None})
        return None

    async def _remove_secret(self, seen: Seen, step: steps.RemoveSecret) -> Result | None:
        """Delete the Secret of an external key, if the API server confirms that every join key is ready."""
        key, place = seen.object, _place(seen.object)
        newest = key.status.fingerprint
        for facts in await self._join_keys.listed(*place):
            if not facts.ready or facts.is_outdated(newest):
                view = self._views[place]
                self._views[place] = replace(view, join_keys=replace(view.join_keys, not_ready=facts))
                return replace(await self._done(seen), requeue_after=RETRY_STALLED_SECONDS)
        with suppress(ConflictError):  # it was changed in the meantime, and is read again
            await self._secrets.delete(key, step.version)
            self._reconciler.audit("remove-master-key", seen, master_key_id=newest)
        return None

    async def _report(self, seen: Seen, readiness: Readiness) -> Result:
        reason, message = readiness.reason, readiness.message
        if readiness.progress is Progress.STALLED:
            return await self._reconciler.stall(seen, reason, message)
        return await self._reconciler.wait(seen, reason, message, retry_after=RETRY_STALLED_SECONDS)

    async def _done(self, seen: Seen) -> Result:
        """Record the status. The number of join keys alone is written at most once a second."""
        key, place = seen.object, _place(seen.object)
        late = self._counts_wait(key)
        if late:
            self._views[place] = replace(self._views[place], holds_counts=True)
        after = await self._reconciler.record(seen)
        if after is not seen:
            self._counted_at[place] = self._ctx.clock.monotonic()
        if key.status.state is MasterKeyState.SEALED and after.object.status.state is not MasterKeyState.SEALED:
            self._reconciler.audit("restore-key", seen, master_key_id=key.status.fingerprint)
            self._join_keys.look_at_all_again(*place)
        return Result(requeue_after=COUNT_SECONDS if late else None)

    def _counts_wait(self, key: MasterKey) -> bool:
        """Return whether the number of join keys has changed so shortly after the last write that it can wait."""
        view, shown = self._views[_place(key)], key.status.join_keys
        counts = counts_of(key, view)
        if shown is None or counts == shown:
            return False
        # The admission policy and the end of a rotation depend on whether there are any.
        if (bool(counts.total), bool(counts.outdated)) != (bool(shown.total), bool(shown.outdated)):
            return False
        return self._ctx.clock.monotonic() - self._counted_at.get(_place(key), float("-inf")) < COUNT_SECONDS

    def _forget(self, namespace: str, name: str) -> None:
        """Forget a MasterKey that is gone. Its generated Secret stays."""
        place = (namespace, name)
        for memory in (self._views, self._states, self._counted_at, self._sealing_at_rotation):
            memory.pop(place, None)
        fingerprint = self._keyring.forget(namespace, name)
        if fingerprint is not None:
            about = {"kind": MASTER_KEYS.kind, "namespace": namespace, "name": name}
            self._ctx.audit.record("forget-key", "ok", **about, master_key_id=fingerprint)


def _place(key: MasterKey) -> Place:
    return key.metadata.namespace, key.metadata.name


def _action(key: MasterKey, step: steps.Record) -> str:
    """Return the action of the audit line."""
    if step.replaces is not None:
        return "rotate-master-key"
    if step.loads:
        return "load-master-key"
    return "generate-key" if key.spec.secret_ref is None else "import-key"
