"""The keys of the first start: made once, noted on the keyring Secret, and never again (R54, R74, R76, R77)."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.clusterkeys.domain.settings import ClusterKeySettings
from tallystick.clusterkeys.services.bootstrap import Bootstrap
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.objects.ports import ClusterError, ConflictError
from tallystick.schema.builtin import SECRETS
from tests.fakes import FakeCluster
from tests.worlds.faults import FaultyCluster, single_faults

HOME = "tallystick-system"
NOTE = {"tallystick.dev/bootstrap-keys": "created"}
CALLS = 5


@pytest.fixture
def cluster(clock):
    return with_keyring(FakeCluster(clock=clock))


def with_keyring(cluster):
    meta = {"name": KEYRING_SECRET, "namespace": HOME, "annotations": {"team": "a"}}
    cluster.put(SECRETS, {"metadata": meta, "type": "tallystick.dev/keyring", "data": {"keyring.json": "e30="}})
    return cluster


def a_start(cluster, *, is_served=True, **settings):
    return Bootstrap(cluster, HOME, ClusterKeySettings(**settings), is_served=is_served)


def specs(cluster):
    found = [cluster.peek(kind, HOME, "default") for kind in (MASTER_KEYS, JOIN_KEYS)]
    return [body["spec"] if body else None for body in found]


def annotations(cluster):
    return cluster.peek(SECRETS, HOME, KEYRING_SECRET)["metadata"]["annotations"]


async def test_the_first_start_makes_both_keys_with_an_empty_spec_and_notes_it(cluster):
    await a_start(cluster).run()

    assert specs(cluster) == [{}, {}]
    assert annotations(cluster) == {"team": "a", **NOTE}
    assert cluster.peek(SECRETS, HOME, KEYRING_SECRET)["data"] == {"keyring.json": "e30="}


async def test_a_later_run_asks_nothing_and_a_later_start_makes_nothing_again(cluster):
    first = a_start(cluster)
    await first.run()
    for kind in (MASTER_KEYS, JOIN_KEYS):
        cluster.remove(kind, HOME, "default")
    cluster.calls.clear()

    await first.run()
    again = list(cluster.calls)
    await a_start(cluster).run()

    assert (again, specs(cluster), cluster.writes()) == ([], [None, None], [])


async def test_named_secrets_are_named_in_the_specs(cluster):
    await a_start(cluster, bootstrap_master_key_secret="mk", bootstrap_join_key_secret="jk").run()

    assert specs(cluster) == [{"secretRef": {"name": "mk"}}, {"secretRef": {"name": "jk"}}]


async def test_a_key_of_that_name_that_a_user_has_made_stays(cluster):
    own = {"metadata": {"name": "default", "namespace": HOME}, "spec": {"keySize": 128}}
    cluster.put(MASTER_KEYS, own)

    await a_start(cluster).run()

    assert specs(cluster) == [{"keySize": 128}, {}]


@pytest.mark.parametrize("settings", [{"bootstrap_keys": False}, {"is_served": False}], ids=["off", "not served"])
async def test_nothing_is_made_if_that_is_off_or_its_namespace_is_not_served(cluster, settings):
    await a_start(cluster, **settings).run()

    assert (cluster.calls, specs(cluster)) == ([], [None, None])


async def test_without_a_keyring_it_waits(clock):
    cluster = FakeCluster(clock=clock)
    start = a_start(cluster)

    await start.run()
    nothing = specs(cluster)
    with_keyring(cluster)
    await start.run()

    assert (nothing, specs(cluster)) == ([None, None], [{}, {}])


async def test_a_rotation_of_the_signing_keys_in_the_same_instant_is_not_undone(cluster):
    cluster.fail_next("replace", "secrets", ConflictError("modified"))
    start = a_start(cluster)

    with pytest.raises(ConflictError):
        await start.run()
    await start.run()

    assert (specs(cluster), annotations(cluster)) == ([{}, {}], {"team": "a", **NOTE})


@pytest.mark.parametrize("plan", [pytest.param(plan, id=str(plan)) for plan in single_faults(CALLS)])
async def test_whatever_fails_both_keys_are_made_once_and_it_is_noted(clock, plan):
    cluster = with_keyring(FaultyCluster(clock=clock))
    cluster.plan_from_now(plan)

    for _ in range(4):
        try:
            await a_start(cluster).run()
        except ClusterError:
            continue

    assert (specs(cluster), annotations(cluster)) == ([{}, {}], {"team": "a", **NOTE})
    assert len(cluster.all(MASTER_KEYS)) == len(cluster.all(JOIN_KEYS)) == 1
