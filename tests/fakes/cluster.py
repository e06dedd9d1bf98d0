"""An API server in memory.

`FakeCluster` answers as kube-apiserver 1.36 does where our code can tell the difference: resource versions,
uid preconditions, the status subresource, generations, no-op writes, immutable Secrets. It knows no schema, no CEL
and no garbage collector.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tallystick.objects.ports import (
    AlreadyExistsError,
    Clock,
    ConflictError,
    Json,
    NamespaceTerminatingError,
    NotFoundError,
    RefusedError,
)
from tallystick.schema.meta import Resource
from tests.fakes.clock import CountingIds, FakeClock
from tests.fakes.stored import (
    Key,
    as_stored,
    copied,
    desired,
    fields_of,
    has_status,
    key_of,
    key_of_seen,
    metadata_of,
    selects,
    with_server_fields,
)

WRITES = frozenset({"create", "replace", "replace_status", "delete"})


class Call(NamedTuple):
    """One request that the cluster received. A dry run has the verb `dry_run`; namespace and name may be ''."""

    verb: str
    plural: str
    namespace: str
    name: str


@dataclass(slots=True)
class _Fault:
    """What happens at the next call of one verb on one plural."""

    verb: str
    plural: str
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    error: Exception | None = None
    applied: bool = False


@dataclass
class FakeCluster:
    """`services.ports.Cluster` in memory. What goes in and comes out is copied."""

    clock: Clock = field(default_factory=FakeClock)
    calls: list[Call] = field(default_factory=list)
    refusing: dict[tuple[str, str], Exception] = field(default_factory=dict)  # by verb and plural, until it is removed
    terminating: set[str] = field(default_factory=set)  # namespaces in which nothing may be created any more
    missing_namespaces: set[str] = field(default_factory=set)
    _objects: dict[Key, Json] = field(default_factory=dict)
    _faults: deque[_Fault] = field(default_factory=deque)
    _version: int = 1000
    _uids: CountingIds = field(default_factory=CountingIds)

    # What a test does behind our back, without a line in `calls`.

    def put(self, resource: Resource, body: Json) -> Json:
        """Store an object with its status, as it stands; uid, version and generation are filled in where absent."""
        key = key_of(resource, body)
        stored = self._born(resource, body)
        given = {name: value for name, value in body["metadata"].items() if name in {"uid", "generation"}}
        stored["metadata"] |= given
        if "status" in body:
            stored["status"] = copied(body["status"])
        self._objects[key] = stored
        return copied(stored)

    def edit(self, resource: Resource, namespace: str, name: str, change: Callable[[Json], object]) -> Json:
        """Change an object in place as another writer would: spec and status alike."""
        key = (resource.group, resource.plural, namespace, name)
        changed = copied(self._objects[key])
        change(changed)
        return self._store(key, self._objects[key], changed, has_generation=has_status(resource))

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object, whatever its version."""
        del self._objects[resource.group, resource.plural, namespace, name]
        self._version += 1

    def peek(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Look at an object without asking for it; None if there is none."""
        found = self._objects.get((resource.group, resource.plural, namespace, name))
        return copied(found)

    def all(self, resource: Resource) -> list[Json]:
        """Look at all objects of a kind, ordered by namespace and name."""
        kind = (resource.group, resource.plural)
        return [copied(body) for key, body in sorted(self._objects.items()) if key[:2] == kind]

    def writes(self) -> list[Call]:
        """The requests that would change something if allowed."""
        return [call for call in self.calls if call.verb in WRITES]

    def fail_next(self, verb: str, plural: str, error: Exception, applied: bool = False, times: int = 1) -> None:
        """Let the next call of `verb` on `plural` raise. `applied`: it is done all the same, the answer is lost."""
        self._faults.extend(_Fault(verb, plural, error=error, applied=applied) for _ in range(times))

    def before_next(self, verb: str, plural: str, action: Callable[[], None]) -> None:
        """Do something right before the next such call is carried out: another writer was faster."""
        self._faults.append(_Fault(verb, plural, before=action))

    def after_next(self, verb: str, plural: str, action: Callable[[], None]) -> None:
        """Do something right after the next such call was carried out and before its answer arrives."""
        self._faults.append(_Fault(verb, plural, after=action))

    # The port.

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        key = (resource.group, resource.plural, namespace, name)
        return self._perform(Call("get", resource.plural, namespace, name), lambda: self._found(key))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Json]:
        def listed() -> Json:
            return {
                "items": [
                    body
                    for body in self.all(resource)
                    if namespace in ("", body["metadata"].get("namespace", ""))
                    and selects(label_selector, body["metadata"].get("labels", {}))
                    and selects(field_selector, fields_of(body, field_selector))
                ]
            }

        for body in self._perform(Call("list", resource.plural, namespace, ""), listed)["items"]:
            yield metadata_of(body) if metadata_only else body

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        key = key_of(resource, body)

        def created() -> Json:
            if key[2] in self.missing_namespaces:
                msg = f'namespaces "{key[2]}" not found'
                raise NotFoundError(msg)
            if key[2] in self.terminating:
                msg = f'namespace "{key[2]}" is being terminated'
                raise NamespaceTerminatingError(msg)
            if body["metadata"].get("resourceVersion"):
                raise RefusedError("resourceVersion should not be set on objects to be created")
            if key in self._objects:
                msg = f'{resource.plural} "{key[3]}" already exists'
                raise AlreadyExistsError(msg)
            stored = self._born(resource, body)
            if not dry_run:
                self._objects[key] = stored
            return stored

        return self._perform(Call("dry_run" if dry_run else "create", *key[1:]), created)

    async def replace(self, resource: Resource, body: Json) -> Json:
        key = key_of_seen(resource, body)

        def replaced() -> Json:
            seen = self._unchanged(key, body)
            if seen.get("immutable") and body.get("data") != seen.get("data"):
                raise RefusedError("data: Forbidden: field is immutable when `immutable` is set")
            changed = with_server_fields(as_stored(body), seen)
            if has_status(resource):
                changed.pop("status", None)
                changed |= {"status": seen["status"]} if "status" in seen else {}
            return self._store(key, seen, changed, has_generation=has_status(resource))

        return self._perform(Call("replace", *key[1:]), replaced)

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        key = key_of_seen(resource, body)

        def replaced() -> Json:
            if not has_status(resource):
                raise NotFoundError("the server could not find the requested resource")
            seen = self._unchanged(key, body)
            changed = seen | {"status": copied(body.get("status", {}))}
            return self._store(key, seen, changed, has_generation=True)

        return self._perform(Call("replace_status", *key[1:]), replaced)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> None:
        key = (resource.group, resource.plural, namespace, name)

        def deleted() -> Json:
            meta = self._found(key)["metadata"]
            if uid != meta["uid"]:
                msg = f"the UID in the precondition ({uid}) does not match {meta['uid']}"
                raise ConflictError(msg)
            if resource_version not in ("", meta["resourceVersion"]):
                msg = f"the ResourceVersion in the precondition ({resource_version}) does not match"
                raise ConflictError(msg)
            if meta.get("finalizers"):
                stamp = ("deletionTimestamp", f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}")
                return self.edit(resource, namespace, name, lambda body: body["metadata"].setdefault(*stamp))
            self.remove(resource, namespace, name)
            return {}

        self._perform(Call("delete", resource.plural, namespace, name), deleted)

    # How it works.

    def _perform(self, call: Call, act: Callable[[], Json]) -> Json:
        """Record the call, do it, and let the injected fault happen around it."""
        self.calls.append(call)
        fault = self._take_fault(call) or _Fault(call.verb, call.plural)
        if fault.before:
            fault.before()
        if fault.error and not fault.applied:
            raise fault.error
        if refusal := self.refusing.get((call.verb, call.plural)):
            raise refusal
        result = copied(act())
        if fault.after:
            fault.after()
        if fault.error:
            raise fault.error
        return result

    def _take_fault(self, call: Call) -> _Fault | None:
        for fault in self._faults:
            if (fault.verb, fault.plural) == call[:2]:
                self._faults.remove(fault)
                return fault
        return None

    def _found(self, key: Key) -> Json:
        if key not in self._objects:
            msg = f'{key[1]} "{key[3]}" not found'
            raise NotFoundError(msg)
        return self._objects[key]

    def _unchanged(self, key: Key, body: Json) -> Json:
        """The stored object, if `body` names its version and uid."""
        seen = self._found(key)
        version = body["metadata"]["resourceVersion"]
        if version != seen["metadata"]["resourceVersion"]:
            msg = f'{key[1]} "{key[3]}": the object has been modified'
            raise ConflictError(msg)
        if body["metadata"]["uid"] != seen["metadata"]["uid"]:
            msg = f'{key[1]} "{key[3]}": Precondition failed: UID in precondition'
            raise ConflictError(msg)
        return seen

    def _born(self, resource: Resource, body: Json) -> Json:
        stored = as_stored(body)
        self._version += 1
        stored["metadata"] |= {
            "uid": self._uids.new(),
            "resourceVersion": str(self._version),
            "creationTimestamp": f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}",
        }
        stored |= {"apiVersion": resource.api_version, "kind": resource.kind}
        if has_status(resource):
            # Status is dropped on create, as for every kind with that subresource.
            stored.pop("status", None)
            stored["metadata"]["generation"] = 1
        return stored

    def _store(self, key: Key, seen: Json, changed: Json, *, has_generation: bool) -> Json:
        """Store a change with a new version; a write that changes nothing keeps the version, as in etcd."""
        if changed == seen:
            return seen
        self._version += 1
        changed = copied(changed)
        changed["metadata"]["resourceVersion"] = str(self._version)
        if has_generation and desired(changed) != desired(seen):
            changed["metadata"]["generation"] = seen["metadata"]["generation"] + 1
        self._objects[key] = changed
        return changed
