"""The keyring's Secret: made once, of one issuer permanently, changed by compare-and-swap, retired with care."""

import base64
from datetime import timedelta

import pytest

from tallystick.crypto.keyring import PUBLISH_FOR, Keyring, KeyringError, RotationPendingError
from tallystick.crypto.keys import SigningKey
from tallystick.errors import InvalidSettingError, NotYetError
from tallystick.objects.ports import ConflictError, NotFoundError, UnavailableError
from tallystick.schema.builtin import SECRETS
from tallystick.tokens.keyrings import Keyrings, stored_keyring
from tests.builders import ISSUER
from tests.fakes import NOON, FakeClock, FakeCluster

NAMESPACE, NAME = "tallystick", "tallystick-keyring"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def make(cluster, clock):
    return lambda issuer=ISSUER: Keyrings(cluster, clock, namespace=NAMESPACE, issuer=issuer)


async def ensure(keyrings):
    """Read the keyring, or create the first one, as a leader does of which no object names a key."""
    try:
        await keyrings.refresh()
    except NotFoundError:
        await keyrings.create(Keyring.first(keyrings.issuer, SigningKey.generate("ES256"), NOON))


def ids(keyring):
    return [entry.key.key_id for entry in keyring.entries]


def stored(cluster):
    return stored_keyring(cluster.peek(SECRETS, NAMESPACE, NAME))


async def test_the_first_leader_makes_the_keyring_once(cluster, make):
    first, second = make(), make()

    await ensure(first)
    await ensure(second)

    assert ids(first.keyring()) == ids(second.keyring()) == ids(stored(cluster))
    assert len(cluster.writes()) == 1
    assert cluster.peek(SECRETS, NAMESPACE, NAME)["type"] == "tallystick.dev/keyring"


async def test_of_two_leaders_that_try_at_once_both_use_the_one_that_was_stored(cluster, make):
    winner, loser = make(), make()
    theirs = make()
    await ensure(theirs)
    made = cluster.peek(SECRETS, NAMESPACE, NAME)
    cluster.remove(SECRETS, NAMESPACE, NAME)
    cluster.before_next("create", "secrets", lambda: cluster.put(SECRETS, made))

    await ensure(loser)
    await ensure(winner)

    assert ids(loser.keyring()) == ids(winner.keyring()) == ids(theirs.keyring())


async def test_a_lost_answer_of_the_create_makes_no_second_keyring(cluster, make):
    keyrings = make()
    cluster.fail_next("create", "secrets", UnavailableError("down"), applied=True)

    with pytest.raises(UnavailableError):
        await ensure(keyrings)
    await ensure(keyrings)

    assert ids(keyrings.keyring()) == ids(stored(cluster))
    assert len([call for call in cluster.writes() if call.verb == "create"]) == 1


async def test_a_keyring_of_another_issuer_is_refused_and_left_alone(cluster, make):
    await ensure(make())
    before = cluster.peek(SECRETS, NAMESPACE, NAME)

    with pytest.raises(InvalidSettingError) as refusal:
        await ensure(make("https://moved.example.com"))

    assert str(refusal.value) == (
        f"the keyring in Secret {NAMESPACE}/{NAME} has issuer {ISSUER}, not https://moved.example.com; "
        f"start with --issuer {ISSUER}, because its tokens are invalid with any other issuer"
    )
    assert cluster.peek(SECRETS, NAMESPACE, NAME) == before


async def test_before_the_leader_made_it_there_is_none(make):
    keyrings = make()

    with pytest.raises(NotFoundError):
        await keyrings.refresh()
    with pytest.raises(NotYetError):
        keyrings.keyring()


@pytest.mark.parametrize(("seconds", "trusted"), [(0, True), (60, True), (60.5, False)])
async def test_a_reading_is_trusted_for_a_minute(make, clock, seconds, trusted):
    keyrings = make()
    await ensure(keyrings)
    clock.advance(seconds)

    if trusted:
        assert keyrings.keyring().issuer == ISSUER
        return
    with pytest.raises(NotYetError):
        keyrings.keyring()


