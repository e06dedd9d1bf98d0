"""An API server in memory, as the source of the objects of one kind: it lists in pages and streams changes.

It keeps its history, which `compact` forgets, as etcd does. A test says what goes wrong, and when.
"""

import asyncio
import copy
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from tallystick.objects.ports import ExpiredError, Json, Page, WatchEvent
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import Resource

Key = tuple[str, str]  # namespace and name
Step = Exception | Callable[[], None]


@dataclass
class FakeFeed:
    """The `Feed` port in memory.

    Attributes:
        calls: A word for each request: `list`, `rest` or `watch`.
        faults: By that word, what happens to the next requests in the place of an answer, or just before it.
        cuts: Ends each of the next watches so, after so many events.
        of_secrets: Whether its objects are Secrets. It has no object of any other kind, or no Secret.
        selectors: The label selector of each request.
    """

    calls: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    faults: dict[str, deque[Step | None]] = field(default_factory=dict)
    cuts: deque[tuple[int, Exception | None]] = field(default_factory=deque)
    of_secrets: bool = False
    selectors: list[str] = field(default_factory=list)
    _objects: dict[Key, Json] = field(default_factory=dict)
    _history: list[WatchEvent] = field(default_factory=list)
    _oldest: int = 0
    _version: int = 100
    _born: int = 0
    _snapshots: dict[int, list[Json]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    # What a test does.

    def put(self, name: str, namespace: str = "edge", **spec: object) -> Json:
        """Create an object, or change it."""
        key = (namespace, name)
        known = self._objects.get(key)
        self._version += 1
        self._born += known is None
        uid = known["metadata"]["uid"] if known else f"uid-{self._born}"
        meta = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(self._version)}
        self._objects[key] = {"metadata": meta, "spec": spec}
        self._record("MODIFIED" if known else "ADDED", self._objects[key])
        return copy.deepcopy(self._objects[key])

    def remove(self, name: str, namespace: str = "edge") -> None:
        """Delete an object."""
        body = self._objects.pop((namespace, name))
        self._version += 1
        self._record("DELETED", {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}})

    def bookmark(self) -> str:
        """Report the present version, after other kinds have changed; return it."""
        self._version += 10
        self._record("BOOKMARK", {"metadata": {"resourceVersion": str(self._version)}})
        return str(self._version)

    def send(self, *events: WatchEvent) -> None:
        """Send events that the history does not have, such as one twice."""
        for event in events:
            self._record(*event)

    def compact(self) -> None:
        """Forget the history, and the rest of each listing. A watch that is open ends."""
        self._oldest, self._history = self._version, []
        self._snapshots.clear()
        self._wake()

    def fail(self, call: str, *steps: Step | None) -> None:
        """Let the next requests fail, or do something before they are answered; None leaves one alone."""
        self.faults.setdefault(call, deque()).extend(steps)

    @property
    def objects(self) -> dict[Key, str]:
        """The version of each object."""
        return {key: body["metadata"]["resourceVersion"] for key, body in self._objects.items()}

    # The port.

    async def page(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", size: int, rest: str = ""
    ) -> Page:
        if not self._has(resource):
            return Page([], str(self._version), "")
        self._begin("rest" if rest else "list", label_selector)
        self.sizes.append(size)
        version, offset = (int(part) for part in rest.split("/")) if rest else (self._version, 0)
        if not rest:
            objects = sorted(self._objects.items())
            self._snapshots[version] = [body for key, body in objects if namespace in ("", key[0])]
        elif version not in self._snapshots:
            raise ExpiredError("the rest of the listing has expired")
        snapshot, end = self._snapshots[version], offset + size
        more = f"{version}/{end}" if end < len(snapshot) else ""
        return Page(copy.deepcopy(snapshot[offset:end]), str(version), more)

    async def events(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        since: str,
        seconds: int,
        silence: float,
    ) -> AsyncGenerator[WatchEvent, None]:
        assert seconds < silence
        if not self._has(resource):
            await asyncio.sleep(seconds)
            return
        self._begin("watch", label_selector)
        if int(since) < self._oldest:
            raise ExpiredError("too old resource version")
        left, error = self.cuts.popleft() if self.cuts else (-1, None)
        stream = self._stream(int(since), seconds)
        while left:
            event = await anext(stream, None)
            if event is None:
                return
            if namespace in ("", event.object["metadata"].get("namespace", namespace)):
                yield copy.deepcopy(event)
                left -= 1
        if error is not None:
            raise error

    async def _stream(self, since: int, seconds: int) -> AsyncGenerator[WatchEvent, None]:
        """Yield what the history has, and what comes, until the time is over."""
        end, seen = asyncio.get_running_loop().time() + seconds, 0
        begin = next((n for n, event in enumerate(self._history) if _version_of(event) > since), len(self._history))
        history = self._history
        while history is self._history:
            for event in history[begin + seen :]:
                seen += 1
                yield event
            if len(history) == begin + seen:
                try:
                    async with asyncio.timeout_at(end):
                        await self._changed.wait()
                except TimeoutError:
                    return

    def _has(self, resource: Resource) -> bool:
        return (resource == SECRETS) == self.of_secrets

    def _begin(self, call: str, selector: str) -> None:
        self.calls.append(call)
        self.selectors.append(selector)
        steps = self.faults.get(call)
        step = steps.popleft() if steps else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            step()

    def _record(self, event_type: str, body: Json) -> None:
        self._history.append(WatchEvent(event_type, copy.deepcopy(body)))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _version_of(event: WatchEvent) -> int:
    return int(event.object["metadata"]["resourceVersion"])
