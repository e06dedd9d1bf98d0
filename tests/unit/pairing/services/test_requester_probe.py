"""S4: before anything is issued in its name, `requestedBy` is proved to be protected; only two answers count."""

import pytest

from tallystick.objects.ports import ConflictError, RefusedError, UnavailableError
from tallystick.pairing.domain.requester import VALIDATION_REJECTS_FORGED, RequesterMode
from tallystick.pairing.services.requester_probe import FORGED, RequesterProbe, RequesterWatch
from tests.fakes import FakeClock
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
        pytest.param(
            RefusedError(f"denied the request: {VALIDATION_REJECTS_FORGED}"), True, id="the guard's own words"
        ),
        pytest.param({"spec": {"requestedBy": FORGED}}, False, id="the forged name came back"),
        pytest.param({"spec": {"requestedBy": "somebody"}}, False, id="another name came back"),
        pytest.param({"spec": {"requestedBy": ""}}, False, id="an empty name came back"),
        pytest.param({"spec": {}}, False, id="no name came back"),
        pytest.param(RefusedError("denied by somebody else's policy"), False, id="another policy refused"),
        pytest.param(RefusedError("pairingtokens is forbidden: no RBAC"), False, id="RBAC refused"),
        pytest.param(UnavailableError(VALIDATION_REJECTS_FORGED), False, id="no answer"),
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
    cluster.probe = RefusedError(VALIDATION_REJECTS_FORGED)
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
        raise RefusedError(VALIDATION_REJECTS_FORGED)

    cluster.create = create

    await a_requester(cluster).probe()

    ((kind, body, dry_run),) = asked
    assert (kind, dry_run, body["metadata"]["namespace"]) == ("PairingToken", True, "tallystick")
    assert body["spec"] == {"purpose": "DeviceProject", "projectKey": "probe", "requestedBy": FORGED}


class Watched:
    """A watch of the probe, and how often it has asked for another look at all objects."""

    def __init__(self, cluster):
        self.clock, self.looks = FakeClock(), 0
        self.probe = a_requester(cluster)
        self.probes = 0
        self.watch = RequesterWatch(self.probe, self.clock, self._look)
        self._ask, self.probe.probe = self.probe.probe, self._counted

    def _look(self):
        self.looks += 1

    async def _counted(self):
        self.probes += 1
        return await self._ask()

    async def run(self):
        """Run once, and return the number of probes."""
        before = self.probes
        await self.watch.run()
        return self.probes - before


async def test_s4_a_requester_that_is_protected_is_probed_once_a_minute(cluster):
    watched = Watched(cluster)
    cluster.probe = RefusedError(VALIDATION_REJECTS_FORGED)

    sent = []
    for _ in range(13):
        sent.append(await watched.run())
        watched.clock.advance(5.0)

    assert sent == [1, *[0] * 11, 1]


async def test_s4_a_requester_that_is_not_protected_is_probed_at_every_call(cluster):
    watched = Watched(cluster)
    cluster.probe = {"spec": {"requestedBy": FORGED}}

    assert [await watched.run() for _ in range(3)] == [1, 1, 1]
    assert watched.looks == 0


async def test_s4_all_objects_are_looked_at_again_once_protection_is_proved(cluster):
    watched = Watched(cluster)
    cluster.probe = {"spec": {"requestedBy": FORGED}}
    await watched.run()

    cluster.probe = RefusedError(VALIDATION_REJECTS_FORGED)
    await watched.run()
    watched.clock.advance(60.0)
    await watched.run()

    assert watched.looks == 1
