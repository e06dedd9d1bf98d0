"""POST /oauth2/token: what is answered, in which words, and what it leaves behind."""

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.crypto.tokens import verify
from tallystick.objects.ports import RefusedError, UnavailableError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.tokens import MASTER
from tests.worlds.replica import ACCESS_TOKEN_TYPE, ISSUER, Replica, form

TOKEN = "/oauth2/token"
TOKEN_ID = "tokenID"


async def test_a_pairing_token_is_exchanged_for_a_master_token():
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed, client_id="https://mc.example.net"))
        body = await answer.json()

    assert answer.status == 200
    verified = verify(
        body.pop("access_token"), replica.keyring(), profile=MASTER, issuer=ISSUER, now=replica.clock.now()
    )
    assert verified.subject == "system:serviceaccount:edge:default"
    assert body == {
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "token_type": "Bearer",
        "expires_in": 31_536_000,
        "scope": "mission-control:admin",
        "token_id": verified.token_id,
    }
    assert replica.status_of()["state"] == "Used"
    assert [token["spec"]["clientID"] for token in replica.master_tokens()] == ["https://mc.example.net"]
    assert replica.counted("token", "ok") == 1


async def test_a_second_use_is_refused():
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        await client.post(TOKEN, data=form(signed))
        answer = await client.post(TOKEN, data=form(signed))
        body = await answer.json()

    assert answer.status == 400
    assert body == {
        "error": "invalid_request",
        "error_description": f"pairing token {replica.status_of()[TOKEN_ID]} has already been used",
    }
    assert len(replica.master_tokens()) == 1
    assert replica.events.reasons() == ["ReplayDetected"]
    assert replica.counted("token", "replay") == 1


async def test_an_expired_token_is_refused_with_its_time():
    replica = Replica()
    signed = replica.pairing_token()
    replica.clock.advance(300)

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed))
        body = await answer.json()

    assert answer.status == 400
    assert body == {
        "error": "invalid_request",
        "error_description": f"pairing token {replica.status_of()[TOKEN_ID]} expired at 2030-01-01T12:05:00Z",
    }


async def test_a_token_whose_spec_says_revoked_is_refused():
    replica = Replica()
    signed = replica.pairing_token()
    replica.cluster.edit(PAIRING_TOKENS, "edge", "press-1", lambda body: body["spec"].update(revoked=True))

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed))
        body = await answer.json()

    assert answer.status == 400
    assert body["error_description"] == f"pairing token {replica.status_of()[TOKEN_ID]} has been revoked"


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        pytest.param(
            {"grant_type": "client_credentials"},
            "unsupported_grant_type",
            "only token-exchange is supported",
            id="another grant",
        ),
        pytest.param({"grant_type": None}, "invalid_request", "grant_type is missing", id="no grant"),
        pytest.param({"grant_type": ""}, "invalid_request", "grant_type is missing", id="an empty grant"),
        pytest.param({"subject_token": None}, "invalid_request", "subject_token is missing", id="no token"),
        pytest.param(
            {"subject_token": "a.b.c"},
            "invalid_request",
            "subject_token is not a valid pairing token",
            id="no token of ours",
        ),
        pytest.param(
            {"subject_token": "\N{SNOWMAN}" * 100},
            "invalid_request",
            "subject_token is not a valid pairing token",
            id="no token at all",
        ),
        pytest.param(
            {"subject_token_type": ACCESS_TOKEN_TYPE},
            "invalid_request",
            "subject_token_type must be urn:ietf:params:oauth:token-type:jwt",
            id="another kind of token",
        ),
        pytest.param(
            {"requested_token_type": "urn:ietf:params:oauth:token-type:jwt"},
            "invalid_request",
            f"requested_token_type must be {ACCESS_TOKEN_TYPE}",
            id="another kind of answer",
        ),
        pytest.param(
            {"actor_token": "a.b.c"},
            "invalid_request",
            "actor_token and actor_token_type are not supported; remove them",
            id="an actor",
        ),
        pytest.param(
            {"client_id": "a\nb"},
            "invalid_request",
            "client_id must be at most 1024 printable ASCII characters",
            id="a client_id with a newline",
        ),
        pytest.param(
            {"client_id": "x" * 1025},
            "invalid_request",
            "client_id must be at most 1024 printable ASCII characters",
            id="a long client_id",
        ),
        pytest.param(
            {"scope": 'mission-control:admin "'},
            "invalid_scope",
            "scope must have at most 2063 characters: scopes separated by spaces (RFC 6749 3.3)",
            id="no scope",
        ),
        pytest.param(
            {"scope": "mission-control:admin root"},
            "invalid_scope",
            'scope "mission-control:admin root" is not part of use case mission-control',
            id="a wider scope",
        ),
        pytest.param(
            {"audience": "https://elsewhere.example"},
            "invalid_target",
            "the requested audience is not part of use case mission-control",
            id="another audience",
        ),
        pytest.param(
            {"client_id": ISSUER},
            "invalid_target",
            f"pairing tokens link different topologies; use the JoinKey inside {ISSUER}",
            id="the same topology",
        ),
    ],
)
async def test_a_request_is_refused_and_the_token_not_used_for(changes, error, description):
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed, **changes))
        body = await answer.json()

    assert answer.status == 400
    assert body == {"error": error, "error_description": description}
    assert replica.status_of()["state"] == "Active"
    assert replica.counted("token", error) == 1


