"""Who asks, and may they: S16 (audience sent and demanded back, garbage costs nothing, answers kept for 10 s)."""

import base64

import pytest

from tallystick.errors import NotYetError
from tallystick.objects.ports import UnavailableError
from tallystick.tokens.callers import Caller, Callers, Permission
from tests.builders import ISSUER
from tests.fakes import FakeClock
from tests.worlds.reviews import GATEWAY, ReviewingCluster, a_bearer

CALLER = Caller(GATEWAY, "u1", ())
INTROSPECT = Permission("introspect", "mastertokens", "edge")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cluster():
    return ReviewingCluster()


@pytest.fixture
def callers(cluster, clock):
    return Callers(cluster, clock, issuer=ISSUER)


async def test_a_caller_is_who_the_review_says(callers, cluster):
    cluster.status["user"]["groups"] = ["system:serviceaccounts"]

    caller = await callers.authenticate(a_bearer())

    assert caller == Caller(GATEWAY, "u1", ("system:serviceaccounts",))


async def test_s16_the_review_is_asked_for_our_audience(callers, cluster):
    await callers.authenticate(a_bearer())

    assert cluster.reviews[0]["spec"] == {"token": a_bearer(), "audiences": [ISSUER]}


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="an empty answer"),
        pytest.param({"authenticated": False, "audiences": [ISSUER]}, id="not authenticated"),
        pytest.param({"authenticated": True}, id="no audience given back: the authenticator knows of none"),
        pytest.param({"authenticated": True, "audiences": []}, id="an empty list given back"),
        pytest.param({"authenticated": True, "audiences": ["https://kubernetes.default"]}, id="another given back"),
    ],
)
async def test_s16_no_caller_is_authenticated_by(callers, cluster, status):
    cluster.status = status

    assert await callers.authenticate(a_bearer()) is None


def not_json():
    return f"a.{base64.urlsafe_b64encode(b'{nope').decode()}.c"


@pytest.mark.parametrize(
    "bearer",
    [
        pytest.param("", id="nothing"),
        pytest.param("opaque", id="one part"),
        pytest.param("a.b", id="two parts"),
        pytest.param("a.b.c.d", id="four parts"),
        pytest.param("a.!!!.c", id="no base64"),
        pytest.param("a.\udcff.c", id="no text"),
        pytest.param(not_json(), id="no JSON"),
        pytest.param(f"a.{base64.urlsafe_b64encode(b'[]').decode()}.c", id="a list"),
        pytest.param(f"a.{base64.urlsafe_b64encode(b'7').decode()}.c", id="a number"),
        pytest.param(f"a.{base64.urlsafe_b64encode(b'[' * 5000).decode()}.c", id="deep nesting"),
        pytest.param(f"a.{base64.urlsafe_b64encode(bytes([255, 254])).decode()}.c", id="no UTF-8"),
        pytest.param(a_bearer("https://kubernetes.default.svc"), id="another audience"),
        pytest.param(a_bearer(["https://a", "https://b"]), id="other audiences"),
        pytest.param(a_bearer({"aud": ISSUER}), id="an audience that is an object"),
        pytest.param(a_bearer(None), id="no audience"),
        pytest.param(a_bearer(f"{ISSUER}/"), id="an audience that is only like ours"),
        pytest.param(a_bearer(name="x" * 9000), id="a long one"),
    ],
)
async def test_s16_garbage_costs_no_api_call(callers, cluster, bearer):
    assert await callers.authenticate(bearer) is None
    assert cluster.calls == []


async def test_s16_ten_thousand_garbage_bearers_cost_no_api_call(callers, cluster):
    for number in range(10_000):
        await callers.authenticate(f"garbage-{number}")

    assert cluster.calls == []


async def test_our_audience_may_be_one_of_many(callers):
    assert await callers.authenticate(a_bearer(["https://kubernetes.default.svc", ISSUER])) == CALLER


@pytest.mark.parametrize(("seconds", "asked"), [(0, 1), (10, 1), (10.001, 2)])
async def test_s16_a_review_is_kept_for_ten_seconds(callers, cluster, clock, seconds, asked):
    await callers.authenticate(a_bearer())

    clock.advance(seconds)
    await callers.authenticate(a_bearer())

    assert len(cluster.calls) == asked


