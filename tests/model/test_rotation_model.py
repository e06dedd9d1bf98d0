"""The rotation protocol has no bad interleaving and no trap, and the model would find one: each mistake has.

With `make soak` devices of every kind are tried, and one that loses its disk in a rotation for a compromise.
"""

from dataclasses import replace

import pytest

from tests.harness.proofs import Figure
from tests.model.rotation_batches import BatchesWorld
from tests.model.rotation_copies import FINAL, CopiesWorld
from tests.model.rotation_enrolling import MOST, EnrollingWorld
from tests.model.rotation_exploration import explore
from tests.model.rotation_rules import OURS, Rules, World

COPIES = CopiesWorld(
    witnesses=(
        lambda s: s.device == (3, 0) and s.order == ("Running", "Running") and s.old == 3,  # both rotations succeed
        lambda s: s.device == (1, 2) and s.state[0] == FINAL and s.order[0] == "Aborted",  # aborted, and handed out
        lambda s: s.device == (2, 0) and s.order[0] == "Aborted" and s.old == 1,  # proved, its answer not heard yet
        lambda s: s.device == (3, 0) and s.order[0] == "Aborted",  # the second takes along what the first left
        lambda s: s.device == (2, 3) and s.old == 1 and s.new == 2,  # three generations in play
        lambda s: s.device == (1, 0) and s.state == (FINAL, FINAL) and s.new == 0,  # never reached, and nothing lost
    )
)
ONE_ROTATION = replace(COPIES, rotations=1, witnesses=())
ONE_BATCH = BatchesWorld(devices=3, first=3, max_concurrency=1)
TWO_BATCHES = BatchesWorld(devices=3, first=1, max_concurrency=2)
ENROLLING = EnrollingWorld(
    witnesses=(
        lambda s: s.rotation == "Succeeded" and s.copies == (2, 2),  # z was deleted, and both have its place
        lambda s: ("x", 1) in s.reserved and s.gen == 2,  # reserved before the rotation, made after its start
        lambda s: s.rotation == "Running" and s.copies == (1, 2),
        lambda s: s.rotation == "Succeeded" and len(s.objects) == MOST and s.copies[1] == 0,  # y finds it full
    )
)
ONE_ENROLLS = EnrollingWorld(keys=("x",))

# The second of both rotations revokes at once, so that an unproved offer of the first is revoked, too.
REVOKED_AT_ONCE = CopiesWorld(
    compromised=(False, True),
    immediate=(False, True),
    reenrolls=True,
    witnesses=(
        lambda s: s.device == (1, 2) and s.floor == 3,  # the unproved offer is revoked itself
        lambda s: s.device == (2, 3) and s.floor == 3 and s.before == (2, 0),  # it was proved, and a newer one offered
        lambda s: s.device == (3, 0) and s.old == 3,
        lambda s: s.device == (1, 3) and s.state[1] == FINAL,  # aborted before, and it enrolled again
    ),
)
REVOKED_AT_FIRST = replace(REVOKED_AT_ONCE, compromised=(True, False), immediate=(True, False), witnesses=())
# Its copies have no key, and a thief has one of them.
STOLEN = CopiesWorld(
    keyed=False,
    compromised=(True, True),
    thief=True,
    witnesses=(lambda s: s.state == (FINAL, FINAL) and s.device == (1, 0) and s.gen == 3,),
)
STOLEN_AND_REVOKED = replace(STOLEN, compromised=(True, False), immediate=(True, False), witnesses=())
KEY_BOUND_AND_STOLEN = CopiesWorld(thief=True, compromised=(True, False))
# A person revokes the PairingToken and raises its serial while a device enrolls and a rotation runs.
REVOKED_MEANWHILE = EnrollingWorld(
    keys=("x",),
    revokes=True,
    recounts=False,
    witnesses=(
        lambda s: s.through == 1 and s.rotation == "Succeeded" and any(made.serial == 2 for made in s.objects),
        lambda s: s.through == 1 and any(made.name == "x" and made.serial == 1 for made in s.objects),
        lambda s: s.serial == 2 and s.through == 0 and s.copies == (2,),  # a higher serial alone ends no device
    ),
)

# Each Device may be deleted, also before its place is counted.
DELETED = EnrollingWorld(
    keys=("x",),
    deletes=True,
    witnesses=(
        lambda s: ("x", 1) in s.reserved and s.copies == (1,) and len(s.objects) == 1,  # its place is kept
        lambda s: s.rotation == "Succeeded" and s.devices == 1 and len(s.objects) == 0,  # not counted again yet
    ),
)

KEEPS_NEWEST = replace(OURS, device_keeps_old=False)  # a device that keeps the newest copy alone must be safe, too
THROWS_AWAY = replace(OURS, device_keeps_refused=False)
NO_GUARD = replace(OURS, schema_guards=False)  # to see what a mistake does where the schema does not stop it
LAX = replace(KEEPS_NEWEST, schema_guards=False)
BY_VIEW = replace(OURS, finishes_by_list=False)

