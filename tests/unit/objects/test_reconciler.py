"""The shared part of a reconciler alone: how often it looks, and what it hands to the steps of a kind."""

import pytest

from tallystick.errors import NotYetError
from tallystick.objects.ports import RefusedError
from tallystick.objects.reasons import SharedReason
from tallystick.objects.reconciler import MOST_STEPS, Reconciler
from tallystick.objects.result import Result
from tallystick.pairing.api.pairing_token import PairingToken, PairingTokenState
from tallystick.pairing.domain.description import describe_pairing_token
from tests.worlds.world import NAME, NAMESPACE, World


def reconciler_of(world: World) -> Reconciler[PairingToken]:
    world.watch()
    return Reconciler(PairingToken, describe_pairing_token, world.cluster, world.cache, world._ctx(world.server_clock))


async def test_a_step_that_always_asks_for_another_look_ends_in_a_slow_retry(world):
    world.apply()
    reconciler = reconciler_of(world)
    looks = []

    async def act(seen):
        looks.append(seen.object.metadata.name)

    assert await reconciler.run(NAMESPACE, NAME, act) == Result(requeue_after=1.0)
    assert looks == [NAME] * MOST_STEPS


async def test_each_look_is_at_the_object_as_the_cache_has_it_now(world):
    world.apply()
    reconciler = reconciler_of(world)
    serials = []

    async def act(seen):
        serials.append(seen.object.spec.serial)
        world.cache.remember(PairingToken.RESOURCE, world.edit(serial=len(serials) + 1))
        return Result() if len(serials) == 3 else None

    await reconciler.run(NAMESPACE, NAME, act)

    assert serials == [1, 2, 3]


async def test_an_object_that_is_gone_is_reported_and_not_acted_on(world):
    gone, acted = [], []

    async def act(seen):
        acted.append(seen)

    result = await reconciler_of(world).run(NAMESPACE, NAME, act, if_gone=lambda: gone.append(NAME))

    assert (result, gone, acted) == (Result(), [NAME], [])


async def test_a_status_that_is_as_it_must_be_is_not_written(world):
    world.apply()
    reconciler = reconciler_of(world)
    recorded = []

    async def act(seen):
        first = await reconciler.record(seen, {"state": PairingTokenState.PENDING})
        second = await reconciler.record(first, {"state": PairingTokenState.PENDING})
        recorded.append((first is seen, second is first))
        return Result()

    await reconciler.run(NAMESPACE, NAME, act)

    assert recorded == [(False, True)]
    assert world.writes() == [("replace_status", "pairingtokens")]


async def test_a_step_that_waits_for_a_reason_of_a_condition_gives_the_object_this_condition_and_one_event(world):
    world.apply()
    reconciler = reconciler_of(world)

    async def act(_):
        raise NotYetError(SharedReason.CLAIMS_CHANGED, "restore the keyring", retry_after=7)

    results = [await reconciler.run(NAMESPACE, NAME, act) for _ in range(3)]

    assert results == [Result(requeue_after=7, failed=True)] * 3
    assert world.said() == {"Ready": ("False", "ClaimsChanged"), "Reconciling": ("True", "ClaimsChanged")}
    assert world.message() == "restore the keyring"
    assert world.writes() == [("replace_status", "pairingtokens")]
    assert [event.message for event in world.events.warnings] == ["restore the keyring"]


async def test_a_step_that_waits_for_a_second_is_only_tried_again(world):
    world.apply()

    async def act(_):
        raise NotYetError("temporarily_unavailable", "try again")

    with pytest.raises(NotYetError):
        await reconciler_of(world).run(NAMESPACE, NAME, act)

    assert (world.writes(), world.events.warnings) == ([], [])


async def test_what_a_step_has_written_before_it_failed_stays_written(world):
    world.apply()
    reconciler = reconciler_of(world)

    async def act(seen):
        await reconciler.record(seen, {"state": PairingTokenState.EXPIRED})
        raise RefusedError("exceeded quota: none")

    await reconciler.run(NAMESPACE, NAME, act)

    assert (world.token().status.state, world.ready()) == ("Expired", ("False", "WriteRejected"))
