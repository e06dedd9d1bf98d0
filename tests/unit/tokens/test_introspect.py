"""Introspection: by the objects, read fresh; all that is not active looks the same (S7, S8, S16, RFC 7662)."""

import pytest

from tallystick.connections.api.connection_configuration import DeploymentType
from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.connections.services.token_use import TYPE_NEEDED
from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.objects.ports import UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.tokens import pairing_token_id
from tallystick.schema.times import rfc3339
from tallystick.tokens.callers import Caller
from tests.builders import ISSUER, OTHER_UID, REQUESTER, THUMBPRINT, UID, issued_status, raw_pairing_token
from tests.fakes import NOON
from tests.worlds import connected as connections
from tests.worlds import ends
from tests.worlds.connected import connected
from tests.worlds.reviews import GATEWAY, ReviewingCluster
from tests.worlds.world import NAME, NAMESPACE, World

CALLER = Caller(GATEWAY, "u1", ())
INACTIVE = {"active": False}


@pytest.fixture
def world():
    world = World()
    world.cluster = ReviewingCluster(clock=world.clock)
    return world


async def asked(world, jwt, replica=None, *, used_in=None):
    hints = {"deployment_type": used_in} if used_in is not None else {}
    return await (replica or world.replica()).introspection.introspect(jwt, CALLER, hints)


async def a_master(world, key=THUMBPRINT, **spec):
    return (await world.replica().redeem(await world.issue(**spec), key)).signed_jwt


async def test_an_active_master_token_is_described(world):
    answer = await asked(world, await a_master(world))

    assert answer == {
        "active": True,
        "token_type": "DPoP",
        "iss": ISSUER,
        "sub": REQUESTER,
        "aud": ISSUER,
        "iat": int(NOON.timestamp()),
        "exp": int(NOON.timestamp()) + 31_536_000,
        "jti": world.masters()[0].spec.token_id,
        "scope": "mission-control:admin",
        "cnf": {"jkt": THUMBPRINT},
    }


async def test_a_token_without_a_key_is_a_bearer_token(world):
    answer = await asked(world, await a_master(world, key=None))

    assert answer["token_type"] == "Bearer"
    assert "cnf" not in answer


async def test_an_active_pairing_token_is_active_until_it_is_used(world):
    jwt = await world.issue()
    before = await asked(world, jwt)

    await world.replica().redeem(jwt)

    assert (before["active"], before["jti"]) == (True, pairing_token_id(UID, 1))
    assert await asked(world, jwt) == INACTIVE


async def test_a_pairing_token_that_is_not_recorded_yet_is_not_active(world):
    jwt = await world.issue()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.pop("status"))

    assert await asked(world, jwt) == INACTIVE


@pytest.mark.parametrize(
    "end",
    [
        ends.pairing_revoked_in_spec,
        ends.pairing_revoked_by_a_holder,
        ends.pairing_going,
        ends.pairing_gone,
        ends.pairing_re_created,
        ends.master_revoked_in_spec,
        ends.master_revoked_by_a_holder,
        ends.master_going,
        ends.master_gone,
        ends.orphan,
    ],
)
async def test_s7_s8_the_controller_stopped_a_master_token_is_inactive_when(world, end):
    jwt = await a_master(world)

    end(world)

    assert await asked(world, jwt) == INACTIVE


@pytest.mark.parametrize("end", [ends.pairing_going, ends.pairing_gone, ends.pairing_re_created])
async def test_s8_a_retained_master_token_stays_active_when(world, end):
    jwt = await a_master(world, masterToken={"deletionPolicy": "Retain"})

    end(world)

    assert (await asked(world, jwt))["active"] is True


async def test_a_higher_serial_alone_ends_no_master_token(world):
    jwt = await a_master(world)

    world.edit(serial=2)
    await world.reconcile()

    assert (await asked(world, jwt))["active"] is True


async def test_a_revocation_ends_the_master_tokens_of_all_serials_before_it(world):
    jwt = await a_master(world)
    world.edit(serial=2)
    await world.reconcile()

    world.edit(revoked=True)
    await world.reconcile()
    world.edit(revoked=False, serial=3)
    await world.reconcile()

    assert await asked(world, jwt) == INACTIVE
    assert world.token().status.state == "Active"


@pytest.mark.parametrize("end", [ends.revoked_in_spec, ends.revoked_in_status, ends.going, ends.at_a_higher_serial])
async def test_s7_a_pairing_token_is_inactive_when_its_object_is(world, end):
    jwt = await world.issue()

    end(world)

    assert await asked(world, jwt) == INACTIVE


