"""What all endpoints have in common: methods, bodies, headers, metadata, health."""

from email.utils import parsedate_to_datetime

import pytest
from prometheus_client import generate_latest

from tallystick.exchange.requests import parse_form
from tests.worlds.replica import ISSUER, Replica, form

TOKEN = "/oauth2/token"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_the_discovery_document_names_the_endpoints():
    replica = Replica()

    async with replica.client() as client:
        answer = await client.get("/.well-known/oauth-authorization-server")
        body = await answer.json()

    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert body == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/oauth2/token",
        "jwks_uri": f"{ISSUER}/.well-known/jwks.json",
        "introspection_endpoint": f"{ISSUER}/oauth2/introspect",
        "revocation_endpoint": f"{ISSUER}/oauth2/revoke",
        "response_types_supported": [],
        "grant_types_supported": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "token_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": ["ES256"],
    }


@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-authorization-server/tally", "/.well-known/oauth-authorization-server"]
)
async def test_an_issuer_with_a_path_is_discovered_where_rfc_8414_puts_it(path):
    replica = Replica(issuer=f"{ISSUER}/tally")

    async with replica.client() as client:
        body = await (await client.get(path)).json()
        keys = await client.get("/tally/.well-known/jwks.json")

    assert body["jwks_uri"] == f"{ISSUER}/tally/.well-known/jwks.json"
    assert keys.status == 200


async def test_the_public_keys_may_be_cached_for_five_minutes():
    replica = Replica()

    async with replica.client() as client:
        answer = await client.get("/.well-known/jwks.json")
        body = await answer.json(content_type="application/jwk-set+json")

    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert body == replica.keyring().jwks()
    assert all(key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in body["keys"])


async def test_keys_that_were_not_read_yet_are_a_503():
    replica = Replica(keys_known=False)

    async with replica.client() as client:
        answer = await client.get("/.well-known/jwks.json")

    assert answer.status == 503


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        pytest.param("GET", TOKEN, 405, "POST", id="GET where one must POST"),
        pytest.param("OPTIONS", TOKEN, 405, "POST", id="a browser's preflight"),
        pytest.param("DELETE", "/.well-known/jwks.json", 405, "GET,HEAD", id="DELETE where one may GET"),
        pytest.param("GET", "/nowhere", 404, None, id="an unknown path"),
        pytest.param("POST", "/", 404, None, id="the root"),
        pytest.param("GET", "/oauth2/token/../../metrics%00", 404, None, id="a path that climbs"),
    ],
)
async def test_what_is_not_served_is_refused_in_constant_words(method, path, status, allow):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.request(method, path)
        body = await answer.json()

    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert body.keys() == {"error", "error_description"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/oauth2/token"), ("POST", TOKEN), ("GET", "/nowhere"), ("PUT", TOKEN), ("POST", "/oauth2/introspect")],
)
async def test_every_answer_has_the_same_careful_headers(method, path):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.request(method, path, headers={"X-Request-ID": "mine"})

    assert "Server" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-ID"] not in ("", "mine")
    # The clock that verifies proofs, and not another one: a device without a correct clock depends on it.
    assert parsedate_to_datetime(answer.headers["Date"]) == replica.clock.now().replace(microsecond=0)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param({"Content-Type": "application/json"}, b"{}", 415, id="JSON"),
        pytest.param({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415, id="multipart"),
        pytest.param({}, b"", 415, id="nothing"),
        pytest.param({**FORM, "Content-Encoding": "gzip"}, b"\x1f\x8b", 415, id="a content encoding"),
        pytest.param(FORM, b"a" * 65_537, 413, id="one byte over 64 KiB"),
        pytest.param(FORM, b"x=" + b"a" * 65_534, 400, id="64 KiB exactly, without a grant"),
        pytest.param(FORM, b"\xff\xfe=1", 400, id="raw bytes"),
        pytest.param(FORM, b"x=%zz", 400, id="a broken escape"),
        pytest.param(FORM, b"x=%ff", 400, id="escapes that are not UTF-8"),
        pytest.param(FORM, b"grant_type", 400, id="a name without a value"),
        pytest.param(FORM, b"&".join(b"p%d=1" % n for n in range(100)), 400, id="a hundred parameters"),
        pytest.param(FORM, b"grant_type=a&grant_type=a", 400, id="a repeated parameter"),
        pytest.param(FORM, b"unknown=a&unknown=b", 400, id="a repeated parameter that is not known"),
        pytest.param({**FORM, "Expect": "magic"}, b"x=1", 417, id="an unknown expectation"),
    ],
)
async def test_a_bad_body_is_refused_with(headers, body, status):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=body, headers=headers, skip_auto_headers=["Content-Type"])
        said = await answer.json()

    assert answer.status == status
    assert said["error"] == "invalid_request"


async def test_a_body_without_a_length_is_limited_while_it_arrives():
    replica = Replica()

    async def endless():
        for _ in range(100):
            yield b"x" * 1024

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=endless(), headers=FORM)

        assert answer.status == 413


async def test_a_token_in_the_url_is_refused():
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        answer = await client.post(f"{TOKEN}?subject_token={signed}", data=form(signed))
        body = await answer.json()

    assert body["error_description"] == "parameters must be in the body, not in the URL"
    assert replica.status_of()["state"] == "Active"


async def test_a_repeated_parameter_is_named_only_if_its_name_is_plain():
    replica = Replica()

    async with replica.client() as client:
        plain = await (await client.post(TOKEN, data=b"scope=a&scope=b", headers=FORM)).json()
        odd = await (await client.post(TOKEN, data=b"%1b[2J=a&%1b[2J=b", headers=FORM)).json()

    assert plain["error_description"] == "scope occurs more than once"
    assert odd["error_description"] == "a parameter occurs more than once"


def test_a_parameter_without_a_value_counts_as_not_sent():
    read = parse_form(b"scope=&client_id=x")

    assert (read.one("scope"), read.one("client_id")) == (None, "x")


async def test_a_client_that_asks_before_sending_a_body_gets_100_continue():
    replica = Replica()

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(replica.pairing_token()), expect100=True)

        assert answer.status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_metrics_are_not_served_to_clients(path):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.get(path)

        assert (answer.status, (await answer.json())["error"]) == (404, "not_found")


async def test_metrics_count_known_paths_alone():
    replica = Replica()

    async with replica.client() as client:
        await client.get("/.well-known/jwks.json")
        await client.get("/made-up")
        await client.post(TOKEN, data={"grant_type": "x"})
    text = generate_latest(replica.health.registry).decode()

    counted = [line for line in text.splitlines() if line.startswith("tallystick_exchange_responses_total")]
    assert sorted(counted) == [
        'tallystick_exchange_responses_total{endpoint="jwks",outcome="ok"} 1.0',
        'tallystick_exchange_responses_total{endpoint="token",outcome="unsupported_grant_type"} 1.0',
    ]