async def test_a_scope_that_is_said_many_times_is_recorded_once():
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed, scope=" ".join(["mission-control:admin"] * 40)))

    assert answer.status == 200
    assert replica.status_of()["redemption"]["scope"] == ["mission-control:admin"]


async def test_audience_and_resource_may_repeat():
    replica = Replica()
    parameters = [*form(replica.pairing_token()).items(), ("audience", ISSUER), ("audience", ISSUER)]

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=[*parameters, ("resource", ISSUER)])

    assert answer.status == 200


async def test_with_a_key_a_retry_gets_the_same_master_token_byte_for_byte():
    replica, key = Replica(), SigningKey.generate("ES256")
    signed = replica.pairing_token()

    async with replica.client() as client:
        first = await (await client.post(TOKEN, data=form(signed), headers=replica.proof(key))).json()
        replica.clock.advance(2)
        second = await (await client.post(TOKEN, data=form(signed), headers=replica.proof(key))).json()

    assert first["token_type"] == "DPoP"
    assert second["access_token"] == first["access_token"]
    assert second["expires_in"] == first["expires_in"] - 2
    assert len(replica.master_tokens()) == 1


async def test_another_key_is_refused_a_used_token():
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        await client.post(TOKEN, data=form(signed), headers=replica.proof(SigningKey.generate("ES256")))
        answer = await client.post(TOKEN, data=form(signed), headers=replica.proof(SigningKey.generate("ES256")))
        body = await answer.json()

    assert answer.status == 400
    assert body["error_description"].endswith("has already been used")


async def test_a_proof_for_another_address_is_refused_whatever_the_host_header_says():
    replica = Replica()
    signed, proof = (
        replica.pairing_token(),
        replica.proof(SigningKey.generate("ES256"), url=f"https://evil.example{TOKEN}"),
    )

    async with replica.client() as client:
        headers = {**proof, "Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        answer = await client.post(TOKEN, data=form(signed), headers=headers)
        body = await answer.json()

    assert answer.status == 400
    assert body == {"error": "invalid_dpop_proof", "error_description": "the DPoP proof is not valid"}
    assert replica.status_of()["state"] == "Active"
    assert replica.audit.lines[-1].facts["reason"] == "ProofRequest"


async def test_two_proofs_are_refused():
    replica, key = Replica(), SigningKey.generate("ES256")
    signed = replica.pairing_token()

    async with replica.client() as client:
        headers = [("DPoP", replica.proof(key)["DPoP"]), ("DPoP", replica.proof(key)["DPoP"])]
        answer = await client.post(TOKEN, data=form(signed), headers=headers)
        body = await answer.json()

    assert body["error"] == "invalid_dpop_proof"
    assert replica.status_of()["state"] == "Active"


async def test_an_api_server_that_does_not_answer_means_ask_again():
    replica = Replica()
    signed = replica.pairing_token()
    replica.cluster.fail_next("get", "pairingtokens", UnavailableError("no answer", retry_after=3.0))

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed))
        body = await answer.json()

    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert body["error"] == "temporarily_unavailable"