async def test_s24_tokens_of_a_re_created_object_stay_revoked(world):
    jwt = await world.issue()

    world.cluster.put(PAIRING_TOKENS, raw_pairing_token(uid=OTHER_UID, status=issued_status(uid=OTHER_UID)))

    assert await asked(world, jwt) == INACTIVE


async def test_an_expired_token_is_inactive_and_costs_no_api_call(world):
    jwt = await a_master(world, masterToken={"ttl": "1h"})
    world.clock.advance(3600)
    world.cluster.calls.clear()

    assert await asked(world, jwt) == INACTIVE
    assert world.cluster.calls == []


@pytest.mark.parametrize("garbage", ["", "a.b.c", "x" * 9000])
async def test_garbage_is_inactive_and_costs_no_api_call(world, garbage):
    assert await asked(world, garbage) == INACTIVE
    assert world.cluster.calls == []


async def test_s16_who_may_not_introspect_learns_nothing(world):
    jwt = await a_master(world)
    world.cluster.allowed = False

    assert await asked(world, jwt) == INACTIVE
    assert world.audit.decisions()[-1] == ("introspect", "refused")


@pytest.mark.parametrize("kind", ["pairingtokens", "mastertokens"])
async def test_s16_the_permission_is_that_on_the_kind_in_its_namespace(world, kind):
    jwt = await (world.issue() if kind == "pairingtokens" else a_master(world))

    await asked(world, jwt)

    attributes = world.cluster.reviews[-1]["spec"]["resourceAttributes"]
    assert (attributes["verb"], attributes["resource"], attributes["namespace"]) == ("introspect", kind, NAMESPACE)


async def test_a_revocation_is_seen_within_a_second_on_every_replica(world):
    jwt = await a_master(world)
    replicas = [world.replica() for _ in range(3)]
    for replica in replicas:
        assert (await asked(world, jwt, replica))["active"] is True

    ends.master_revoked_in_spec(world)
    world.clock.advance(1.001)

    for replica in replicas:
        assert await asked(world, jwt, replica) == INACTIVE


@pytest.mark.parametrize("plural", ["mastertokens", "pairingtokens", "subjectaccessreviews"])
async def test_what_cannot_be_known_is_never_guessed(world, plural):
    jwt = await a_master(world)
    verb = "create" if plural == "subjectaccessreviews" else "get"
    world.cluster.fail_next(verb, plural, UnavailableError("down"))

    with pytest.raises(NotYetError):
        await asked(world, jwt)


async def test_a_replica_whose_clock_is_off_does_not_judge(world):
    jwt = await a_master(world)
    replica = world.replica()
    replica.server_clock.observe(world.clock.now().replace(year=2029))

    with pytest.raises(NotYetError):
        await asked(world, jwt, replica)


async def test_a_flood_of_questions_costs_one_reading_of_each_object(world):
    jwt = await a_master(world)
    world.cluster.calls.clear()
    replica = world.replica()

    for _ in range(100):
        await asked(world, jwt, replica)

    assert len([call for call in world.cluster.calls if call.verb == "get"]) == 2


async def test_the_bootstrap_token_needs_no_pairing(world):
    jwt = await a_master(world)
    name = world.masters()[0].metadata.name
    world.cluster.edit(MASTER_TOKENS, NAMESPACE, name, drop_the_pairing)
    ends.pairing_gone(world)

    assert (await asked(world, jwt))["active"] is True


def drop_the_pairing(body):
    for member in ("pairingTokenRef", "serial", "redemptionID"):
        del body["spec"][member]


# Connection tokens.

KUBERNETES, REVERSE_PROXY = DeploymentType.KUBERNETES, DeploymentType.REVERSE_PROXY


def a_connection(world, **changes):
    return connected(world.cluster, ConnectionIssuer(world.signer, world.issuer), world.clock.now(), **changes)


@pytest.mark.parametrize("kind", [KUBERNETES, REVERSE_PROXY])
async def test_r14_a_connection_token_is_active_in_its_own_deployment_type_and_described(world, kind):
    made = a_connection(world, deploymentType=kind.value)

    answer = await asked(world, made.jwts["default"], used_in=kind)

    assert answer == {
        "active": True,
        "token_type": "Bearer",
        "iss": ISSUER,
        "sub": "connection:edge/dc-west",
        "aud": ISSUER,
        "iat": int(NOON.timestamp()),
        "jti": made.token_ids["default"],
        "scope": "protector",
        "deployment_type": kind.value,
        "connection": "edge/dc-west",
    }
    assert world.audit.decisions()[-1] == ("introspect", "active")


