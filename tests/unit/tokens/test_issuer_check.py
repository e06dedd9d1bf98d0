"""A process whose setting names another issuer than the keyring waits, and says which issuer to set."""

import base64

import pytest

from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import SigningKey
from tallystick.errors import InvalidSettingError, NotYetError
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.objects.ports import UnavailableError
from tallystick.schema.builtin import SECRETS
from tallystick.tokens.issuer_check import issuer_problem
from tallystick.tokens.keyrings import Keyrings, keyring_secret
from tests.fakes import FakeClock, FakeCluster

HOME, ISSUER, MOVED = "ops", "https://trust.example.com", "https://moved.example.com"
ADVICE = f"start with --issuer {ISSUER}, because its tokens are invalid with any other issuer"


@pytest.fixture
def cluster() -> FakeCluster:
    clock = FakeClock()
    found = FakeCluster(clock=clock)
    found.put(SECRETS, keyring_secret(Keyring.first(ISSUER, SigningKey.generate("ES256"), clock.now()), HOME))
    return found


async def test_only_another_issuer_is_a_problem(cluster):
    same = await issuer_problem(cluster, namespace=HOME, issuer=ISSUER)
    moved = await issuer_problem(cluster, namespace=HOME, issuer=MOVED)

    assert same == ""
    assert moved == f"the keyring in Secret {HOME}/{KEYRING_SECRET} has issuer {ISSUER}, not {MOVED}; {ADVICE}"
    assert cluster.writes() == []


async def test_a_keyring_that_is_missing_or_damaged_has_no_issuer(cluster):
    damaged = base64.b64encode(b"nothing").decode()
    cluster.edit(SECRETS, HOME, KEYRING_SECRET, lambda body: body.update(data={"keyring.json": damaged}))
    of_damaged = await issuer_problem(cluster, namespace=HOME, issuer=MOVED)
    cluster.remove(SECRETS, HOME, KEYRING_SECRET)

    assert (of_damaged, await issuer_problem(cluster, namespace=HOME, issuer=MOVED)) == ("", "")


async def test_an_api_server_without_a_response_proves_nothing(cluster):
    cluster.fail_next("get", "secrets", UnavailableError("it is away"))

    with pytest.raises(UnavailableError):
        await issuer_problem(cluster, namespace=HOME, issuer=ISSUER)


async def test_an_exchange_that_starts_with_another_issuer_gives_the_same_reason(cluster):
    keyrings = Keyrings(cluster, FakeClock(), namespace=HOME, issuer=MOVED)
    with pytest.raises(InvalidSettingError):
        await keyrings.refresh()

    with pytest.raises(NotYetError, match=ADVICE):
        keyrings.keyring()
