"""POST /v1/service_trust/pairing/{use-case}: who gets a pairing token, for whom, and what it leaves behind."""

import pytest

from tallystick.exchange.limits import FailureLimits
from tallystick.objects.ports import NotFoundError, RefusedError, UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.tokens import PAIRING
from tests.worlds.replica import Replica, a_bearer, form
from tests.worlds.requesting import CREATE, HOME, PATH, PRESS, USE, PolicyReplica, Requesting

PRESS_NAME = "system:serviceaccount:edge:press"
ASK, ROLE = "ask an administrator for a RoleBinding to ClusterRole", "tallystick-usecase-mission-control"
AUDIT = ("request", "refused")


@pytest.fixture
def asking() -> Requesting:
    return Requesting(PolicyReplica())


@pytest.fixture
def asking_for_accounts() -> Requesting:
    return Requesting(Replica())


def spec_of(asking):
    (body,) = asking.objects()
    return body["metadata"]["namespace"], body["spec"]


async def test_a_caller_with_both_rights_gets_the_token_that_its_object_records(asking):
    status, body = await asking.ask(PRESS)

    (stored,) = asking.objects()
    token = PairingToken.model_validate(stored)
    verified = asking.replica.signer.verify(body["pairing_token"], PAIRING, asking.clock.now())
    assert (status, asking.headers["Cache-Control"]) == (200, "no-store")
    assert body == {
        "pairing_token": asking.replica.tokens.signed_as_issued(token),
        "token_id": token.status.token_id,
        "expires_in": 300,
        "namespace": "edge",
        "name": stored["metadata"]["name"],
    }
    assert (verified.subject, verified.token_id) == (PRESS_NAME, token.status.token_id)
    assert stored["metadata"]["annotations"] == {"tallystick.dev/made-by": "exchange"}
    assert asking.replica.counted("pairing", "ok") == 1
    assert asking.replica.audit.lines[-1].outcome == "ok"


async def test_s4_the_requester_is_the_caller(asking):
    await asking.ask(PRESS, body={"ttl": "30s", "unknown": 1})

    assert spec_of(asking) == (
        "edge",
        {"purpose": "Service", "useCase": "mission-control", "requestedBy": PRESS_NAME, "ttl": "30s"},
    )


async def test_the_token_can_be_redeemed_once(asking):
    async with asking.replica.client() as client:
        _, body = await asking.ask_by(client, PRESS)
        answers = [await client.post("/oauth2/token", data=form(body["pairing_token"])) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 400]


async def test_s27_the_admin_token_asks_as_bootstrap_admin_in_the_namespace_of_the_operator(asking):
    token = asking.admin_token()

    status, body = await asking.ask(token, body={"namespace": HOME})

    verified = asking.replica.signer.verify(body["pairing_token"], PAIRING, asking.clock.now())
    assert (status, body["namespace"], verified.subject) == (200, HOME, "bootstrap:admin")
    assert asking.cluster.reviews == []


async def test_in_service_account_mode_the_subject_is_the_account_of_the_caller(asking_for_accounts):
    asking = asking_for_accounts
    _, body = await asking.ask(PRESS)
    of_press = asking.replica.signer.verify(body["pairing_token"], PAIRING, asking.clock.now()).subject
    _, body = await asking.ask(asking.admin_token())
    of_admin = asking.replica.signer.verify(body["pairing_token"], PAIRING, asking.clock.now()).subject

    assert of_press == "system:serviceaccount:edge:press"
    assert of_admin == f"system:serviceaccount:{HOME}:bootstrap-admin"


async def test_in_service_account_mode_no_token_is_issued_in_another_namespace(asking_for_accounts):
    asking = asking_for_accounts
    asking.cluster.rights |= {("press", *CREATE, "plant", ""), ("press", *USE, "plant", "mission-control")}

    status, body = await asking.ask(PRESS, body={"namespace": "plant"}, issued=False)

    assert (status, asking.objects()) == (403, [])
    assert "only a ServiceAccount of namespace plant" in body["detail"]


# Rejected.