async def test_a_rotation_publishes_a_key_that_does_not_sign_yet(cluster, make, clock):
    keyrings = make()
    await ensure(keyrings)
    (old,) = ids(keyrings.keyring())

    rotated = await keyrings.rotate("ES256")
    new = ids(rotated)[1]

    assert ids(stored(cluster)) == [old, new]
    assert rotated.signing_key(clock.now()).key_id == old
    assert rotated.signing_key(clock.now() + PUBLISH_FOR).key_id == new


async def test_a_second_rotation_waits_for_the_first(cluster, make):
    keyrings = make()
    await ensure(keyrings)
    await keyrings.rotate("ES256")

    with pytest.raises(RotationPendingError):
        await keyrings.rotate("ES256")

    assert len(ids(stored(cluster))) == 2


async def test_of_two_rotations_at_once_one_is_stored(cluster, make):
    await ensure(make())

    def touch() -> None:
        cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body.update(touched=1))

    cluster.before_next("replace", "secrets", touch)
    before = ids(stored(cluster))

    with pytest.raises(ConflictError):
        await make().rotate("ES256")

    assert ids(stored(cluster)) == before


async def test_a_rotation_keeps_what_others_wrote_on_the_secret(cluster, make):
    await ensure(make())
    cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body["metadata"].update(annotations={"backup": "yes"}))

    await make().rotate("ES256")

    assert cluster.peek(SECRETS, NAMESPACE, NAME)["metadata"]["annotations"] == {"backup": "yes"}


async def test_the_key_is_rotated_when_it_is_older_than_it_may_be_and_no_sooner(cluster, make, clock):
    keyrings = make()
    await ensure(keyrings)
    clock.advance(timedelta(days=90).total_seconds())
    await keyrings.refresh()

    too_soon = await keyrings.rotate_by_age("ES256", timedelta(days=90))
    clock.advance(1)
    rotated = await keyrings.rotate_by_age("ES256", timedelta(days=90))

    assert too_soon is None
    assert ids(rotated) == ids(stored(cluster))
    assert len(ids(rotated)) == 2


async def a_superseded_key(make, clock):
    keyrings = make()
    await ensure(keyrings)
    rotated = await keyrings.rotate("ES256")
    clock.advance((PUBLISH_FOR + timedelta(hours=1)).total_seconds())
    return keyrings, *ids(rotated)


async def test_a_superseded_key_that_nothing_names_is_retired(cluster, make, clock):
    keyrings, old, new = await a_superseded_key(make, clock)

    assert await keyrings.retire({new}) == {old}
    assert ids(stored(cluster)) == [new]


async def test_a_superseded_key_stays_while_a_live_object_names_it(cluster, make, clock):
    keyrings, old, new = await a_superseded_key(make, clock)
    cluster.calls.clear()

    assert await keyrings.retire({old}) == set()
    assert ids(stored(cluster)) == [old, new]
    assert cluster.writes() == []


async def test_a_key_that_was_superseded_just_now_stays(cluster, make, clock):
    keyrings, old, new = await a_superseded_key(make, clock)
    clock.advance(-60)

    assert await keyrings.retire(set()) == set()
    assert ids(stored(cluster)) == [old, new]


async def test_the_newest_key_is_never_retired(cluster, make, clock):
    keyrings, _, new = await a_superseded_key(make, clock)
    clock.advance(10**7)

    await keyrings.retire(set())

    assert ids(stored(cluster)) == [new]


@pytest.mark.parametrize(
    "data",
    [None, {}, {"keyring.json": None}, {"keyring.json": "not base64!"}, {"keyring.json": "e30="}, {"other": "e30="}],
)
async def test_a_damaged_keyring_is_not_replaced_but_reported(cluster, make, data):
    cluster.put(SECRETS, {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": data})

    with pytest.raises(KeyringError):
        await ensure(make())

    assert cluster.writes() == []


async def test_no_error_holds_key_material(cluster, make):
    await ensure(make())
    text = base64.b64decode(cluster.peek(SECRETS, NAMESPACE, NAME)["data"]["keyring.json"]).decode()
    cut = base64.b64encode(text[:-20].encode()).decode()
    cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body["data"].update({"keyring.json": cut}))

    with pytest.raises(KeyringError) as damaged:
        await ensure(make())

    assert "PRIVATE" not in str(damaged.value)
    assert text[80:110] not in str(damaged.value)
