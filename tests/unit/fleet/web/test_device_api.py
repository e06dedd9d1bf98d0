"""The part of devices in the published document: it is valid, and answers are as it says."""

from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from tallystick.exchange.app import api_of
from tallystick.exchange.openapi import openapi
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.device_messages import ENROLLMENT_CODES
from tallystick.fleet.web.openapi import API, CHECK_IN_ENDPOINT, ENROLL
from tallystick.fleet.web.problems import CHECK_IN, ENROLLMENT
from tallystick.objects.ports import UnavailableError
from tallystick.registry import FEATURES
from tests.worlds.fleet_http import FleetHttp, post_check_in, post_enrollment
from tests.worlds.fleet_world import NAMESPACE, Agent

Json = dict[str, Any]

DOCUMENT = openapi(api_of([*(feature.api for feature in FEATURES if feature.api is not API), API]))


def operation(path: str) -> Json:
    return DOCUMENT["paths"][path]["post"]


def resolved(node: Json) -> Json:
    found: Any = DOCUMENT
    if "$ref" not in node:
        return node
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


async def assert_described(path: str, answer: Any) -> None:
    described = operation(path)["responses"][str(answer.status)]
    named = {name for name, header in described["headers"].items() if resolved(header).get("required")}
    assert named <= set(answer.headers), answer.status
    if "content" not in described:
        assert await answer.text() == ""
        return
    (media,) = described["content"]
    assert answer.content_type == media
    schema = described["content"][media]["schema"]
    jsonschema_rs.validate(schema, await answer.json(content_type=media))


def test_the_document_with_devices_is_openapi_3_1():
    schemathesis.openapi.from_dict(DOCUMENT).validate()


@pytest.mark.parametrize("endpoint", [ENROLL, CHECK_IN_ENDPOINT], ids=["enroll", "check in"])
def test_each_problem_of_an_endpoint_is_described_and_counted(endpoint):
    refusals = ENROLLMENT if endpoint is ENROLL else CHECK_IN
    for code, (status, title, _) in refusals.items():
        schema = operation(endpoint.path)["responses"][str(status)]["content"]["application/problem+json"]["schema"]
        members = schema["properties"]
        assert f"urn:problem:{code.replace('_', '-')}" in members["type"]["enum"]
        assert not title or title in members["title"]["enum"]
        assert code in endpoint.outcomes


def test_each_refused_enrollment_has_a_problem():
    assert set(ENROLLMENT_CODES.values()) <= set(ENROLLMENT)


async def test_answers_to_enrollments_are_as_described():
    fleet = FleetHttp()
    fleet.project(maxDevices=2)
    agent = Agent(fleet)
    async with fleet.client() as client:
        answers = [
            await post_enrollment(client, agent, fleet.value()),
            await post_enrollment(client, agent, fleet.value()),
            await post_enrollment(client, Agent(fleet, has_key=False), fleet.value()),
            await post_enrollment(client, Agent(fleet), fleet.value(), DPoP="garbage"),
            await post_enrollment(client, Agent(fleet), "a.b.c"),
            await post_enrollment(client, Agent(fleet), fleet.value(), body=b"[]"),
            await client.post("/v1/devices", data=b"{}", headers={"Authorization": f"Bearer {fleet.value()}"}),
        ]
        fleet.edit_spec(maxDevices=1)
        fleet.clock.advance(2)
        answers.append(await post_enrollment(client, Agent(fleet), fleet.value()))
        fleet.edit_spec(maxDevices=100)
        fleet.clock.advance(2)
        answers += [await post_enrollment(client, Agent(fleet), fleet.value()) for _ in range(11)]
        fleet.clock.advance(2)
        fleet.cluster.fail_next("get", "pairingtokens", UnavailableError("no answer"))
        answers.append(await post_enrollment(client, Agent(fleet), fleet.value()))
        for answer in answers:
            await assert_described("/v1/devices", answer)

    assert [answer.status for answer in answers[:8]] == [201, 200, 400, 400, 401, 400, 415, 403]
    assert {answer.status for answer in answers[8:]} == {201, 429, 503}


async def test_answers_to_check_ins_are_as_described():
    fleet = FleetHttp()
    fleet.project()
    agent, other = Agent(fleet), Agent(fleet)
    path = "/v1/devices/{id}/check-in"
    async with fleet.client() as client:
        await post_enrollment(client, agent, fleet.value())
        await post_enrollment(client, other, fleet.value())
        answers = [await post_check_in(client, agent), await post_check_in(client, agent, body=[])]
        fleet.rotate()
        fleet.clock.advance(2)
        old = agent.proved
        answers += [
            await post_check_in(client, agent),
            await post_check_in(client, agent),
            await post_check_in(client, agent, old),
            await post_check_in(client, agent, DPoP="garbage"),
        ]
        name, agent.name = agent.name, other.name
        answers.append(await post_check_in(client, agent))
        agent.name = name
        fleet.cluster.remove(DEVICES, NAMESPACE, name)
        fleet.clock.advance(2)
        answers.append(await post_check_in(client, agent))
        fleet.http.keys_known = False
        answers.append(await client.post(path.format(id=name), headers={"Authorization": "DPoP a.b.c"}))
        for answer in answers:
            await assert_described(path, answer)

    assert [answer.status for answer in answers] == [204, 400, 200, 204, 401, 401, 404, 410, 503]
