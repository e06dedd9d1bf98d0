"""Changing a status by compare-and-swap: what is tried again, what is not, and what is returned."""

import pytest

from tallystick.errors import NotYetError
from tallystick.objects.ports import ConflictError, NotFoundError, RefusedError, UnavailableError
from tallystick.objects.status_swap import MOST_TRIES, retried, swap_status, try_swap
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.builders import raw_pairing_token
from tests.fakes import FakeClock, FakeCluster
from tests.worlds.world import NAME, NAMESPACE

WHERE = (PAIRING_TOKENS, NAMESPACE, NAME)
SWAP = ("replace_status", "pairingtokens")
TEMPORARY = [ConflictError("changed"), NotFoundError("gone"), UnavailableError("down"), RefusedError("a rule")]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cluster(clock):
    cluster = FakeCluster(clock=clock)
    cluster.put(PAIRING_TOKENS, raw_pairing_token())
    return cluster


async def count(cluster, clock, *, limit=100):
    """Add one to a number in the status."""

    async def read():
        try:
            return await cluster.get(*WHERE)
        except NotFoundError:
            return None

    async def change(raw):
        counted = (raw.get("status") or {}).get("serial", 0)
        return {"serial": counted + 1} if counted < limit else None

    return await swap_status(cluster, clock, PAIRING_TOKENS, read=read, change=change)


def counted(cluster):
    return (cluster.peek(*WHERE).get("status") or {}).get("serial", 0)


async def test_the_object_is_returned_as_it_was_read_and_as_it_is_stored(cluster, clock):
    before = cluster.peek(*WHERE)

    swapped = await count(cluster, clock)

    assert (swapped.before, swapped.after) == (before, cluster.peek(*WHERE))
    assert counted(cluster) == 1


@pytest.mark.parametrize("error", TEMPORARY, ids=lambda error: type(error).__name__)
async def test_after_a_failed_write_the_object_is_read_again_and_the_change_is_computed_from_that(
    cluster, clock, error
):
    cluster.fail_next(*SWAP, error)
    cluster.before_next(*SWAP, lambda: cluster.edit(*WHERE, lambda body: body.update(status={"serial": 7})))

    await count(cluster, clock)

    assert counted(cluster) == 8


async def test_a_write_whose_response_was_lost_is_seen_by_the_next_read(cluster, clock):
    cluster.fail_next(*SWAP, UnavailableError("no answer"), applied=True)

    assert await count(cluster, clock, limit=1) is None
    assert counted(cluster) == 1


@pytest.mark.parametrize("error", TEMPORARY, ids=lambda error: type(error).__name__)
async def test_after_the_last_try_it_is_reported_as_not_known(cluster, clock, error):
    cluster.fail_next(*SWAP, error, times=MOST_TRIES)

    with pytest.raises(RefusedError if isinstance(error, RefusedError) else UnavailableError):
        await count(cluster, clock)
    assert counted(cluster) == 0


@pytest.mark.parametrize("error", TEMPORARY, ids=lambda error: type(error).__name__)
async def test_the_last_try_counts(cluster, clock, error):
    cluster.fail_next(*SWAP, error, times=MOST_TRIES - 1)

    assert await count(cluster, clock) is not None
    assert counted(cluster) == 1


async def test_an_object_that_does_not_exist_is_not_written(cluster, clock):
    cluster.remove(*WHERE)

    assert await count(cluster, clock) is None
    assert cluster.writes() == []


async def test_a_change_that_returns_nothing_writes_nothing(cluster, clock):
    assert await count(cluster, clock, limit=0) is None
    assert cluster.writes() == []


async def test_a_failed_read_is_not_tried_again(cluster, clock):
    cluster.fail_next("get", "pairingtokens", UnavailableError("down"))

    with pytest.raises(UnavailableError, match="down"):
        await count(cluster, clock)
    assert cluster.writes() == []


async def test_the_pause_is_the_one_that_the_api_server_asks_for(cluster, clock):
    cluster.fail_next(*SWAP, UnavailableError("later", retry_after=3.0))

    await count(cluster, clock)

    assert clock.pauses == [3.0]


async def test_one_try_leaves_a_refusal_to_its_caller(cluster, clock):
    cluster.fail_next(*SWAP, RefusedError("a rule"))

    with pytest.raises(RefusedError):
        await try_swap(cluster, clock, PAIRING_TOKENS, cluster.peek(*WHERE), {"serial": 1})


@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_an_attempt_is_made_again_until_it_succeeds(clock, failures):
    attempts = iter([*[NotYetError("busy", "later", retry_after=2)] * failures, None])

    async def attempt():
        problem = next(attempts)
        if problem is not None:
            raise problem
        return "done"

    assert await retried(clock, attempt, tries=3) == "done"
    assert clock.pauses == [2] * failures


async def test_the_error_of_the_last_attempt_is_raised(clock):
    numbers = iter(range(1, 10))

    async def attempt():
        raise NotYetError("busy", f"attempt {next(numbers)}")

    with pytest.raises(NotYetError, match="attempt 3"):
        await retried(clock, attempt, tries=3)
