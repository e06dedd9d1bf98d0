"""One scenario for each kind of audit line that the product writes."""

from collections.abc import Awaitable, Callable

from tallystick.objects.ports import RefusedError
from tests.fakes import NOON, AuditLine
from tests.unit.golden.bootstrap_scenarios import BOOTSTRAP_SCENARIOS, REQUEST_SCENARIOS
from tests.unit.golden.fleet_scenarios import FLEET_SCENARIOS
from tests.unit.golden.key_scenarios import KEY_SCENARIOS
from tests.unit.golden.product import SECRETS, SigningKey, care_for_keys_twice, keep_a_certificate_for_years, written_by
from tests.unit.golden.rotation_scenarios import ROTATION_SCENARIOS
from tests.worlds import damages, ends
from tests.worlds import world as pairing
from tests.worlds.connection_world import NAMESPACE, SECRET, ConnectionWorld, slots
from tests.worlds.heartbeats import GOOD, beat
from tests.worlds.replica import Replica, a_bearer, form
from tests.worlds.world import World

INTROSPECT, REVOKE, TOKEN = "/oauth2/introspect", "/oauth2/revoke", "/oauth2/token"
WATCHER = {"Authorization": f"Bearer {a_bearer('watcher')}"}
STRANGER = {"Authorization": f"Bearer {a_bearer('stranger')}"}


async def all_lines() -> list[str]:
    """Play all scenarios, and return what the two processes write."""
    controller = [line for play in CONTROLLER for line in await play()]
    exchange = [line for play in EXCHANGE for line in await play()]
    return [*written_by("controller", controller), *written_by("exchange", exchange)]


# The controller: PairingTokens.


async def pairing_token_is_issued_healed_and_expires() -> list[AuditLine]:
    world = World()
    await world.issue()
    damages.delete(world)
    await world.reconcile()
    world.clock.advance(300)
    await world.reconcile()
    return world.audit.lines


async def pairing_token_is_revoked_in_its_spec() -> list[AuditLine]:
    world = World()
    await world.issue()
    ends.revoked_in_spec(world)
    await world.reconcile()
    return world.audit.lines[1:]


async def pairing_token_finds_a_foreign_secret() -> list[AuditLine]:
    world = World()
    world.cluster.put(SECRETS, {"metadata": {"namespace": pairing.NAMESPACE, "name": pairing.SECRET}})
    world.apply()
    await world.reconcile()
    return world.audit.lines


async def pairing_token_cannot_be_issued() -> list[AuditLine]:
    world = World()
    world.apply(useCase="unheard-of")
    await world.reconcile()
    return world.audit.lines


async def pairing_token_is_rejected_by_a_quota() -> list[AuditLine]:
    world = World()
    world.apply()
    world.cluster.refusing["create", "secrets"] = RefusedError("exceeded quota: none")
    await world.reconcile()
    return world.audit.lines


# The controller: MasterTokens.


async def master_token_is_recorded_and_expires() -> list[AuditLine]:
    world = World()
    await world.replica().redeem(await world.issue(masterToken={"ttl": "1h"}))
    world.audit.lines.clear()
    await world.reconcile_master()
    world.clock.advance(3600)
    await world.reconcile_master()
    return world.audit.lines


async def master_token_is_revoked() -> list[AuditLine]:
    world = World()
    await world.replica().redeem(await world.issue())
    world.audit.lines.clear()
    ends.master_revoked_in_spec(world)
    await world.reconcile_master()
    return world.audit.lines


# The controller: ConnectionConfigurations.


async def connection_is_issued_healed_and_its_slot_removed() -> list[AuditLine]:
    world = ConnectionWorld()
    await world.issue("blue")
    damages.delete(world)
    await world.reconcile()
    world.set_slots("green")
    await world.reconcile()
    await world.reconcile()
    return world.audit.lines


async def connection_whose_license_expires() -> list[AuditLine]:
    world = ConnectionWorld()
    await world.issue("blue", licenseExpiresAt=f"{NOON:%Y-%m-%dT13:%M:%SZ}")
    world.audit.lines.clear()
    world.clock.advance(3600)
    await world.reconcile()
    return world.audit.lines


async def connection_that_a_finalizer_holds_is_deleted() -> list[AuditLine]:
    world = ConnectionWorld()
    await world.issue("blue")
    world.audit.lines.clear()
    world.start_deleting()
    await world.reconcile()
    return world.audit.lines


