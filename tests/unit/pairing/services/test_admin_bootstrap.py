"""The first admin token: made once for each generation, whatever fails, and by any leader (R95 to R103)."""

import pytest

from tallystick.objects.ports import ConflictError, UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.domain.admin_token import ADMIN_SECRET
from tallystick.pairing.domain.tokens import MASTER
from tallystick.schema.builtin import SECRETS
from tallystick.schema.times import rfc3339
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER
from tests.fakes import NOON
from tests.worlds.bootstrap_world import HOME, IGNORED, BootstrapWorld
from tests.worlds.faults import double_faults, single_faults

WRITES = [
    ("replace", "secrets"),
    ("create", "mastertokens"),
    ("create", "secrets"),
    ("delete", "configmaps"),
]
CALLS = 10


@pytest.fixture
def world() -> BootstrapWorld:
    return BootstrapWorld()


async def test_the_trigger_makes_one_token_and_goes(world):
    uid = world.place_trigger()

    await world.start()

    (master,) = world.masters()
    assert world.writes() == WRITES
    assert (world.trigger, world.record["token"]["trigger"]) == (None, uid)
    assert master.metadata.name == f"mtok-{world.record['token']['tokenID']}"
    assert world.annotations["team"] == "a"
    assert world.audit.decisions() == [("bootstrap", "ok")]
    assert world.events.warnings == []


async def test_r97_the_secret_holds_the_token_and_belongs_to_its_master_token(world):
    world.place_trigger()
    await world.start()

    (master,) = world.masters()
    assert (world.secret["type"], list(world.secret["data"])) == ("tallystick.dev/admin-token", [ADMIN_SECRET])
    assert [owner["uid"] for owner in world.secret["metadata"]["ownerReferences"]] == [master.metadata.uid]
    assert list(world.content) == ["token"]


async def test_r100_r101_r102_r103_the_token_says_exactly_this(world):
    world.place_trigger()
    await world.start()

    (master,) = world.masters()
    verified = Signer(world.keys, ISSUER).verified(world.content["token"], MASTER, world.clock.now())
    assert verified.claims == {
        "iss": ISSUER,
        "sub": "admin",
        "aud": "jfac@*",
        "scope": "applied-permissions/admin",
        "iat": int(NOON.timestamp()),
        "exp": int(NOON.timestamp()) + 900,
        "jti": world.record["token"]["tokenID"],
        "tallystick": {"kind": "MasterToken", "ns": HOME, "name": master.metadata.name, "uid": master.metadata.uid},
    }


async def test_without_a_trigger_nothing_is_written_and_a_later_one_waits_for_the_next_start(world):
    controller = await world.start()
    world.place_trigger()

    await controller.run()

    assert (world.writes(), world.record) == ([], None)
    await world.start()
    assert world.writes() == WRITES


async def test_a_finished_run_asks_nothing_again(world):
    world.place_trigger()
    controller = await world.start()
    world.cluster.calls.clear()

    await controller.run()

    assert world.cluster.calls == []


async def test_s27_another_trigger_of_the_generation_stays_and_is_reported(world):
    world.place_trigger()
    await world.start()
    first = world.content
    world.place_trigger()
    world.writes()

    await world.start()

    assert (world.writes(), world.content, len(world.masters())) == ([], first, 1)
    (event,) = world.events.warnings
    assert (event.kind, event.name, event.reason) == ("ConfigMap", "generate.token.json", IGNORED)
    assert event.message == (f"an admin token was made at {rfc3339(NOON)}; set --bootstrap-generation to 2 for another")
    assert world.audit.decisions()[-1] == ("bootstrap", "ignored")


async def test_a_higher_generation_permits_one_more_and_a_lower_one_none(world):
    world.place_trigger()
    await world.start()
    world.clock.advance(3600)
    world.cluster.remove(SECRETS, HOME, ADMIN_SECRET)
    world.place_trigger()

    await world.start(bootstrap_generation=2)

    assert (len(world.masters()), world.record["generation"], world.trigger) == (2, 2, None)
    world.place_trigger()
    await world.start(bootstrap_generation=1)
    assert len(world.masters()) == 2
    assert "set --bootstrap-generation to 3" in world.events.warnings[-1].message


async def test_generation_0_never_looks(world):
    world.place_trigger()

    await world.start(bootstrap_generation=0)

    assert world.cluster.calls == []


async def test_an_operator_that_does_not_serve_its_own_namespace_says_so(world):
    world.place_trigger()

    await world.start(is_served=False)

    assert (world.writes(), world.masters()) == ([], [])
    assert [(one.reason, "--watch-namespaces" in one.message) for one in world.events.warnings] == [(IGNORED, True)]