@pytest.mark.parametrize(("issued_for", "used_in"), [(KUBERNETES, REVERSE_PROXY), (REVERSE_PROXY, KUBERNETES)])
async def test_r39_in_another_deployment_type_it_is_inactive_and_an_event_says_so(world, issued_for, used_in):
    made = a_connection(world, deploymentType=issued_for.value)

    assert await asked(world, made.jwts["default"], used_in=used_in) == INACTIVE

    (event,) = world.events.warnings
    token_id = made.token_ids["default"]
    text = f"token {token_id} was issued for deployment type {issued_for.value} and cannot be used in {used_in.value}"
    assert event == ("ConnectionConfiguration", "edge", "dc-west", "DeploymentTypeMismatch", text)
    assert world.audit.decisions()[-1] == ("introspect", "inactive")


async def test_r39_a_caller_who_does_not_say_what_it_is_used_in_gets_an_error_that_asks_for_it(world):
    made = a_connection(world)

    with pytest.raises(ExchangeRefusedError) as refusal:
        await asked(world, made.jwts["default"])

    assert (refusal.value.code, refusal.value.description) == ("invalid_request", TYPE_NEEDED)


@pytest.mark.parametrize("used_in", [None, KUBERNETES, REVERSE_PROXY], ids=["no type", "its type", "another type"])
async def test_s16_who_may_not_introspect_a_connection_token_gets_no_hint_that_it_is_one(world, used_in):
    made = a_connection(world)
    world.cluster.allowed = False
    world.cluster.calls.clear()

    assert await asked(world, made.jwts["default"], used_in=used_in) == INACTIVE

    attributes = world.cluster.reviews[-1]["spec"]["resourceAttributes"]
    assert (attributes["verb"], attributes["resource"]) == ("introspect", "connectionconfigurations")
    assert attributes["namespace"] == "edge"
    assert world.audit.decisions()[-1] == ("introspect", "refused")
    assert [call.plural for call in world.cluster.calls] == ["subjectaccessreviews"]
    assert world.events.warnings == []


@pytest.mark.parametrize("kind", ["pairing", "master"])
@pytest.mark.parametrize("used_in", [KUBERNETES, REVERSE_PROXY])
async def test_a_token_of_another_kind_is_inactive_in_every_deployment_type(world, kind, used_in):
    jwt = await (world.issue() if kind == "pairing" else a_master(world))

    assert await asked(world, jwt, used_in=used_in) == INACTIVE
    assert (await asked(world, jwt))["active"] is True


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(connections.gone, id="gone"),
        pytest.param(connections.going, id="going"),
        pytest.param(connections.made_again, id="made anew"),
        pytest.param(lambda c: connections.record(c, "old", state="Revoked"), id="revoked in status"),
        pytest.param(lambda c: connections.order(c, tokens=[{"name": "new"}]), id="its slot was removed"),
        pytest.param(lambda c: connections.order(c, licenseExpiresAt=rfc3339(NOON)), id="the licence is over"),
        pytest.param(lambda c: connections.record(c, "old", notAfter=rfc3339(NOON)), id="the licence was over"),
    ],
)
@pytest.mark.parametrize("used_in", [KUBERNETES, REVERSE_PROXY])
async def test_s7_the_controller_stopped_a_connection_token_is_inactive_when(world, end, used_in):
    made = a_connection(world, slots=("old", "new"))

    end(world.cluster)

    assert await asked(world, made.jwts["old"], used_in=used_in) == INACTIVE
    assert world.events.warnings == []


async def test_r22_a_connection_token_is_active_after_years(world):
    made = a_connection(world)

    world.clock.advance(20 * 365 * 86_400)

    assert (await asked(world, made.jwts["default"], used_in=KUBERNETES))["active"] is True


@pytest.mark.parametrize("plural", ["connectionconfigurations", "subjectaccessreviews"])
async def test_what_cannot_be_known_of_a_connection_token_is_never_guessed(world, plural):
    made = a_connection(world)
    verb = "create" if plural == "subjectaccessreviews" else "get"
    world.cluster.fail_next(verb, plural, UnavailableError("down"))

    with pytest.raises(NotYetError):
        await asked(world, made.jwts["default"], used_in=KUBERNETES)
