"""The ports: what the use cases need of the world. One Protocol, one real class, one fake each."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Protocol

from tallystick.api.meta import Resource
from tallystick.crypto.keyring import Keyring
from tallystick.domain.held_secrets import HeldSecret
from tallystick.domain.presence import Presence

Json = dict[str, Any]


class ClusterError(Exception):
    """The API server said no, or said nothing. The text is the server's and holds no value of ours."""


class NotFoundError(ClusterError):
    """There is no such object."""


class AlreadyExistsError(ClusterError):
    """A create met an object of that name."""


class ConflictError(ClusterError):
    """A conditional write met an object that has changed: nothing was written."""


class RefusedError(ClusterError):
    """Admission, validation or RBAC refused: asking again with the same content will not help."""


class UnavailableError(ClusterError):
    """No answer, or one that says "later". A write may or may not have happened."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Cluster(Protocol):
    """The API server. Every write but create names the version or the uid that it means (I22).

    All methods raise a `ClusterError`; none retries. `body` and results are objects as JSON.
    """

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Read one object by quorum, never from the watch cache. A cluster-scoped one has namespace ''."""
        ...

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Json]:
        """Read all objects of a kind, page by page; namespace '' means all namespaces."""
        ...

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        """Create, and return what was stored."""
        ...

    async def replace(self, resource: Resource, body: Json) -> Json:
        """Replace the object if it still has `body`'s `metadata.resourceVersion` and uid."""
        ...

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        """Replace the status if the object still has `body`'s `metadata.resourceVersion` and uid."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> None:
        """Delete the very object that was seen, not a later one of the same name."""
        ...


class Clock(Protocol):
    """Time, as an argument. Tests bring their own."""

    def now(self) -> datetime:
        """The time of day, in UTC and aware."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...

    async def pause(self, seconds: float) -> None:
        """Let so many seconds pass, such as those that the API server has asked for."""
        ...


class Ids(Protocol):
    """Randomness, as an argument."""

    def new(self) -> str:
        """A fresh random identifier: a UUIDv4 in its usual spelling."""
        ...


class Audit(Protocol):
    """The audit log: one line per decision, written before the answer (R13)."""

    def record(self, action: str, outcome: str, **facts: str | int | None) -> None:
        """Write one line. `facts` are ids, names, reasons and times, never a value of a token or key."""
        ...


class Events(Protocol):
    """Kubernetes Warning events, for people who run `kubectl describe`."""

    def warn(self, about: Json, reason: str, message: str) -> None:
        """Tell about an object (as read from the API). Rate-limited per object and reason; never fails, never waits."""
        ...


class Keys(Protocol):
    """The signing keyring as it is known now."""

    def keyring(self) -> Keyring:
        """Return it. Raises NotYetError where it was never read, or too long ago to be trusted."""
        ...


class View(Protocol):
    """What the controller's watches have seen. It may be behind; every write that follows from it is conditional."""

    def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Return an object of ours as last seen."""
        ...

    def depending_on(self, resource: Resource, uid: str) -> list[tuple[str, str]]:
        """Return namespace and name of each object of a kind that depends on the one with this uid, as last seen."""
        ...

    def secret(self, namespace: str, name: str) -> HeldSecret | None:
        """Return what is kept of a Secret that carries our label."""
        ...

    def remember(self, resource: Resource, body: Json) -> None:
        """Take over what a write has returned, ahead of the watch."""
        ...

    def forget(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Take over that an object is gone, ahead of the watch."""
        ...


class Presences(Protocol):
    """What the exchange's replicas have stored of the heartbeats that they took."""

    def of(self, uid: str) -> Presence:
        """Return what is known of the instances of the ConnectionConfiguration with this uid; may raise NotYetError."""
        ...
