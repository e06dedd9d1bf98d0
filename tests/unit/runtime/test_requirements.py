"""What a replica waits for before it is ready, in virtual time."""

import asyncio

import pytest

from tallystick.errors import NotYetError
from tallystick.objects.ports import NotFoundError, RefusedError, UnavailableError
from tallystick.runtime.requirements import CHECK_SECONDS, Requirement, Requirements
from tests.virtual_time import in_background, in_virtual_time


class Fact:
    """A fact of a cluster that a test changes."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.checks = 0

    async def check(self) -> str:
        self.checks += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def requirement(self, what: str = "the guard is in force", *, before_leading: bool = False) -> Requirement:
        return Requirement(what=what, check=self.check, before_leading=before_leading)


@in_virtual_time
async def test_a_replica_is_ready_once_each_requirement_was_met():
    guard, stamp = Fact("not yet"), Fact("")
    requirements = Requirements([guard.requirement(), stamp.requirement("the stamp is in force")])
    before = requirements.why_not_ready

    async with in_background(requirements.run()):
        await asyncio.sleep(10 * CHECK_SECONDS)
        waiting = requirements.why_not_ready
        guard.answer = ""
        await asyncio.sleep(2 * CHECK_SECONDS)
        met, checks = requirements.why_not_ready, guard.checks
        guard.answer = "lost again"
        await asyncio.sleep(10 * CHECK_SECONDS)

    assert before == "waiting until the guard is in force: not checked yet"
    assert waiting == "waiting until the guard is in force: not yet"
    assert (met, requirements.why_not_ready) == (None, None)
    assert (guard.checks, stamp.checks) == (checks, 1)


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("the API server is away"),
        RefusedError("denied by another policy"),
        NotYetError("temporarily_unavailable", "no answer yet"),
    ],
)
@in_virtual_time
async def test_an_error_proves_neither_and_is_the_reason(error):
    fact = Fact(error)
    requirements = Requirements([fact.requirement()])

    async with in_background(requirements.run()):
        await asyncio.sleep(3 * CHECK_SECONDS)

    assert requirements.why_not_ready == f"waiting until the guard is in force: {error}"
    assert fact.checks > 1


@in_virtual_time
async def test_a_kind_that_is_not_served_does_not_keep_a_replica_from_being_ready_and_is_checked_when_it_is_back():
    fact = Fact(NotFoundError("the server could not find the requested resource"))
    requirements = Requirements([fact.requirement()])

    async with in_background(requirements.run()):
        await asyncio.sleep(3 * CHECK_SECONDS)
        without = requirements.why_not_ready
        fact.answer = "not yet"
        await asyncio.sleep(2 * CHECK_SECONDS)
        back = requirements.why_not_ready

    assert (without, back) == (None, "waiting until the guard is in force: not yet")


@in_virtual_time
async def test_only_a_requirement_before_leading_keeps_a_replica_from_leading():
    issuer, guard = Fact("another issuer"), Fact("not yet")
    requirements = Requirements([issuer.requirement("the issuer fits", before_leading=True), guard.requirement()])
    leading = asyncio.create_task(requirements.until_may_lead())

    async with in_background(requirements.run()):
        await asyncio.sleep(3 * CHECK_SECONDS)
        waited = not leading.done()
        issuer.answer = ""
        await asyncio.sleep(2 * CHECK_SECONDS)

    assert waited
    assert leading.done()
    assert requirements.why_not_ready == "waiting until the guard is in force: not yet"


async def test_without_requirements_a_replica_is_ready_and_may_lead():
    requirements = Requirements()

    await asyncio.wait_for(requirements.until_may_lead(), 60)
    assert requirements.why_not_ready is None