RIGHT = [
    pytest.param(COPIES, OURS, id="one device, two rotations"),
    pytest.param(ONE_ROTATION, KEEPS_NEWEST, id="one rotation, and the newest copy kept alone"),
    pytest.param(ONE_BATCH, OURS, id="one batch of three, maxConcurrency 1"),
    pytest.param(TWO_BATCHES, OURS, id="batches of one and two, maxFailures 0"),
    pytest.param(ENROLLING, OURS, id="two enroll, maxDevices 2, a rotation"),
    pytest.param(
        replace(REVOKED_AT_ONCE, revocable=False), OURS, id="old copies and an unproved offer are revoked at once"
    ),
    pytest.param(STOLEN, OURS, id="a copy without a key is stolen"),
    pytest.param(STOLEN_AND_REVOKED, OURS, id="a stolen copy without a key is revoked at once"),
    pytest.param(REVOKED_MEANWHILE, OURS, id="the PairingToken is revoked during an enrollment"),
    pytest.param(DELETED, OURS, id="a device is deleted while it enrolls"),
]
RIGHT_AND_SLOW = [
    pytest.param(REVOKED_AT_ONCE, OURS, id="old copies are revoked at once, and then the Device"),
    pytest.param(COPIES, KEEPS_NEWEST, id="a device that keeps the newest copy alone"),
    pytest.param(COPIES, THROWS_AWAY, id="a device that throws refused copies away"),
    pytest.param(KEY_BOUND_AND_STOLEN, OURS, id="a copy is stolen without its key"),
    pytest.param(REVOKED_AT_FIRST, OURS, id="the first rotation revokes at once"),
    pytest.param(replace(REVOKED_AT_ONCE, loses_disk=True), OURS, id="a device loses its disk"),
    pytest.param(REVOKED_AT_ONCE, KEEPS_NEWEST, id="revoked at once, and the newest kept alone"),
    pytest.param(replace(ENROLLING, revokes=True, witnesses=()), OURS, id="two enroll, and all is revoked"),
    pytest.param(replace(ENROLLING, deletes=True, witnesses=()), OURS, id="two enroll, and each may be deleted"),
    pytest.param(EnrollingWorld(keys=("w", "x", "y"), revokes=True), OURS, id="three enroll, and all is revoked"),
    pytest.param(BatchesWorld(devices=4, first=2, max_concurrency=2), OURS, id="batches of two and two"),
    pytest.param(BatchesWorld(devices=4, first=4, max_concurrency=1), OURS, id="one batch of four, maxConcurrency 1"),
    pytest.param(BatchesWorld(devices=5, first=3, max_concurrency=2), OURS, id="batches of three and two"),
]