async def test_a_no_is_kept_too(callers, cluster):
    cluster.status = {}

    await callers.authenticate(a_bearer())
    await callers.authenticate(a_bearer())

    assert len(cluster.calls) == 1


async def test_another_bearer_has_a_review_of_its_own(callers, cluster):
    await callers.authenticate(a_bearer(name="one"))
    await callers.authenticate(a_bearer(name="other"))

    assert len(cluster.calls) == 2


async def test_no_bearer_is_kept_in_memory(callers):
    await callers.authenticate(a_bearer())

    assert a_bearer() not in repr(callers._callers._found)


async def test_the_oldest_answers_go_when_there_are_many(callers, cluster):
    for number in range(4097):
        await callers.authenticate(a_bearer(name=str(number)))
    cluster.calls.clear()

    await callers.authenticate(a_bearer(name="4096"))
    await callers.authenticate(a_bearer(name="0"))

    assert len(cluster.calls) == 1


async def test_s16_the_access_review_names_verb_kind_and_namespace(callers, cluster):
    assert await callers.is_allowed(CALLER, INTROSPECT) is True

    assert cluster.reviews[0]["spec"] == {
        "user": GATEWAY,
        "uid": "u1",
        "groups": [],
        "resourceAttributes": {
            "group": "tallystick.dev",
            "resource": "mastertokens",
            "verb": "introspect",
            "namespace": "edge",
        },
    }


async def test_s16_permission_is_asked_for_each_kind_namespace_and_caller_and_kept_for_ten_seconds(
    callers, cluster, clock
):
    asked = [
        (CALLER, "mastertokens", "edge"),
        (CALLER, "pairingtokens", "edge"),
        (CALLER, "mastertokens", "plant"),
        (Caller("another", "u2", ()), "mastertokens", "edge"),
    ]
    for _ in range(2):
        for caller, plural, namespace in asked:
            await callers.is_allowed(caller, Permission("introspect", plural, namespace))
    within = len(cluster.calls)
    clock.advance(11)
    await callers.is_allowed(CALLER, INTROSPECT)

    assert (within, len(cluster.calls)) == (4, 5)


async def test_s4_groups_and_further_attributes_of_the_caller_are_passed_on(callers, cluster):
    scopes = {"scopes.authorization.openshift.io": ["user:info"]}
    cluster.status["user"] |= {"groups": ["team-a"], "extra": scopes}
    caller = await callers.authenticate(a_bearer())

    await callers.is_allowed(caller, Permission("use", "usecases", "edge", "mission-control"))

    asked = cluster.reviews[-1]["spec"]
    assert (asked["groups"], asked["extra"]) == (["team-a"], scopes)
    assert (asked["resourceAttributes"]["verb"], asked["resourceAttributes"]["name"]) == ("use", "mission-control")


async def test_s4_an_approval_is_asked_for_afresh_and_a_denial_may_be_a_second_old(callers, cluster):
    for _ in range(2):
        assert await callers.authenticate(a_bearer(), afresh=True) == CALLER
        assert await callers.is_allowed(CALLER, INTROSPECT, afresh=True)
    approved = len(cluster.calls)
    cluster.allowed, cluster.status = False, {}

    for _ in range(2):
        assert await callers.authenticate(a_bearer(), afresh=True) is None
        assert not await callers.is_allowed(CALLER, INTROSPECT, afresh=True)

    assert (approved, len(cluster.calls)) == (4, 6)


async def test_a_permission_that_is_not_given_is_none(callers, cluster):
    cluster.allowed = False

    assert await callers.is_allowed(CALLER, INTROSPECT) is False


async def test_a_silent_api_server_is_reported_as_not_yet_and_is_not_kept(callers, cluster):
    cluster.fail_next("create", "tokenreviews", UnavailableError("down"))

    with pytest.raises(NotYetError):
        await callers.authenticate(a_bearer())

    assert await callers.authenticate(a_bearer()) == CALLER
