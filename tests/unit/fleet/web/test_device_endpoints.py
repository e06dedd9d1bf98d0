"""The two endpoints of devices: statuses, headers, bodies and problems, exactly."""

import json

import pytest

from tallystick.exchange.limits import FailureLimits
from tallystick.fleet.api.device import DEVICES
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.worlds.fleet_http import FleetHttp, post_check_in, post_enrollment, problem_of
from tests.worlds.fleet_world import NAMESPACE, TOKEN, Agent
from tests.worlds.replica import a_bearer, form

DPOP_CHALLENGE = 'DPoP error="invalid_token", algs="ES256"'


@pytest.fixture
def fleet() -> FleetHttp:
    fleet = FleetHttp()
    fleet.project()
    return fleet


async def test_an_enrollment_is_201_and_then_200_with_the_same_body(fleet):
    agent = Agent(fleet)
    async with fleet.client() as client:
        first = await post_enrollment(client, agent, fleet.value(), body=b'{"name": "cam-17", "later": 1}')
        again = await post_enrollment(client, agent, fleet.value())
        body, repeated = await first.json(), await again.json()

    assert (first.status, again.status) == (201, 200)
    assert body == repeated
    assert body == {
        "device_id": agent.name,
        "project": "edge/fleet01",
        "generation": 1,
        "token_id": body["token_id"],
        "token": agent.proved,
        "token_type": "DPoP",
        "check_in_uri": f"https://trust.example.com/v1/devices/{agent.name}/check-in",
        "check_in_seconds": 15,
    }
    assert first.headers["Cache-Control"] == "no-store"
    assert [body["spec"]["displayName"] for body in fleet.cluster.all(DEVICES)] == ["cam-17"]
    assert fleet.http.counted("enroll", "ok") == 2


async def test_a_check_in_is_204_until_a_rotation_brings_200_and_its_proof_is_204(fleet):
    agent = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        idle = await post_check_in(client, agent)
        fleet.rotate()
        fleet.clock.advance(2)
        handed_out = await post_check_in(client, agent)
        body = await handed_out.json()
        offered = agent.upcoming
        proved = await post_check_in(client, agent)

    assert (idle.status, handed_out.status, proved.status) == (204, 200, 204)
    assert all(13 <= int(answer.headers["Retry-After"]) <= 17 for answer in (idle, handed_out, proved))
    assert body == {
        "generation": 2,
        "token_id": body["token_id"],
        "token": offered,
        "token_type": "DPoP",
        "rotation": "rot-1",
        "prove_before": "2030-01-01T12:05:02Z",
    }
    assert fleet.device(agent.name).proved == 2


async def test_a_device_without_a_key_uses_the_scheme_bearer(fleet):
    fleet.edit_spec(proofOfPossession="Optional")
    agent = Agent(fleet, has_key=False)
    async with fleet.client() as client:
        enrolled = await (await post_enrollment(client, agent, fleet.value())).json()
        checked_in = await post_check_in(client, agent)

    assert enrolled["token_type"] == "Bearer"
    assert checked_in.status == 204


async def test_a_failure_is_recorded_and_one_of_a_wrong_form_is_400(fleet):
    agent = Agent(fleet)
    wrong = [
        {"failed": 7},
        {"failed": {"generation": "2", "reason": "DiskFull"}},
        {"failed": {"generation": 0, "reason": "DiskFull"}},
        {"failed": {"generation": 2, "reason": "disk full"}},
        {"failed": {"generation": 2, "reason": "DiskFull", "message": "x" * 257}},
        {"failed": {"generation": 2, "reason": "DiskFull", "message": "a\nb"}},
        {"failed": {"generation": 2}},
    ]
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        fleet.rotate()
        old = agent.proved
        await post_check_in(client, agent, old)
        statuses = [(await post_check_in(client, agent, old, body=body)).status for body in wrong]
        good = {"failed": {"generation": 2, "reason": "DiskFull", "message": "no space left", "later": True}}
        reported = await post_check_in(client, agent, old, body=good)

    assert statuses == [400] * len(wrong)
    assert reported.status == 204
    failure = fleet.device(agent.name).failure
    assert failure is not None
    assert (failure.reason, failure.message) == ("DiskFull", "no space left")


@pytest.mark.parametrize("name", [7, "", "x" * 64, "a\nb", "\u202ecam", ["cam"]])
async def test_a_name_that_people_cannot_read_is_400(fleet, name):
    async with fleet.client() as client:
        body = json.dumps({"name": name}).encode()
        answer = await post_enrollment(client, Agent(fleet), fleet.value(), body=body)

        assert await problem_of(answer) == (
            400,
            "urn:problem:invalid-request",
            "Bad Request",
            "name must have 1 to 63 printable characters",
        )