MISTAKES = [
    pytest.param(COPIES, replace(NO_GUARD, keeps_old_until_proof=False), "LOCKED OUT", id="hand-out ends the old copy"),
    pytest.param(COPIES, Rules(records_before_answer=False), "UNKNOWN", id="the copy leaves before it is recorded"),
    pytest.param(COPIES, replace(NO_GUARD, success_is_use=False), "LOCKED OUT", id="success by the device's word"),
    pytest.param(COPIES, replace(NO_GUARD, conditional_writes=False), "LOCKED OUT", id="writes without a version"),
    pytest.param(COPIES, replace(NO_GUARD, abort_keeps_offers=False), "OFFER", id="an abort takes offers back"),
    pytest.param(
        COPIES, replace(LAX, abort_keeps_offers=False), "LOCKED OUT", id="... and the device keeps the newest alone"
    ),
    pytest.param(
        COPIES, replace(NO_GUARD, abort_keeps_proofs=False), "LOCKED OUT", id="an abort rolls proved devices back"
    ),
    pytest.param(COPIES, replace(LAX, one_offer_at_a_time=False), "LOCKED OUT", id="a newer offer replaces one"),
    pytest.param(COPIES, Rules(one_rotation_at_a_time=False), "OVERLAP", id="a second rotation does not wait"),
    pytest.param(COPIES, Rules(waits_for_stragglers=False), "STOPPED", id="Aborted is said at once"),
    pytest.param(COPIES, Rules(reads_permission_fresh=False), "STOPPED", id="the permission is cached"),
    pytest.param(
        COPIES,
        replace(THROWS_AWAY, rereads_when_behind=False),
        "LOCKED OUT",
        id="a stale reading refuses, and the device throws away",
    ),
    pytest.param(
        ONE_BATCH, Rules(counts_what_is_open=False), "CONCURRENCY", id="maxConcurrency counts who is in progress"
    ),
    pytest.param(ONE_BATCH, Rules(looks_before_giving_up=False), "CONCURRENCY", id="a place given away by an old view"),
    pytest.param(ONE_BATCH, Rules(derives_counts=False), "COUNTS", id="counters beside the Devices"),
    pytest.param(ONE_BATCH, Rules(closes_on_failures=False), "BUDGET", id="failures do not close"),
    pytest.param(TWO_BATCHES, Rules(batch_needs_success=False), "ORDER", id="the next batch opens when none is busy"),
    pytest.param(ENROLLING, BY_VIEW, "LEFT BEHIND", id="complete by what the watch has shown"),
    pytest.param(
        ENROLLING, replace(BY_VIEW, ends_per_device=False), "LOCKED OUT", id="... and the generation is ended then"
    ),
    pytest.param(ENROLLING, Rules(reserves_by_swap=False), "LIMIT", id="count, then create"),
    pytest.param(
        ENROLLING, Rules(swap_checks_generation=False), "OLD VALUE", id="a swap that does not compare the generation"
    ),
    pytest.param(
        ONE_ENROLLS, Rules(late_retry_by_old_value=False), "TRAP", id="an old value cannot fetch a lost answer"
    ),
    pytest.param(DELETED, Rules(keeps_places=False), "LEFT BEHIND", id="the place of a deleted device is given up"),
    pytest.param(ENROLLING, Rules(keeps_places=False), "LIMIT", id="a place is given up while a request may use it"),
    # After a compromise, and with a revocation
    pytest.param(STOLEN, Rules(moves_no_keyless=False), "STOLEN", id="a copy without a key is moved"),
    pytest.param(REVOKED_AT_ONCE, Rules(key_still_checks_in=False), "REFUSED", id="a key does not help a revoked copy"),
    pytest.param(
        REVOKED_AT_ONCE, Rules(revoked_offer_is_proved=False), "REFUSED", id="a revoked offer cannot be proved"
    ),
    pytest.param(
        REVOKED_AT_ONCE, Rules(enrolls_with_accepted=False), "INACTIVE", id="enrolls again with a revoked copy"
    ),
    pytest.param(
        REVOKED_MEANWHILE, Rules(carries_serial_of_value=False), "REVIVED", id="a Device has the serial of its creation"
    ),
    pytest.param(REVOKED_MEANWHILE, Rules(obeys_revocation=False), "REVOKED", id="a revoked value takes a place"),
    pytest.param(REVOKED_MEANWHILE, Rules(waits_for_the_living=False), "TRAP", id="a rotation waits for the revoked"),
]


@pytest.mark.variants("world, rules", gate=RIGHT, soak=RIGHT + RIGHT_AND_SLOW)
def test_no_interleaving_locks_a_device_out_and_none_is_a_trap(world: World, rules: Rules, figure: Figure) -> None:
    found = explore(world, rules)

    figure(f"{found.states:,} states, {len(found.broken)} violations, {found.traps} traps")
    assert found.complete
    assert (found.broken, found.traps) == ({}, 0)
    assert rules != OURS or found.missing == []


def test_an_exploration_that_stops_early_is_not_complete() -> None:
    assert not explore(COPIES, Rules(one_rotation_at_a_time=False), until="OVERLAP").complete


@pytest.mark.parametrize(("world", "rules", "kind"), MISTAKES)
def test_the_model_finds_what_is_wrong_with(world: World, rules: Rules, kind: str) -> None:
    found = explore(world, rules, until=kind)

    assert found.finds(kind), (found.broken, found.traps)


@pytest.mark.proof(gate=None, soak=1)
def test_the_schema_alone_keeps_the_promise_where_writes_have_no_version(rounds: int, figure: Figure) -> None:
    """Such writes start devices out of turn, and lock none out."""
    found = explore(COPIES, Rules(conditional_writes=False))

    figure(f"{found.states:,} states, {rounds} exploration")
    assert found.complete
    assert [text for text in found.broken if not text.startswith(("STOPPED", "ORDER", "WRITES"))] == []


def test_the_schema_keeps_the_promise_of_one_rotation_where_writes_have_no_version() -> None:
    """The same, less the second rotation: `make soak` has both."""
    found = explore(ONE_ROTATION, Rules(conditional_writes=False))

    assert found.complete
    assert [text for text in found.broken if not text.startswith(("STOPPED", "ORDER", "WRITES"))] == []


# What is not promised.


def test_a_stolen_copy_without_a_key_is_moved_by_a_routine_rotation_and_locks_its_owner_out() -> None:
    """Copies are bound to a key by default (docs/rules.md#s14); the Devices without one are revoked by a person."""
    assert explore(replace(STOLEN, compromised=(False, False)), OURS, until="LOCKED OUT").finds("LOCKED OUT")


def test_an_abort_of_a_rotation_that_revokes_at_once_leaves_revoked_copies_until_the_device_enrolls_again() -> None:
    found = explore(replace(REVOKED_AT_FIRST, reenrolls=False, revocable=False, rotations=1), OURS)

    assert found.complete
    assert found.traps > 0
    assert found.broken == {}
