"""Parts of a process that run side by side and must not end. If one of them ends, so do the others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

Work = Callable[[], Awaitable[object]]

# A part that does not react to its cancellation keeps the process alive for this time at most.
CANCEL_SECONDS = 5.0

log = structlog.get_logger("tallystick.parts")


class PartEndedError(Exception):
    """A part that must run until it is canceled has returned, or another task canceled it. The text names the part."""


async def run_together(parts: Mapping[str, Work]) -> None:
    """Run the named parts until this is canceled.

    A TaskGroup would continue when a part returns or is canceled. Here, each end of a part is the end of all of them.

    Raises:
        PartEndedError: A part has ended without an error.
        Exception: The error of the part that failed first; an ExceptionGroup if several failed at once.
    """
    tasks = {start_part(name, work): name for name, work in parts.items()}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(tasks)
    errors = [error_of(task) for task in done]
    raise errors[0] if len(errors) == 1 else ExceptionGroup("several parts have ended", errors)


def error_of(task: "asyncio.Task[object]") -> Exception:
    """Return the error by which a part has ended. An end without an error is one, too."""
    if task.cancelled():
        return PartEndedError(f"{task.get_name()} was canceled")
    error = task.exception()
    if error is None:
        return PartEndedError(f"{task.get_name()} has returned")
    return error if isinstance(error, Exception) else PartEndedError(f"{task.get_name()}: {type(error).__name__}")


async def cancel(tasks: "Mapping[asyncio.Task[object], str]") -> bool:
    """Cancel tasks and wait until they have ended. Return False if one still runs after `CANCEL_SECONDS`."""
    for task in tasks:
        task.cancel()
    _, pending = await asyncio.wait(tasks, timeout=CANCEL_SECONDS) if tasks else ((), ())
    for task in pending:
        log.error("canceled, and still running", part=tasks[task])
    return not pending


def start_part(name: str, work: Work) -> "asyncio.Task[object]":
    """Run a part as a task. Its caller looks after it."""

    async def run() -> object:
        return await work()

    return asyncio.create_task(run(), name=name)
