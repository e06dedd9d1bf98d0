"""A keyring that was restored or replaced counts as one that has made its admin token (S27)."""

import pytest

from tallystick.objects.labels import BOOTSTRAP_ANNOTATION
from tallystick.pairing.domain.admin_token import ADMIN_SECRET, mark
from tallystick.schema.builtin import SECRETS
from tallystick.schema.times import rfc3339
from tallystick.tokens.lost_keys import keyring_missing
from tests.fakes import NOON
from tests.worlds.bootstrap_world import HOME, IGNORED, BootstrapWorld


@pytest.fixture
def world() -> BootstrapWorld:
    return BootstrapWorld()


async def test_s27_a_keyring_that_was_restored_counts_as_used(world):
    world.put_keyring(**{BOOTSTRAP_ANNOTATION: mark(NOON).to_text()})
    world.place_trigger()

    await world.start()

    assert (world.record["generation"], world.masters(), world.trigger is None) == (1, [], False)
    assert world.events.warnings[-1].message == (
        f"the keyring was restored or replaced at {rfc3339(NOON)}, so an admin token may have been made before; "
        "set --bootstrap-generation to 2 for another"
    )
    await world.start(bootstrap_generation=2)
    assert len(world.masters()) == 1


async def test_s27_a_keyring_that_the_controller_has_replaced_counts_as_used(world):
    world.place_trigger()
    await world.start()
    world.put_keyring()
    world.place_trigger()

    await world.start()

    assert (world.record["generation"], len(world.masters())) == (1, 1)
    assert world.events.reasons() == [IGNORED]


async def test_s27_a_keyring_of_a_backup_that_is_older_than_the_last_token_counts_as_used(world):
    world.place_trigger()
    await world.start()
    backup = world.annotations[BOOTSTRAP_ANNOTATION]
    world.clock.advance(3600)
    world.cluster.remove(SECRETS, HOME, ADMIN_SECRET)
    world.place_trigger()
    await world.start(bootstrap_generation=2)
    world.put_keyring(**{BOOTSTRAP_ANNOTATION: backup})
    world.clock.advance(3600)
    world.place_trigger()

    await world.start(bootstrap_generation=2)

    assert (world.record["generation"], len(world.masters())) == (2, 2)
    assert world.events.reasons() == [IGNORED]


async def test_the_mark_is_set_without_a_trigger_and_once(world):
    world.put_keyring(**{BOOTSTRAP_ANNOTATION: "garbage"})
    await world.start(bootstrap_generation=3)

    marked = world.writes()
    await world.start(bootstrap_generation=3)

    assert (marked, world.writes(), world.record["generation"]) == ([("replace", "secrets")], [], 3)


async def test_while_the_keyring_is_lost_nothing_is_looked_for_and_a_restore_begins_nothing(world):
    world.keys.loss = keyring_missing(HOME)
    world.place_trigger()
    controller = await world.start()
    world.keys.loss = None

    await controller.run()

    assert world.cluster.calls == []