@pytest.mark.parametrize(
    ("right", "text"),
    [
        (
            CREATE,
            f"{PRESS_NAME} cannot create pairingtokens in namespace edge; {ASK} tallystick-edit",
        ),
        (
            USE,
            f"{PRESS_NAME} cannot use usecases/mission-control in namespace edge; {ASK} {ROLE}",
        ),
    ],
)
async def test_s5_a_caller_who_lacks_a_right_gets_its_name(asking, right, text):
    asking.cluster.rights = {one for one in asking.cluster.rights if one[1:3] != right}

    status, body = await asking.ask(PRESS, issued=False)

    assert (status, body["type"], body["detail"]) == (403, "urn:problem:forbidden", text)
    assert asking.objects() == []
    assert asking.replica.audit.decisions() == [AUDIT]


async def test_s4_a_right_that_was_removed_is_gone_at_once(asking):
    async with asking.replica.client() as client:
        first, _ = await asking.ask_by(client, PRESS)
        asking.cluster.rights.clear()
        second, _ = await asking.ask_by(client, PRESS, issued=False)

    assert (first, second) == (200, 403)
    assert asking.cluster.reviews.count("tokenreviews") == 2


async def test_an_unknown_use_case_is_named_with_the_known_ones(asking):
    status, body = await asking.ask(PRESS, path=PATH.replace("control", "contrl"), issued=False)

    assert (status, body["type"], body["title"]) == (404, "urn:problem:unknown-use-case", "The use case is unknown")
    assert body["detail"] == (
        'use case "mission-contrl" is unknown to this service; known: artifactory-cold, federated-repo, mission-control'
    )


async def test_a_use_case_that_is_not_plain_is_not_repeated(asking):
    _, body = await asking.ask(PRESS, path="/v1/service_trust/pairing/%1b%5b31m", issued=False)

    assert body["detail"].startswith("this use case is unknown")


@pytest.mark.parametrize("bearer", [None, "garbage", "a.b.c", a_bearer("nobody"), a_bearer("press", "https://other")])
async def test_a_caller_who_is_not_authenticated_gets_401(asking, bearer):
    status, body = await asking.ask(bearer, issued=False)

    assert (status, body["type"]) == (401, "urn:problem:invalid-token")
    assert asking.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"ttl": "1s"}, "ttl must be a duration between 10s and 24h, such as 5m"),
        ({"ttl": "25h"}, "ttl must be a duration between 10s and 24h, such as 5m"),
        ({"ttl": 300}, "ttl must be a duration between 10s and 24h, such as 5m"),
        ({"ttl": "000000001h0000001m"}, "ttl must be a duration between 10s and 24h, such as 5m"),
        ({"namespace": "../x"}, "namespace must be the name of a namespace"),
        ({"namespace": 7}, "namespace must be the name of a namespace"),
    ],
)
async def test_a_body_that_is_wrong_is_rejected_with_its_text(asking, body, text):
    status, answer = await asking.ask(PRESS, body=body, issued=False)

    assert (status, answer["detail"], asking.objects()) == (400, text, [])


async def test_a_user_who_is_no_service_account_names_the_namespace(asking):
    asking.cluster.user = {"username": "alice", "uid": "a", "groups": []}
    asking.cluster.rights |= {("alice", *CREATE, "edge", ""), ("alice", *USE, "edge", "mission-control")}

    without, answer = await asking.ask(PRESS, issued=False)
    with_it, _ = await asking.ask(PRESS, body={"namespace": "edge"})

    assert (without, with_it, spec_of(asking)[1]["requestedBy"]) == (400, 200, "alice")
    assert answer["detail"] == "namespace is missing; only a ServiceAccount has a default, its own namespace"


@pytest.mark.parametrize("method", ["put", "delete", "get"])
async def test_s13_other_methods_are_not_supported(asking, method):
    async with asking.replica.client() as client:
        answer = await getattr(client, method)(PATH)

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_s27_the_admin_token_is_refused_for_another_namespace(asking):
    status, body = await asking.ask(asking.admin_token(), body={"namespace": "edge"}, issued=False)

    assert (status, body["detail"]) == (403, f"the admin token is valid only for namespace {HOME}")


async def end_expired(asking):
    asking.clock.advance(900)


async def end_revoked(asking):
    asking.edit_admin(revoked=True)


async def end_deleted(asking):
    (body,) = asking.cluster.all(MASTER_TOKENS)
    asking.cluster.remove(MASTER_TOKENS, HOME, body["metadata"]["name"])