async def test_an_api_server_that_forbids_us_to_read_means_ask_again_and_names_nothing():
    replica = Replica()
    signed = replica.pairing_token()
    replica.cluster.fail_next("get", "pairingtokens", RefusedError("User system:x cannot get resource y"))

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed))
        text = await answer.text()

    assert answer.status == 503
    assert "system:x" not in text


async def test_a_clock_that_is_off_is_said_so():
    replica = Replica()
    signed = replica.pairing_token()
    replica.server_clock.observe(replica.clock.now().replace(minute=2))

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed))
        body = await answer.json()

    assert (answer.status, body["error"], answer.headers["Retry-After"]) == (503, "clock_unsafe", "30")
    assert replica.status_of()["state"] == "Active"


async def test_a_fault_of_ours_is_a_500_without_details(caplog):
    replica = Replica()
    signed = replica.pairing_token()
    replica.cluster.fail_next("get", "pairingtokens", KeyError(signed))

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed))
        body = await answer.json()

    assert answer.status == 500
    assert body == {
        "error": "server_error",
        "error_description": "the request failed because of an internal error of the exchange",
    }
    assert signed not in caplog.text


# Connection tokens.


@pytest.mark.parametrize(
    ("used_in", "error", "description"),
    [
        pytest.param(
            None,
            "invalid_request",
            "subject_token is a connection token, which cannot be exchanged; send it in heartbeats instead",
            id="said of no type",
        ),
        pytest.param(
            "Kubernetes",
            "invalid_request",
            "subject_token is a connection token, which cannot be exchanged; send it in heartbeats instead",
            id="in its own type",
        ),
        pytest.param(
            "ReverseProxy",
            "invalid_target",
            "token {} was issued for deployment type Kubernetes and cannot be used in ReverseProxy",
            id="in another type",
        ),
        pytest.param(
            "Docker", "invalid_request", "deployment_type must be Kubernetes or ReverseProxy", id="in an unknown type"
        ),
    ],
)
async def test_a_connection_token_is_not_exchanged(used_in, error, description):
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(made.jwts["default"], deployment_type=used_in))
        body = await answer.json()

    assert answer.status == 400
    assert body == {"error": error, "error_description": description.format(made.token_ids["default"])}
    assert replica.master_tokens() == []
    assert replica.counted("token", error) == 1
    assert replica.events.reasons() == (["DeploymentTypeMismatch"] if error == "invalid_target" else [])


async def test_a_forged_connection_token_gets_the_answer_of_garbage():
    replica = Replica()
    header, payload, _ = replica.connection().jwts["default"].split(".")

    async with replica.client() as client:
        forged = f"{header}.{payload}.{'A' * 86}"
        answer = await client.post(TOKEN, data=form(forged, deployment_type="ReverseProxy"))
        body = await answer.json()

    assert body == {"error": "invalid_request", "error_description": "subject_token is not a valid pairing token"}
    assert replica.events.warnings == []


async def test_what_a_pairing_token_is_used_in_is_not_looked_at():
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(signed, deployment_type="ReverseProxy"))

    assert answer.status == 200


async def test_a_connection_token_whose_object_cannot_be_read_means_ask_again():
    replica = Replica()
    made = replica.connection()
    replica.cluster.fail_next("get", "connectionconfigurations", UnavailableError("no answer", retry_after=3.0))

    async with replica.client() as client:
        answer = await client.post(TOKEN, data=form(made.jwts["default"], deployment_type="ReverseProxy"))

    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