# Problems of an enrollment.


async def test_each_refused_enrollment_is_a_problem(fleet):
    fleet.edit_spec(maxDevices=1)
    known, value = Agent(fleet), fleet.value()
    async with fleet.client() as client:
        keyless = await problem_of(await post_enrollment(client, Agent(fleet, has_key=False), value))
        broken = await problem_of(await post_enrollment(client, Agent(fleet), value, DPoP="garbage"))
        await post_enrollment(client, known, value)
        full = await problem_of(await post_enrollment(client, Agent(fleet), value))
        fleet.clock.advance(2)
        fleet.edit_spec(enrolment="Closed")
        closed = await problem_of(await post_enrollment(client, Agent(fleet), value))
        fleet.edit_device(known.name, lambda body: body["spec"].update(revoked=True))
        revoked = await problem_of(await post_enrollment(client, known, value))

    token = "PairingToken edge/cams"
    key_needed = f"{token} takes devices with a key of their own only: send a DPoP proof"
    no_key = f"device {known.name} has been revoked; delete it to let its key enroll again"
    assert keyless == (400, "urn:problem:dpop-required", "A key is required", key_needed)
    assert broken == (
        400,
        "urn:problem:invalid-dpop-proof",
        "The DPoP proof is not valid",
        "the DPoP proof is not valid",
    )
    assert full == (
        403,
        "urn:problem:device-limit",
        "The PairingToken allows no more devices",
        f"{token} allows 1 devices",
    )
    assert closed == (
        403,
        "urn:problem:enrolment-closed",
        "Enrollment is closed",
        f"{token} takes no new devices: spec.enrolment is Closed",
    )
    assert revoked == (403, "urn:problem:device-revoked", "The device is revoked", no_key)


async def test_an_enrollment_without_a_good_value_is_401_with_a_bearer_challenge(fleet):
    async with fleet.client() as client:
        forged = await post_enrollment(client, Agent(fleet), "a.b.c")
        missing = await client.post("/v1/devices")
        problem, absent = await problem_of(forged), await problem_of(missing)

    assert problem == (
        401,
        "urn:problem:invalid-token",
        "The token is not valid",
        "the bearer token is not a valid enrollment token",
    )
    assert forged.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert absent[3] == "the device must send its enrollment token as a bearer token"
    assert missing.headers["WWW-Authenticate"] == "Bearer"
    assert fleet.cluster.calls == []


async def test_a_flood_of_enrollments_is_429_and_known_devices_are_answered(fleet):
    known = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, known, fleet.value())
        answers = [await post_enrollment(client, Agent(fleet), fleet.value()) for _ in range(40)]
        limited = [answer for answer in answers if answer.status == 429]
        checked_in = await post_check_in(client, known)
        again = await post_enrollment(client, known, fleet.value())
        problem = await problem_of(limited[0])

    assert len(limited) == 31
    assert len(fleet.devices()) == 10
    assert limited[0].headers["Retry-After"] == "1"
    assert problem[3] == "PairingToken edge/cams takes 10 new devices a second; ask again"
    assert (checked_in.status, again.status) == (204, 200)


async def test_forged_values_slow_their_address_down_and_neither_devices_nor_enrollments_with_a_value():
    fleet = FleetHttp(limits=FailureLimits(burst=3))
    fleet.project()
    agent = Agent(fleet)
    async with fleet.client() as client:
        statuses = [(await post_enrollment(client, Agent(fleet), f"a.b.{number}")).status for number in range(5)]
        enrolled = await post_enrollment(client, agent, fleet.value())
        checked_in = await post_check_in(client, agent)

    assert statuses == [401, 401, 401, 429, 429]
    assert (enrolled.status, checked_in.status) == (201, 204)


async def test_a_device_that_is_refused_often_is_not_limited_and_costs_few_reads():
    fleet = FleetHttp(limits=FailureLimits(burst=3))
    fleet.project()
    agent = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        old = agent.proved
        fleet.rotate()
        await post_check_in(client, agent)
        await post_check_in(client, agent)
        fleet.cluster.calls.clear()
        statuses = {(await post_check_in(client, agent, old)).status for _ in range(30)}

    assert statuses == {401}
    assert len(fleet.cluster.calls) <= 3


# Problems of a check-in.