async def connection_is_deleted() -> list[AuditLine]:
    world = ConnectionWorld()
    await world.issue("blue")
    await world.reconcile()
    world.audit.lines.clear()
    world.delete()
    await world.reconcile()
    return world.audit.lines


async def connection_finds_a_foreign_secret() -> list[AuditLine]:
    world = ConnectionWorld()
    world.cluster.put(SECRETS, {"metadata": {"namespace": NAMESPACE, "name": SECRET}})
    world.apply(tokens=slots("blue"))
    await world.reconcile()
    return world.audit.lines


# The exchange, by HTTP.


async def redemptions() -> list[AuditLine]:
    replica, key = Replica(), SigningKey.generate("ES256")
    async with replica.client() as client:
        token = replica.pairing_token()
        asked = form(token, client_id="https://press-1.example.com")
        await client.post(TOKEN, data=asked, headers=replica.proof(key))
        await client.post(TOKEN, data=asked)
        late = replica.pairing_token("press-2")
        replica.clock.advance(3600)
        await client.post(TOKEN, data=form(late))
        await client.post(TOKEN, data=form("a.b.c"))
        await client.post(TOKEN, data=form(token), headers={"DPoP": "a.b.c"})
        await client.post(TOKEN, data=form(replica.connection().jwts["default"]))
    return replica.audit.lines


async def redemption_of_a_revoked_token() -> list[AuditLine]:
    replica = Replica()
    async with replica.client() as client:
        token = replica.pairing_token()
        await client.post(REVOKE, data={"token": token})
        await client.post(TOKEN, data=form(token))
    return replica.audit.lines[1:]


async def introspections() -> list[AuditLine]:
    replica = Replica()
    async with replica.client() as client:
        pairing_token = replica.pairing_token()
        answer = await client.post(TOKEN, data=form(pairing_token))
        master = (await answer.json())["access_token"]
        connection = replica.connection().jwts["default"]
        replica.audit.lines.clear()
        await client.post(INTROSPECT, data={"token": master}, headers=WATCHER)
        await client.post(INTROSPECT, data={"token": pairing_token}, headers=WATCHER)
        await client.post(INTROSPECT, data={"token": master}, headers=STRANGER)
        asked = {"token": connection, "deployment_type": "Kubernetes"}
        await client.post(INTROSPECT, data=asked, headers=WATCHER)
    return replica.audit.lines


async def revocations() -> list[AuditLine]:
    replica = Replica()
    async with replica.client() as client:
        token = replica.pairing_token()
        for revoked in (token, token, "a.b.c", replica.connection().jwts["default"]):
            await client.post(REVOKE, data={"token": revoked})
    return replica.audit.lines


async def heartbeats() -> list[AuditLine]:
    replica = Replica()
    async with replica.client() as client:
        jwt = replica.connection().jwts["default"]
        await beat(client, jwt)
        await beat(client, jwt, {**GOOD, "deployment_type": "ReverseProxy"})
        await beat(client, jwt, path="/v1/connections/edge/another/heartbeat")
    return replica.audit.lines


CONTROLLER: tuple[Callable[[], Awaitable[list[AuditLine]]], ...] = (
    pairing_token_is_issued_healed_and_expires,
    pairing_token_is_revoked_in_its_spec,
    pairing_token_finds_a_foreign_secret,
    pairing_token_cannot_be_issued,
    pairing_token_is_rejected_by_a_quota,
    master_token_is_recorded_and_expires,
    master_token_is_revoked,
    connection_is_issued_healed_and_its_slot_removed,
    connection_whose_license_expires,
    connection_that_a_finalizer_holds_is_deleted,
    connection_is_deleted,
    connection_finds_a_foreign_secret,
    care_for_keys_twice,
    keep_a_certificate_for_years,
    *BOOTSTRAP_SCENARIOS,
    *KEY_SCENARIOS,
    *ROTATION_SCENARIOS,
)
EXCHANGE: tuple[Callable[[], Awaitable[list[AuditLine]]], ...] = (
    redemptions,
    redemption_of_a_revoked_token,
    introspections,
    revocations,
    heartbeats,
    *REQUEST_SCENARIOS,
    *FLEET_SCENARIOS,
)
