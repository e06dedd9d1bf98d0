"""S4: before anything is minted in its name, `requestedBy` is proved to be protected; only two answers count."""

import pytest

from tallystick.objects.ports import ConflictError, RefusedError, UnavailableError
from tallystick.pairing.domain.requester import GUARD_REFUSES_FORGED, RequesterMode
from tallystick.pairing.services.requester_probe import FORGED, RequesterProbe
from tests.worlds.reviews import ReviewingCluster

CONTROLLER = "system:serviceaccount:ts:controller"


@pytest.fixture
def cluster():
    return ReviewingCluster()


def a_requester(cluster, mode=RequesterMode.POLICY):
    return RequesterProbe(cluster, mode=mode, namespace="tallystick")


@pytest.mark.parametrize(
    ("answer", "protected"),
    [
        pytest.param({"spec": {"requestedBy": CONTROLLER}}, True, id="our own name came back"),
        pytest.param(RefusedError(f"denied the request: {GUARD_REFUSES_FORGED}"), True, id="the guard's own words"),
        pytest.param({"spec": {"requestedBy": FORGED}}, False, id="the forged name came back"),
        pytest.param({"spec": {"requestedBy": "somebody"}}, False, id="another name came back"),
        pytest.param({"spec": {"requestedBy": ""}}, False, id="an empty name came back"),
        pytest.param({"spec": {}}, False, id="no name came back"),
        pytest.param(RefusedError("denied by somebody else's policy"), False, id="another policy refused"),
        pytest.param(RefusedError("pairingtokens is forbidden: no RBAC"), False, id="RBAC refused"),
        pytest.param(UnavailableError(GUARD_REFUSES_FORGED), False, id="no answer"),
        pytest.param(ConflictError("modified"), False, id="an answer that makes no sense"),
    ],
)
async def test_s4_the_requester_is_protected_only_if(cluster, answer, protected):
    cluster.probe = answer
    requester = a_requester(cluster)

    assert await requester.probe() is protected
    assert requester.protected is protected


async def test_s4_nothing_is_trusted_before_the_first_probe(cluster):
    assert a_requester(cluster).protected is False


async def test_s4_protection_that_was_lost_is_noticed(cluster):
    requester = a_requester(cluster)
    cluster.probe = RefusedError(GUARD_REFUSES_FORGED)
    await requester.probe()

    cluster.probe = {"spec": {"requestedBy": FORGED}}

    assert await requester.probe() is False


@pytest.mark.parametrize("silence", [UnavailableError("down"), RefusedError("pairingtokens is forbidden: no RBAC")])
async def test_s4_while_an_api_server_starts_again_nothing_is_known_and_nothing_is_said(cluster, silence):
    requester = a_requester(cluster)
    cluster.probe = silence

    seen = [(await requester.probe(), requester.may_be_an_outage) for _ in range(4)]

    # It is protected at no time; but only what lasts is worth a word.
    assert seen == [(False, True), (False, True), (False, False), (False, False)]


async def test_s4_a_policy_that_is_missing_is_no_outage(cluster):
    requester = a_requester(cluster)
    cluster.probe = UnavailableError("down")
    await requester.probe()

    cluster.probe = {"spec": {"requestedBy": FORGED}}
    await requester.probe()

    assert requester.may_be_an_outage is False


async def test_s4_an_own_name_that_cannot_be_learnt_proves_nothing(cluster):
    cluster.probe = {"spec": {"requestedBy": CONTROLLER}}
    cluster.fail_next("create", "selfsubjectreviews", UnavailableError("down"))

    assert await a_requester(cluster).probe() is False


async def test_s4_in_service_account_mode_there_is_nothing_to_protect_and_nothing_to_ask(cluster):
    requester = a_requester(cluster, RequesterMode.SERVICE_ACCOUNT)

    assert (requester.protected, await requester.probe()) == (True, True)
    assert cluster.calls == []


async def test_s4_the_probe_is_a_forged_device_project_token_that_is_never_stored(cluster):
    asked = []

    async def create(resource, body, *, dry_run=False):
        asked.append((resource.kind, body, dry_run))
        raise RefusedError(GUARD_REFUSES_FORGED)

    cluster.create = create

    await a_requester(cluster).probe()

    ((kind, body, dry_run),) = asked
    assert (kind, dry_run, body["metadata"]["namespace"]) == ("PairingToken", True, "tallystick")
    assert body["spec"] == {"purpose": "DeviceProject", "projectKey": "probe", "requestedBy": FORGED}
