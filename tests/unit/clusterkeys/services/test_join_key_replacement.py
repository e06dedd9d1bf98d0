"""Replacing a join key: published, then switched, then retired; each phase lasts the overlap, and 0s skips both."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.objects.ports import UnavailableError
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.join_key_world import NAME, NAMESPACE, OWN, PROVIDED, SEALED, JoinKeyWorld, targets

TEN_MINUTES = 600


@pytest.fixture
async def world():
    """A generated key that is shared with one target."""
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt"))
    return world


@pytest.fixture
async def provided():
    """A provided key that is shared with one target."""
    world = JoinKeyWorld()
    world.provide(a_join_key("old"))
    await world.issue(secretRef={"name": PROVIDED}, targets=targets("rt"))
    return world


def names(world, namespace=NAMESPACE):
    return [key.fingerprint for key in world.held(namespace)]


def phase(world):
    found = world.object().status.replacement
    return (found.phase.value, found.fingerprint) if found else None


async def test_a_raised_serial_publishes_a_new_key_then_signs_with_it_then_forgets_the_old_one(world):
    (old,) = names(world)

    world.edit(serial=2)
    result = await world.reconcile()
    published, new = world.object().status, names(world)[1]
    in_publishing = (names(world), names(world, "rt"), phase(world), published.fingerprint, published.key_version)
    said, due = (world.said(), world.message()), result.requeue_at
    world.clock.advance(TEN_MINUTES)
    await world.reconcile()
    in_retiring = (names(world), names(world, "rt"), phase(world))
    text, status = world.message(), world.object().status
    world.clock.advance(TEN_MINUTES)
    await world.reconcile()

    assert in_publishing == ([old, new], [old, new], ("Publishing", new), old, 1)
    assert said == (
        {"Ready": ("True", "ReplacingKey")},
        f"{new} is accepted everywhere and signs from 2030-01-01T12:10:00Z",
    )
    assert due == published.replacement.until
    assert (in_retiring, text) == (
        ([new, old], [new, old], ("Retiring", old)),
        f"{new} signs; {old} is accepted until 2030-01-01T12:20:00Z",
    )
    assert (status.fingerprint, status.key_version, status.serial, status.state) == (new, 2, 2, "Replacing")
    assert (names(world), names(world, "rt"), phase(world), world.object().status.state) == (
        [new],
        [new],
        None,
        "Active",
    )
    assert world.said() == {"Ready": ("True", "Shared")}
    assert world.events.reasons() == ["JoinKeyReplaced"]


async def test_the_accepted_key_stands_in_its_own_data_key_and_the_sealed_copy_holds_both(world):
    (old,) = world.held()
    world.edit(serial=2)
    await world.reconcile()
    _, new = world.held()

    assert world.values("rt")["join-key-accepted"] == new.to_hex()
    assert (world.opened(1), world.opened(2, data_key="join-key-accepted.jwe")) == (old, new)
    world.clock.advance(TEN_MINUTES)
    await world.reconcile()
    assert (world.opened(2), world.opened(1, data_key="join-key-accepted.jwe")) == (new, old)
    world.clock.advance(TEN_MINUTES)
    await world.reconcile()
    assert (set(world.values(name=SEALED)), world.opened(2)) == ({"join-key.jwe"}, new)


async def test_the_sealed_copy_is_written_before_any_copy_in_every_phase(world):
    world.edit(serial=2)
    for _ in range(3):
        await world.reconcile()
        written = [(call.verb, call.name) for call in world.cluster.writes()]
        world.cluster.calls.clear()
        world.clock.advance(TEN_MINUTES)
        assert written == [("replace", SEALED), ("replace", OWN), ("replace", OWN), ("replace_status", NAME)]


async def test_a_look_between_the_phases_writes_nothing_and_reads_nothing(world):
    world.edit(serial=2)
    await world.reconcile()
    world.cluster.calls.clear()

    world.clock.advance(TEN_MINUTES - 1)
    world.restart()
    await world.reconcile()

    assert world.cluster.calls == []


async def test_a_phase_that_is_over_before_a_lost_copy_is_back_is_due(world):
    world.edit(serial=2)
    until = (await world.reconcile()).requeue_at

    world.clock.advance(TEN_MINUTES - 1)
    world.delete_secret("rt", OWN)
    world.cluster.after_next("create", "secrets", lambda: world.clock.advance(2))
    result = await world.reconcile()

    assert (result.requeue_at, phase(world)[0]) == (until, "Publishing")
    await world.reconcile()
    assert phase(world)[0] == "Retiring"


async def test_r59_another_key_in_the_provided_secret_is_taken_over(provided):
    provided.provide(a_join_key("new"))
    await provided.reconcile()
    provided.clock.advance(TEN_MINUTES)
    await provided.reconcile()

    assert provided.held() == provided.held("rt") == [a_join_key("new"), a_join_key("old")]
    assert (provided.object().status.key_version, provided.object().status.source) == (2, "Provided")
    assert "import-key" in [line.action for line in provided.audit.lines]


async def test_a_provided_key_takes_the_place_of_a_generated_one_by_a_replacement(world):
    world.provide(a_join_key("mine", 128))
    world.edit(secretRef={"name": PROVIDED})
    await world.reconcile()
    before = world.object().status
    world.clock.advance(TEN_MINUTES)
    await world.reconcile()

    after = world.object().status
    assert (before.source, before.key_size) == ("Generated", 256)
    assert (after.source, after.key_size, after.fingerprint) == ("Provided", 128, a_join_key("mine", 128).fingerprint)


async def test_0s_replaces_at_once_and_accepts_the_old_key_nowhere(world):
    (old,) = names(world)

    world.edit(serial=2, overlap="0s")
    await world.reconcile()

    (new,) = names(world)
    assert new != old
    assert (names(world, "rt"), phase(world)) == ([new], None)
    assert set(world.values(name=SEALED)) == {"join-key.jwe"}
    status = world.object().status
    assert (status.fingerprint, status.key_version, status.serial, status.state) == (new, 2, 2, "Active")
    assert world.events.reasons() == ["JoinKeyReplaced"]
    assert world.events.warnings[0].message == f"{new} signs; the key before it is accepted no longer"


@pytest.mark.parametrize("phases", [1, 2])
async def test_an_overlap_of_0s_ends_a_replacement_that_is_under_way(world, phases):
    (old,) = names(world)
    world.edit(serial=2)
    await world.reconcile()
    if phases == 2:
        world.clock.advance(TEN_MINUTES)
        await world.reconcile()

    world.edit(overlap="0s")
    await world.reconcile()

    assert (len(names(world)), phase(world), world.object().status.key_version) == (1, None, 2)
    assert old not in names(world) + names(world, "rt")


async def test_a_further_change_replaces_a_key_that_has_not_signed(provided):
    provided.provide(a_join_key("new"))
    await provided.reconcile()
    provided.clock.advance(300)
    provided.provide(a_join_key("newer"))
    await provided.reconcile()

    assert provided.held("rt") == [a_join_key("old"), a_join_key("newer")]
    assert str(provided.object().status.replacement.until) == "2030-01-01 12:15:00+00:00"
    provided.clock.advance(TEN_MINUTES)
    await provided.reconcile()
    assert provided.held() == [a_join_key("newer"), a_join_key("old")]
    assert provided.object().status.key_version == 2


async def test_a_further_change_waits_for_a_key_that_retires(provided):
    provided.provide(a_join_key("new"))
    await provided.reconcile()
    provided.clock.advance(TEN_MINUTES)
    await provided.reconcile()

    provided.provide(a_join_key("newer"))
    await provided.reconcile()
    meanwhile = provided.held("rt")
    provided.clock.advance(TEN_MINUTES)
    await provided.reconcile()

    assert meanwhile == [a_join_key("new"), a_join_key("old")]
    assert provided.held("rt") == [a_join_key("new"), a_join_key("newer")]
    assert phase(provided) == ("Publishing", a_join_key("newer").fingerprint)


async def test_the_old_key_put_back_in_time_ends_the_replacement(provided):
    provided.provide(a_join_key("new"))
    await provided.reconcile()
    provided.provide(a_join_key("old"))
    await provided.reconcile()

    assert (provided.held(), provided.held("rt")) == ([a_join_key("old")], [a_join_key("old")])
    assert (phase(provided), provided.object().status.key_version) == (None, 1)


async def test_a_key_that_a_copy_signs_with_already_is_not_replaced_before_it_is_recorded(provided):
    provided.provide(a_join_key("new"))
    await provided.reconcile()
    provided.clock.advance(TEN_MINUTES)
    provided.cluster.fail_next("replace_status", "joinkeys", RuntimeError("the process was killed"))
    with pytest.raises(RuntimeError):
        await provided.reconcile()

    provided.provide(a_join_key("newer"))
    provided.restart()
    await provided.reconcile()

    assert provided.object().status.key_version == 2
    assert provided.held() == [a_join_key("new"), a_join_key("old")]


async def test_a_bad_key_in_the_provided_secret_is_reported_and_the_old_one_stays(provided):
    provided.provide("ab" * 32)
    await provided.reconcile()
    provided.delete_secret("rt", OWN)
    await provided.reconcile()

    assert provided.said() == {"Ready": ("False", "WeakKey"), "Stalled": ("True", "WeakKey")}
    assert provided.held() == provided.held("rt") == [a_join_key("old")]
    assert provided.object().status.state == "Active"


async def test_a_replacement_that_has_begun_goes_on_without_the_master_key(world):
    world.edit(serial=2)
    await world.reconcile()
    old, new = names(world)
    world.close_master()

    world.clock.advance(TEN_MINUTES)
    await world.reconcile()
    retiring = names(world, "rt")
    world.clock.advance(TEN_MINUTES)
    await world.reconcile()

    assert (retiring, names(world, "rt"), world.said()) == ([new, old], [new], {"Ready": ("True", "Shared")})
    assert world.opened(2).fingerprint == new


async def test_a_new_key_waits_for_the_master_key_and_the_copies_are_healed_meanwhile(world):
    (old,) = names(world)
    world.close_master()
    world.edit(serial=2)
    await world.reconcile()
    world.delete_secret("rt", OWN)
    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "MasterKeyRequired")
    assert (names(world), names(world, "rt"), phase(world)) == ([old], [old], None)


async def test_a_target_that_cannot_be_written_does_not_hold_up_a_replacement(world):
    world.edit(targets=targets("rt", "gone"))
    world.cluster.missing_namespaces.add("gone")
    world.edit(serial=2)
    await world.reconcile()
    world.clock.advance(TEN_MINUTES)
    await world.reconcile()

    assert (phase(world)[0], world.object().status.key_version) == ("Retiring", 2)
    assert world.said()["Stalled"] == ("True", "TargetNamespaceNotFound")


async def test_a_copy_whose_write_gets_no_answer_holds_up_the_next_phase(world):
    world.edit(serial=2)
    world.cluster.refusing["replace", "secrets"] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await world.reconcile()
    world.clock.advance(TEN_MINUTES)
    world.cluster.refusing.clear()
    await world.reconcile()

    assert (phase(world)[0], world.object().status.key_version) == ("Publishing", 1)
    assert str(world.object().status.replacement.until) == "2030-01-01 12:20:00+00:00"


async def test_a_rotation_of_the_master_key_in_the_middle_of_a_replacement_seals_both_keys_again(world):
    world.edit(serial=2)
    await world.reconcile()
    old, new = world.held()
    world.open_master(a_master_key("newer"), a_master_key())
    await world.reconcile()

    assert (world.opened(1), world.opened(2, data_key="join-key-accepted.jwe")) == (old, new)
    assert world.object().status.sealed.master_key == a_master_key("newer").fingerprint
    assert world.secret(name=SEALED)["metadata"]["labels"]["tallystick.dev/key-id"] == a_master_key("newer").fingerprint


async def test_a_serial_raised_twice_before_the_controller_looks_makes_one_new_key(world):
    world.edit(serial=2)
    world.edit(serial=3)
    await world.reconcile()
    await world.reconcile()

    assert (world.object().status.serial, len(names(world))) == (3, 2)
    assert [line.action for line in world.audit.lines].count("generate-key") == 2


async def test_a_generated_key_of_another_size_comes_with_a_raised_serial(world):
    world.edit(serial=2, keySize=128, overlap="0s")
    await world.reconcile()

    assert (world.object().status.key_size, world.held()[0].bits) == (128, 128)


async def test_a_replaced_key_is_in_the_audit_log(world):
    (old,) = names(world)
    world.audit.lines.clear()
    world.edit(serial=2)
    for _ in range(3):
        await world.reconcile()
        world.clock.advance(TEN_MINUTES)

    (new,) = names(world)
    found = [(line.action, line.facts.get("key_id"), line.facts.get("version")) for line in world.audit.lines]
    shared = [("share-key", old, 1)] * 2
    assert found == [
        *shared,
        ("generate-key", new, 2),
        ("seal-key", new, 2),
        *[("share-key", new, 2)] * 2,
        ("replace-key", new, 2),
        *[("share-key", new, 2)] * 2,
        ("forget-key", old, 1),
    ]
    assert world.cluster.peek(JOIN_KEYS, NAMESPACE, NAME)["status"]["serial"] == 2
