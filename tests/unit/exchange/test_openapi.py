"""The published document says what the exchange does, no less and no more."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from aiohttp import ClientResponse, web

from tallystick.connections.web.heartbeat_endpoint import REFUSALS
from tallystick.crypto.keys import SigningKey
from tallystick.exchange.app import api_of
from tallystick.exchange.limits import FailureLimits
from tallystick.exchange.openapi import openapi, openapi_text
from tallystick.exchange.responses import HTTP_ERRORS, NOT_YET_CODES
from tallystick.fleet.web.problems import CHECK_IN, ENROLLMENT
from tallystick.objects.ports import UnavailableError
from tallystick.pairing.web.pairing_endpoint import REFUSALS as REFUSED_REQUESTS
from tallystick.registry import FEATURES, TOKEN_TYPES
from tests.unit.test_house import modules
from tests.worlds.replica import Replica, a_bearer, form

Json = dict[str, Any]

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"
API = api_of(feature.api for feature in FEATURES)
DOCUMENT = openapi(API)
OPERATIONS = [
    (method, path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
# The call that refuses, and which of its arguments is the code.
REFUSING = {
    "ExchangeRefusedError": 0,
    "HeartbeatRefusedError": 0,
    "DeviceRefusedError": 0,
    "Denial": 0,
    "ErrorResponse": 1,
    "ProblemError": 1,
    "NotPermitted": 1,
}


def nodes(value: object, path: str = "#") -> Iterator[tuple[str, Json]]:
    """Walk all objects of the document, each with its place."""
    if isinstance(value, dict):
        yield path, value
        for name, child in value.items():
            yield from nodes(child, f"{path}/{name}")
    if isinstance(value, list):
        for number, child in enumerate(value):
            yield from nodes(child, f"{path}/{number}")


def resolved(node: Json) -> Json:
    """The node itself, or what it refers to."""
    found: Any = DOCUMENT
    if "$ref" not in node:
        return node
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def schema_of(method: str, path: str, status: str) -> Json:
    content = resolved(DOCUMENT["paths"][path][method]["responses"][status])["content"]
    (media,) = content.values()
    return dict(media["schema"])


def codes_in_the_code() -> set[str]:
    """Every error code that a refusal is made with, whatever it is made by."""
    found = set(NOT_YET_CODES) | set(REFUSALS) | set(REFUSED_REQUESTS) | set(ENROLLMENT) | set(CHECK_IN)
    found |= {code for code, _ in HTTP_ERRORS.values()}
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSING:
                found |= code_of(node.args[REFUSING[node.func.id]])
            if isinstance(node, ast.Dict) and ("/web/" in name or name.startswith("exchange/")):
                members = zip(node.keys, node.values, strict=True)
                found |= {
                    str(value.value)
                    for key, value in members
                    if isinstance(key, ast.Constant) and key.value == "error" and isinstance(value, ast.Constant)
                }
    return found


def code_of(argument: ast.expr) -> set[str]:
    """A literal; or a code that was made by another refusal, or looked up in one of the tables."""
    if isinstance(argument, ast.Constant):
        return {str(argument.value)}
    assert ast.unparse(argument).split(".")[-1] in {"code", "reason"}, (
        "write the code itself, so that this test sees it"
    )
    return set()


def parameters_asked_for(module: str, handler: str) -> Iterator[tuple[str, str]]:
    """How a handler asks its form for each parameter: `required`, `one`, `many` or as a hint, and the name."""
    tree: ast.AST = dict(modules())[module]
    if handler:
        (tree,) = (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name == handler)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "form"
            and node.func.attr in {"required", "one", "many"}
        ):
            yield node.func.attr, ast.literal_eval(node.args[0])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "read_hints":
            yield from (("hint", name) for token_type in TOKEN_TYPES for name in token_type.hints)


def test_the_committed_document_is_current() -> None:
    current = COMMITTED.read_text(encoding="utf-8") == openapi_text(API)

    assert current, "the API has changed: run `tallystick openapi > docs/openapi.json`"


async def test_the_document_is_served() -> None:
    replica = Replica()

    async with replica.client() as client:
        answer = await client.get("/openapi.json")
        served = await answer.text()

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert served == COMMITTED.read_text(encoding="utf-8")


def test_it_is_openapi_3_1() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


@pytest.mark.parametrize(
    "schema", [pytest.param(node["schema"], id=path) for path, node in nodes(DOCUMENT) if "schema" in node]
)
def test_every_schema_is_json_schema_2020_12(schema: Json) -> None:
    # OpenAPI 3.1 leaves schemas to their dialect, and so does its validator.
    jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def test_every_reference_leads_somewhere() -> None:
    references = [node for _, node in nodes(DOCUMENT) if "$ref" in node]

    assert references
    assert all(resolved(node) for node in references)


def test_every_shared_part_is_used_or_says_why() -> None:
    used = {node["$ref"] for _, node in nodes(DOCUMENT) if "$ref" in node}
    parts = {
        f"#/components/{kind}/{name}" for kind in ("responses", "headers") for name in DOCUMENT["components"][kind]
    }

    # No operation answers these: they are for what is no operation.
    assert parts - used == {"#/components/responses/NotFound", "#/components/responses/MethodNotAllowed"}


def test_it_describes_the_routes_that_are_served() -> None:
    app: web.Application = Replica().app
    served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}

    described = {(method.upper(), path) for method, path, _ in OPERATIONS}
    assert {(method, path) for method, path in served if method != "HEAD"} == described


def test_its_error_codes_are_those_that_the_code_can_answer() -> None:
    described = {
        code
        for _, node in nodes(DOCUMENT)
        if "error" in node.get("properties", {})
        for code in node["properties"]["error"]["enum"]
    }
    problems = {
        kind.removeprefix("urn:problem:").replace("-", "_")
        for _, node in nodes(DOCUMENT)
        if "detail" in node.get("properties", {})
        for kind in node["properties"]["type"]["enum"]
    }

    assert described | problems == codes_in_the_code()


def test_each_error_code_is_a_label_of_the_metrics() -> None:
    assert API.outcomes == codes_in_the_code() | {"ok", "replay"}


@pytest.mark.parametrize(
    ("path", "module", "handler"),
    [
        ("/oauth2/token", "pairing/web/token_endpoint.py", ""),
        ("/oauth2/introspect", "exchange/oauth_endpoints.py", "post_introspect"),
        ("/oauth2/revoke", "exchange/oauth_endpoints.py", "post_revoke"),
    ],
)
def test_the_forms_have_the_parameters_that_the_code_reads(path: str, module: str, handler: str) -> None:
    (body,) = DOCUMENT["paths"][path]["post"]["requestBody"]["content"].values()
    asked = set(parameters_asked_for(module, handler))

    assert {name for how, name in asked if how == "required"} == set(body["schema"]["required"])
    refused, passed_over = {"actor_token", "actor_token_type"}, {"token_type_hint"}
    assert {name for _, name in asked} - refused == set(body["schema"]["properties"]) - passed_over


def test_the_values_of_hints_that_are_described_are_those_that_the_types_of_tokens_define() -> None:
    defined = {name: list(values) for token_type in TOKEN_TYPES for name, values in token_type.hints.items()}

    for hints in (API.exchange_hints, API.introspection_hints):
        assert {name: schema["enum"] for name, schema in hints.items()} == defined


@pytest.mark.parametrize("key", [None, SigningKey.generate("ES256")], ids=["without a key", "with a key"])
async def test_good_answers_are_as_described(key: SigningKey | None) -> None:
    replica = Replica()
    bearer = {"Authorization": f"Bearer {a_bearer('watcher')}"}

    async with replica.client() as client:
        proof = replica.proof(key) if key else {}
        redeemed = await client.post("/oauth2/token", data=form(replica.pairing_token()), headers=proof)
        token = {"token": (await redeemed.json())["access_token"]}
        active = await client.post("/oauth2/introspect", data=token, headers=bearer)
        inactive = await client.post("/oauth2/introspect", data={"token": "none"}, headers=bearer)
        answers = {
            ("post", "/oauth2/token"): [redeemed],
            ("post", "/oauth2/introspect"): [active, inactive],
            **{("get", path): [await client.get(path)] for method, path, _ in OPERATIONS if method == "get"},
        }

        for (method, path), several in answers.items():
            for answer in several:
                body = json.loads(await answer.text())
                jsonschema_rs.validate(schema_of(method, path, "200"), body)
                assert answer.status == 200

    assert (await active.json())["active"]


HEARTBEAT = "/v1/connections/{namespace}/{name}/heartbeat"


async def test_answers_to_heartbeats_are_as_described() -> None:
    replica = Replica(limits=FailureLimits(burst=5, per_second=0.5))
    made = replica.connection()
    token, good = made.jwts["default"], {"instance_id": "press-1", "deployment_type": "Kubernetes"}
    wrong_type = {**good, "deployment_type": "ReverseProxy"}

    async with replica.client() as client:

        async def beat(name: str, body: object, bearer: str, kind: str = "application/json") -> ClientResponse:
            headers = {"Content-Type": kind, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
            data = json.dumps(body).encode()
            return await client.post(HEARTBEAT.format(namespace="edge", name=name), data=data, headers=headers)

        answers = [
            await beat("dc-west", good, token),
            await beat("dc-east", good, token),
            await beat("dc-west", wrong_type, token),
            await beat("dc-west", good, ""),
            await beat("dc-west", good, "a.b.c"),
            await beat("dc-west", [], token),
            await beat("dc-west", {**good, "note": "x" * 65_536}, token),
            await beat("dc-west", good, token, "text/plain"),
        ]
        replica.clock.advance(0.001)  # what was read just now answers no more
        replica.cluster.fail_next("get", "connectionconfigurations", KeyError("a fault of ours"))
        answers.append(await beat("dc-west", good, token))
        replica.cluster.fail_next("get", "connectionconfigurations", UnavailableError("no answer"))
        answers.append(await beat("dc-west", good, token))
        answers += [
            await beat("dc-west", [], token),
            await beat("dc-west", [], token),
            await beat("dc-west", [], token),
        ]
        bodies = [await answer.text() for answer in answers]

    assert [answer.status for answer in answers] == [204, 404, 403, 401, 401, 400, 413, 415, 500, 503, 400, 400, 429]
    for answer, body in zip(answers, bodies, strict=True):
        described = DOCUMENT["paths"][HEARTBEAT]["post"]["responses"][str(answer.status)]
        named = {name for name, header in described["headers"].items() if resolved(header).get("required")}
        assert named <= set(answer.headers), answer.status
        if answer.status == 204:
            assert ("content" in described, body) == (False, "")
            continue
        assert answer.content_type == "application/problem+json"
        jsonschema_rs.validate(schema_of("post", HEARTBEAT, str(answer.status)), json.loads(body))


def test_a_heartbeat_is_described_with_the_members_that_the_code_asks_for() -> None:
    body = DOCUMENT["paths"][HEARTBEAT]["post"]["requestBody"]["content"]["application/json"]["schema"]
    asked = {
        ast.literal_eval(node.args[0])
        for node in ast.walk(dict(modules())["connections/web/heartbeat_endpoint.py"])
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func) == "members.get"
    }

    assert asked == set(body["required"]) == set(body["properties"])


async def test_what_is_said_of_a_connection_token_is_as_described() -> None:
    replica = Replica()
    asked = {"token": replica.connection().jwts["default"], "deployment_type": "Kubernetes"}

    async with replica.client() as client:
        headers = {"Authorization": f"Bearer {a_bearer('watcher')}"}
        answer = await client.post("/oauth2/introspect", data=asked, headers=headers)
        body = json.loads(await answer.text())

    assert body["active"]
    jsonschema_rs.validate(schema_of("post", "/oauth2/introspect", "200"), body)
