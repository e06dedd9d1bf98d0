"""A master key of the user's own: taken from his Secret, which is never written."""

import pytest

from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.schema.builtin import SECRETS
from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.master_key_world import NAME, NAMESPACE, PROVIDED, MasterKeyWorld

REF = {"name": PROVIDED}


@pytest.fixture
def world():
    return MasterKeyWorld()


async def test_a_provided_key_costs_one_write_and_its_secret_stays_as_it_is(world):
    found = world.place(a_master_key())
    world.apply(secretRef=REF)

    await world.reconcile()

    status = world.status()
    assert world.writes() == [("replace_status", "masterkeys")]
    assert (world.secret(PROVIDED), world.secret()) == (found, None)
    assert (status.fingerprint, status.key_size, status.source) == (a_master_key().fingerprint, 256, "Provided")
    assert world.said() == {"Ready": ("True", "KeyStored")}
    assert world.audit.decisions() == [("import-key", "ok")]


async def test_a_restart_and_a_second_look_write_nothing(world):
    world.place(a_master_key())
    await world.issue(secretRef=REF)

    world.restart()
    await world.look()
    await world.reconcile()
    read = [call for call in world.cluster.calls if call.verb == "get"]
    await world.reconcile()

    assert (world.writes(), len(read)) == ([], 1)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        pytest.param(a_master_key().to_hex().upper() + "\n", 256, id="upper case and a line end"),
        pytest.param(f"  {a_master_key(bits=128).to_hex()}  ", 128, id="128 bits between blanks"),
    ],
)
async def test_upper_case_and_surrounding_blanks_are_allowed(world, text, bits):
    world.place(text)

    await world.issue(secretRef=REF)

    assert world.status().key_size == bits


async def test_a_key_that_is_not_there_yet_is_waited_for_and_then_taken(world):
    world.apply(secretRef=REF)
    await world.look()
    result = await world.reconcile()
    waiting = (world.said(), world.message(), result.requeue_after, world.status().state)

    world.place(a_master_key())
    again = await world.look()
    await world.reconcile()

    text = 'Secret edge/mk does not exist yet; create it with type tallystick.dev/master-key and key "master-key"'
    said = {"Ready": ("False", "WaitingForKey"), "Reconciling": ("True", "WaitingForKey")}
    assert waiting == (said, text, 10.0, "Pending")
    assert again == [(MASTER_KEYS, NAMESPACE, NAME)]
    assert world.said() == {"Ready": ("True", "KeyStored")}


BAD = [
    pytest.param("abc", "InvalidKey", id="too short"),
    pytest.param("g" + a_master_key().to_hex()[1:], "InvalidKey", id="not hexadecimal"),
    pytest.param("ff" * 32, "WeakKey", id="one character"),
    pytest.param(a_master_key(bits=128).to_hex() * 2, "WeakKey", id="written twice"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
async def test_a_bad_key_stalls_once_and_a_good_one_is_taken_then(world, text, reason):
    world.place(text)
    world.apply(secretRef=REF)

    await world.reconcile()
    await world.reconcile()
    said, reasons, message = world.said(), world.events.reasons(), world.message()
    world.place(a_master_key())
    await world.reconcile()

    assert said == {"Ready": ("False", reason), "Stalled": ("True", reason)}
    assert reasons == [reason]
    assert text not in message
    assert world.said() == {"Ready": ("True", "KeyStored")}


async def test_a_secret_of_another_type_gets_one_constant_answer(world):
    messages = set()
    for text in (a_master_key().to_hex(), "abc", ""):
        world = MasterKeyWorld()
        world.place(text, type_="Opaque")
        world.apply(secretRef=REF)
        await world.reconcile()
        messages.add((world.said()["Ready"], world.message()))

    text = "Secret edge/mk cannot be used: its type must be tallystick.dev/master-key"
    assert messages == {(("False", "WrongSecretType"), text)}


async def test_the_size_that_the_spec_requires_is_checked(world):
    world.place(a_master_key(bits=128))

    await world.issue(secretRef=REF, keySize=256)

    assert world.said()["Ready"] == ("False", "KeySizeMismatch")
    assert world.message() == "spec.keySize is 256 but the key has 128 bits"


async def test_another_key_is_not_taken_without_a_new_serial(world):
    world.place(a_master_key())
    recorded = await world.issue(secretRef=REF)
    await world.look()
    world.place(a_master_key("other"))

    again = await world.look()
    await world.reconcile()

    assert again == [(MASTER_KEYS, NAMESPACE, NAME)]
    assert world.said() == {"Ready": ("False", "MasterKeyChanged"), "Stalled": ("True", "MasterKeyChanged")}
    assert world.message() == (
        f"Secret edge/mk now holds {a_master_key('other').fingerprint}, but join keys are sealed with {recorded}. "
        f"Put {recorded} back into it, or raise spec.serial to 2 to seal them with {a_master_key('other').fingerprint}."
    )
    assert (world.status().fingerprint, world.status().state) == (recorded, "Sealed")


async def test_a_secret_that_was_deleted_is_waited_for_by_its_fingerprint(world):
    world.place(a_master_key())
    recorded = await world.issue(secretRef=REF)
    await world.look()
    world.cluster.remove(SECRETS, NAMESPACE, PROVIDED)

    again = await world.look()
    await world.reconcile()

    assert again == [(MASTER_KEYS, NAMESPACE, NAME)]
    assert world.said()["Ready"] == ("False", "WaitingForKey")
    assert world.message().endswith(
        f'key "master-key" (fingerprint {recorded}); if that key is lost, raise spec.serial to 2'
    )
    assert world.secret(PROVIDED) is None
