"""The requirements of a replica: facts about its cluster that it waits for before it is ready.

Each one is checked until it is met once. A later loss is the business of the work that depends on it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from tallystick.errors import NotYetError
from tallystick.objects.ports import ClusterError, NotFoundError
from tallystick.objects.redaction import one_line

CHECK_SECONDS = 2.0
MOST_BYTES = 640
_NOT_CHECKED = "not checked yet"

log = structlog.get_logger("tallystick.requirements")

Check = Callable[[], Awaitable[str]]
"""Returns why a requirement is not met, and what to do; '' if it is met. It may raise ClusterError or NotYetError.

NotFoundError means that the API server does not serve a kind: the replica is ready without it, and is checked again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement.

    Attributes:
        what: Completes "waiting until ...".
        check: The check.
        before_leading: Whether a replica must not lead before it is met.
    """

    what: str
    check: Check
    before_leading: bool = False


class Requirements:
    """The requirements of one replica, and those that are not met yet."""

    def __init__(self, requirements: Sequence[Requirement] = ()) -> None:
        self._reasons = dict.fromkeys(requirements, _NOT_CHECKED)
        self._may_lead = asyncio.Event()
        self._note()

    @property
    def why_not_ready(self) -> str | None:
        """The reason why the replica is not ready; None if it is."""
        return next((f"waiting until {one.what}: {reason}" for one, reason in self._reasons.items() if reason), None)

    async def until_may_lead(self) -> None:
        """Return as soon as no requirement keeps the replica from leading."""
        await self._may_lead.wait()

    async def run(self) -> None:
        """Check until all are met, then wait until canceled."""
        while self._reasons:
            for one in list(self._reasons):
                await self._look(one)
            self._note()
            await asyncio.sleep(CHECK_SECONDS)
        await asyncio.Event().wait()

    async def _look(self, one: Requirement) -> None:
        try:
            reason = await one.check()
        except NotFoundError:
            self._reasons[one] = ""
            return
        except (ClusterError, NotYetError) as error:
            reason = one_line(str(error), MOST_BYTES)
        if not reason:
            del self._reasons[one]
            return
        if reason != self._reasons[one]:
            log.warning("not ready", waiting_until=one.what, reason=reason)
        self._reasons[one] = reason

    def _note(self) -> None:
        if not any(one.before_leading for one in self._reasons):
            self._may_lead.set()