async def test_a_foreign_secret_is_left_alone_until_it_is_deleted(world):
    world.place_trigger()
    foreign = world.cluster.put(SECRETS, {"metadata": {"name": ADMIN_SECRET, "namespace": HOME}, "data": {"a": "Yg=="}})
    controller = await world.start()

    await controller.run()

    assert (world.secret, world.trigger is None) == (foreign, False)
    assert {one.reason for one in world.events.warnings} == {"SecretConflict"}
    world.cluster.remove(SECRETS, HOME, ADMIN_SECRET)
    await controller.run()
    assert (list(world.content), world.trigger, len(world.masters())) == (["token"], None, 1)


async def test_a_token_that_is_revoked_before_it_was_stored_is_not_stored(world):
    world.place_trigger()
    world.cluster.fail_next("create", "mastertokens", UnavailableError("no answer"), applied=True)
    controller = world.controller()
    with pytest.raises(UnavailableError):
        await controller.run()
    world.edit_master(lambda body: body["spec"].update(revoked=True))

    await controller.run()

    assert (world.secret, world.trigger) == (None, None)


async def test_a_leader_that_was_paused_stores_no_second_token_after_the_work_is_done(world):
    """Another leader has finished, and an administrator has deleted the MasterToken, before this one goes on."""
    world.place_trigger()
    world.cluster.before_next("create", "mastertokens", world.remove_trigger)

    await world.start()

    assert world.secret is None


async def test_a_master_token_of_the_name_that_differs_is_never_signed(world):
    world.place_trigger()
    world.cluster.fail_next("create", "mastertokens", ConflictError("a crash"))
    with pytest.raises(ConflictError):
        await world.start()
    token = world.record["token"]
    forged = {
        "metadata": {"name": f"mtok-{token['tokenID']}", "namespace": HOME},
        "spec": {
            "tokenID": token["tokenID"],
            "kid": token["kid"],
            "useCase": "bootstrap-admin",
            "scope": ["applied-permissions/admin"],
            "audience": ["jfac@*"],
            "subject": "mallory",
            "issuedTime": token["issuedTime"],
            "expirationTime": "2040-01-01T00:00:00Z",
            "deletionPolicy": "Revoke",
        },
    }
    world.cluster.put(MASTER_TOKENS, forged)

    await world.start()

    assert (world.secret, world.trigger is None) == (None, False)
    assert world.events.reasons() == ["MasterTokenConflict"]


@pytest.mark.parametrize("minutes", [2, 14, 16])
async def test_a_start_that_is_too_late_makes_nothing_and_removes_what_is_left(world, minutes):
    world.place_trigger()
    world.cluster.fail_next("create", "secrets", ConflictError("a crash"))
    with pytest.raises(ConflictError):
        await world.start()
    world.clock.advance(60 * minutes)
    world.cluster.calls.clear()

    await world.start()

    assert world.writes() == [("delete", "configmaps")]
    assert (world.secret, world.trigger, world.events.reasons()) == (None, None, [IGNORED])


@pytest.mark.parametrize("plan", [pytest.param(plan, id=str(plan)) for plan in single_faults(CALLS)])
async def test_whatever_fails_one_token_is_made(plan):
    world = BootstrapWorld()
    world.place_trigger()
    world.cluster.plan_from_now(plan)

    await world.start_until_done()

    assert_made_once(world)


@pytest.mark.proof(gate=None, soak=1)
async def test_whatever_fails_twice_one_token_is_made():
    for plan in double_faults(CALLS):
        world = BootstrapWorld()
        world.place_trigger()
        world.cluster.plan_from_now(plan)

        await world.start_until_done()

        assert_made_once(world)


def assert_made_once(world):
    (master,) = world.masters()
    content = world.content
    assert (world.trigger, master.spec.token_id) == (None, world.record["token"]["tokenID"])
    again = world.controller()._issuer.sign_master(master)
    assert content == {"token": again}


async def test_two_leaders_at_once_make_the_same_token():
    for first in range(1, CALLS):
        world = BootstrapWorld()
        world.place_trigger()
        other = world.controller()
        runs = []

        def cut_in(other=other, runs=runs):
            # The other leader runs to its end between two calls of this one.
            coroutine = other.run()
            try:
                while True:
                    coroutine.send(None)
            except StopIteration:
                runs.append("done")

        world.cluster.hooks[first] = cut_in
        try:
            await world.controller().run()
        except ConflictError:
            await world.controller().run()

        assert len(world.masters()) == 1
        assert len(world.content) == 1