@pytest.mark.parametrize("end", [end_expired, end_revoked, end_deleted])
async def test_s27_an_admin_token_that_has_ended_is_refused(asking, end):
    token = asking.admin_token()
    await end(asking)

    status, _ = await asking.ask(token, issued=False)

    assert (status, asking.objects()) == (401, [])


async def test_r100_the_admin_token_is_valid_for_899_seconds(asking):
    token = asking.admin_token()
    asking.clock.advance(899)

    assert (await asking.ask(token))[0] == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"useCase": "mission-control"},
        {"pairingTokenRef": {"name": "a", "uid": "b"}, "serial": 1, "redemptionID": "c"},
    ],
)
async def test_s27_another_master_token_is_no_admin_token(asking, changes):
    assert (await asking.ask(asking.admin_token(**changes), issued=False))[0] == 401


async def test_s27_an_admin_token_of_another_namespace_is_refused_and_costs_no_call(asking):
    token = asking.admin_token("edge")
    asking.cluster.calls.clear()

    assert (await asking.ask(token, issued=False))[0] == 401
    assert asking.cluster.calls == []


# Limits and faults.


async def test_the_61st_request_of_a_caller_within_a_minute_waits(asking):
    began = asking.clock.monotonic()
    async with asking.replica.client() as client:
        statuses = [(await asking.ask_by(client, PRESS))[0] for _ in range(60)]
        asking.clock.advance(began + 59 - asking.clock.monotonic())
        limited, body = await asking.ask_by(client, PRESS, issued=False)
        retry_after = asking.headers["Retry-After"]
        asking.clock.advance(1)
        later, _ = await asking.ask_by(client, PRESS)

    assert (set(statuses), limited, body["type"], retry_after, later) == (
        {200},
        429,
        "urn:problem:too-many-requests",
        "1",
        200,
    )


async def test_a_token_that_is_not_issued_in_5_seconds_is_503_with_the_name_of_its_object(asking):
    status, body = await asking.ask(PRESS, issued=False)

    (stored,) = asking.objects()
    assert (status, asking.headers["Retry-After"]) == (503, "5")
    assert f"PairingToken edge/{stored['metadata']['name']} is not Active after 5 seconds" in body["detail"]


async def test_a_token_of_other_claims_is_not_returned(asking):
    asking.cluster.before_next("get", PAIRING_TOKENS.plural, lambda: asking.issue_all(claimsDigest="0" * 43))

    status, body = await asking.ask(PRESS, issued=False)

    assert (status, "pairing_token" in body) == (503, False)
    assert "exchange and controller have different settings" in body["detail"]


async def test_an_object_that_another_user_replaces_is_not_answered(asking):
    def replaced():
        (body,) = asking.objects()
        asking.cluster.remove(PAIRING_TOKENS, "edge", body["metadata"]["name"])

    asking.cluster.before_next("get", PAIRING_TOKENS.plural, replaced)

    status, body = await asking.ask(PRESS, issued=False)

    assert (status, "has deleted PairingToken" in body["detail"]) == (403, True)


async def test_a_lost_response_to_the_create_is_found_by_its_name(asking):
    asking.cluster.fail_next("create", PAIRING_TOKENS.plural, UnavailableError("no answer"), applied=True)

    status, _ = await asking.ask(PRESS)

    assert (status, len(asking.objects())) == (200, 1)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnavailableError("no answer"), 503),
        (RefusedError("exceeded quota: tokens"), 403),
        (NotFoundError("namespaces edge not found"), 400),
    ],
)
async def test_a_create_that_fails_is_answered(asking, error, status):
    asking.cluster.fail_next("create", PAIRING_TOKENS.plural, error)

    assert (await asking.ask(PRESS, issued=False))[0] == status


async def test_the_holder_of_the_admin_token_is_served_whatever_else_its_address_sends():
    asking = Requesting(PolicyReplica(limits=FailureLimits(burst=2)))
    async with asking.replica.client() as client:
        guesses = [(await asking.ask_by(client, "garbage", issued=False))[0] for _ in range(4)]
        served, _ = await asking.ask_by(client, asking.admin_token())

    assert (guesses[-1], served) == (429, 200)


async def test_garbage_bearers_cost_no_api_call(asking):
    async with asking.replica.client() as client:
        for number in range(100):
            await asking.ask_by(client, f"garbage-{number}", issued=False)

    assert (asking.cluster.calls, asking.cluster.reviews) == ([], [])