async def test_a_check_in_without_a_good_copy_is_401_with_a_dpop_challenge(fleet):
    agent = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        path = f"/v1/devices/{agent.name}/check-in"
        missing = await client.post(path)
        malformed = await client.post(path, headers={"Authorization": "DPoP a b"})
        forged = await client.post(path, headers={"Authorization": "DPoP a.b.c"})
        bearer = await client.post(path, headers={"Authorization": f"Bearer {agent.proved}"})
        broken = await post_check_in(client, agent, DPoP="garbage")
        details = [(await problem_of(one))[3] for one in (missing, malformed, forged, bearer, broken)]

    assert missing.headers["WWW-Authenticate"] == 'DPoP algs="ES256"'
    assert {one.headers["WWW-Authenticate"] for one in (malformed, forged, bearer)} == {DPOP_CHALLENGE}
    assert broken.headers["WWW-Authenticate"] == 'DPoP error="invalid_dpop_proof", algs="ES256"'
    assert {one.status for one in (missing, malformed, forged, bearer, broken)} == {401}
    assert details[2:] == [
        "the token is not a valid device token",
        "the token is bound to a key: send it as Authorization: DPoP, with a proof",
        "the DPoP proof is not valid",
    ]
    assert "Date" in broken.headers  # a device without a clock takes the time from it


async def test_two_authorizations_or_two_proofs_are_refused(fleet):
    agent = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        path, request = f"/v1/devices/{agent.name}/check-in", agent.request(agent.proved)
        proof, token = ("DPoP", request.unverified_proofs[0]), ("Authorization", f"DPoP {agent.proved}")
        authorizations = await client.post(path, headers=[token, token, proof])
        proofs = await client.post(path, headers=[token, proof, proof])

    assert (authorizations.status, proofs.status) == (400, 401)


async def test_a_check_in_at_another_device_is_404_and_one_of_a_removed_device_410(fleet):
    agent, other = Agent(fleet), Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        await post_enrollment(client, other, fleet.value())
        name, agent.name = agent.name, other.name
        not_found = await problem_of(await post_check_in(client, agent))
        agent.name = name
        fleet.cluster.remove(DEVICES, NAMESPACE, name)
        removed = await problem_of(await post_check_in(client, agent))
        fleet.cluster.remove(PAIRING_TOKENS, NAMESPACE, TOKEN)
        unavailable = await post_check_in(client, agent)

    assert not_found == (
        404,
        "urn:problem:not-found",
        "Not Found",
        "the token belongs to another device than the path names",
    )
    assert removed == (
        410,
        "urn:problem:device-removed",
        "The device was removed",
        f"device {name} was removed: stop calling",
    )
    assert (unavailable.status, unavailable.headers["Retry-After"]) == (503, "1")


async def test_introspection_and_revocation_know_the_tokens_of_devices(fleet):
    agent = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        bearer = {"Authorization": f"Bearer {a_bearer('watcher')}"}
        copy = await (await client.post("/oauth2/introspect", data={"token": agent.proved}, headers=bearer)).json()
        value = await (await client.post("/oauth2/introspect", data={"token": fleet.value()}, headers=bearer)).json()
        proof = {"DPoP": agent.proof("/oauth2/revoke", agent.proved)}
        await client.post("/oauth2/revoke", data={"token": agent.proved}, headers=proof)
        ended = await (await client.post("/oauth2/introspect", data={"token": agent.proved}, headers=bearer)).json()

    assert (copy["active"], copy["token_type"], copy["project"]) == (True, "DPoP", "edge/fleet01")
    assert copy["cnf"] == {"jkt": agent.key.key_id}
    assert (value["active"], value["token_type"], value["project"]) == (True, "Bearer", "edge/fleet01")
    assert ended == {"active": False}


async def test_a_device_token_is_not_exchanged_for_a_master_token(fleet):
    agent = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        texts = [
            (await (await client.post("/oauth2/token", data=form(token))).json())["error_description"]
            for token in (agent.proved, fleet.value())
        ]

    assert texts == [
        "subject_token is a device token, which cannot be exchanged; send it in check-ins instead",
        "subject_token is an enrollment token, which cannot be exchanged; send it to /v1/devices instead",
    ]


async def test_no_log_of_decisions_holds_a_token(fleet):
    agent = Agent(fleet)
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        fleet.rotate()
        await post_check_in(client, agent)
        await post_check_in(client, agent)

    written = json.dumps([line.facts for line in fleet.audit.lines]) + json.dumps(fleet.cluster.all(DEVICES))
    assert not any(token in written for token in (*agent.copies, fleet.value()))
