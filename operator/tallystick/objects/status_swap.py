"""Change the status of an object by compare-and-swap; after a conflict or a lost response, read and decide again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tallystick.errors import NotYetError
from tallystick.objects.ports import Clock, Cluster, ConflictError, Json, NotFoundError, RefusedError, UnavailableError
from tallystick.schema.meta import Resource

MOST_TRIES = 5

Read = Callable[[], Awaitable[Json | None]]
Change = Callable[[Json], Awaitable[Json | None]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Swapped:
    """A status that was replaced: the object as it was read, and as it was stored."""

    before: Json
    after: Json


async def swap_status(
    cluster: Cluster, clock: Clock, resource: Resource, *, read: Read, change: Change
) -> Swapped | None:
    """Read an object, compute its new status and replace the one that was read.

    Args:
        cluster: The API server.
        clock: Time, for the pauses of `Retry-After`.
        resource: The kind of the object.
        read: Reads the object by a request of its own; None if it does not exist.
        change: Returns the new status of an object that was read; None if there is nothing to write.

    Returns:
        The swap, or None if there was no object or nothing to write.

    Raises:
        RefusedError: The API server rejects the status, and the object has not changed.
        UnavailableError: It is unclear whether the status is stored, or other clients write it. Try again.
    """
    rejection: RefusedError | None = None
    for _ in range(MOST_TRIES):
        raw = await read()
        status = await change(raw) if raw is not None else None
        if raw is None or status is None:
            return None
        try:
            stored = await try_swap(cluster, clock, resource, raw, status)
        except RefusedError as refused:
            rejection = refused
            continue  # a rule of the schema rejects the write if the object has changed: the next read decides
        rejection = None
        if stored is not None:
            return Swapped(raw, stored)
    if rejection is not None:
        raise rejection
    raise UnavailableError(f"the status of the {resource.kind} is not stored, because other clients write it")


async def try_swap(cluster: Cluster, clock: Clock, resource: Resource, raw: Json, status: Json) -> Json | None:
    """Replace the status of an object as it was read, and return what was stored.

    None: it is not stored, or this is unclear; the object has to be read again. Raises RefusedError.
    """
    try:
        return await cluster.replace_status(resource, {**raw, "status": status})
    except (ConflictError, NotFoundError):
        return None
    except UnavailableError as error:
        await clock.pause(error.retry_after)
        return None


async def retried(clock: Clock, attempt: Callable[[], Awaitable[T]], *, tries: int) -> T:
    """Return the result of an attempt. If it raises NotYetError, try again after the pause that the error names."""
    for _ in range(tries - 1):
        try:
            return await attempt()
        except NotYetError as problem:
            await clock.pause(problem.retry_after)
    return await attempt()
