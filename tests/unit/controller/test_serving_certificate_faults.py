"""The certificate of the exchange while leaders race and die, and the API server rejects their calls."""

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from tallystick.controller.serving_plan import KEY
from tallystick.crypto.certificates import is_signed_by
from tallystick.objects.ports import ClusterError, RefusedError, UnavailableError
from tallystick.schema.builtin import SECRETS
from tests.worlds.certificate_world import CA_SECRET, HOME, TLS_SECRET, CertificateWorld


@pytest.fixture
def world() -> CertificateWorld:
    return CertificateWorld()


@pytest.mark.parametrize("name", [CA_SECRET, TLS_SECRET])
async def test_of_two_leaders_that_begin_at_once_both_use_one_ca(world, name):
    """The rival writes everything at the moment in which the leader creates a Secret."""
    rival = world.another()
    raced = False
    create = world.cluster.create

    async def create_late(resource, body, *, dry_run=False):
        nonlocal raced
        if body["metadata"]["name"] == name and not raced:
            raced = True
            await rival.care.run()
        return await create(resource, body, dry_run=dry_run)

    world.cluster.create = create_late
    await world.leader.care.run()

    assert raced
    assert world.leader.care.ca_pem() == rival.care.ca_pem()
    assert is_signed_by(world.serving(), world.ca())


@pytest.mark.parametrize("call", range(1, 8))
@pytest.mark.parametrize("applied", [False, True], ids=["lost request", "lost answer"])
async def test_a_leader_that_ends_at_any_call_leaves_a_state_that_the_next_one_completes(world, call, applied):
    """As SIGKILL: the call is the last one of the process, and was stored or not."""
    _end_at(world, call, applied=applied)
    with suppress(UnavailableError):
        await world.leader.care.run()
    stored = world.cluster.peek(SECRETS, HOME, CA_SECRET)

    successor = world.another()
    await successor.care.run()

    assert is_signed_by(world.serving(), world.ca())
    if stored is not None:
        assert world.body(CA_SECRET) == stored  # it is made once


def _end_at(world: CertificateWorld, number: int, *, applied: bool) -> None:
    calls = 0

    def ending(work: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number and not applied:
                raise UnavailableError("the process is killed")
            answer = await work(*args, **more)
            if calls == number:
                raise UnavailableError("the process is killed")
            return answer

        return call

    cluster = world.cluster
    world.leader.care._cluster = SimpleNamespace(
        get=ending(cluster.get), create=ending(cluster.create), replace=ending(cluster.replace)
    )


async def test_an_api_server_that_refuses_is_asked_again(world):
    world.cluster.refusing["create", "secrets"] = RefusedError("exceeded quota")
    with pytest.raises(ClusterError):
        await world.leader.care.run()
    world.cluster.refusing.clear()

    await world.leader.care.run()

    assert is_signed_by(world.serving(), world.ca())


async def test_a_key_of_the_ca_is_in_no_audit_line_and_in_no_event(world):
    await world.leader.care.run()
    world.foreign(TLS_SECRET)
    await world.leader.care.run()

    written = repr((world.leader.audit.lines, world.leader.events.warnings, world.leader.care.problem))
    assert "PRIVATE" not in written
    assert world.body(CA_SECRET)["data"][KEY] not in written
