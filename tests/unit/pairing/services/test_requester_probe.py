"""S4: before anything is issued in its name, `requestedBy` is proved to be protected; only two answers count."""

import pytest

from tallystick.objects.ports import ConflictError, RefusedError, UnavailableError
from tallystick.pairing.domain.requester import VALIDATION_REJECTS_FORGED, RequesterMode
from tallystick.pairing.services.admission_probes import FORGED
from tallystick.pairing.services.requester_probe import RequesterProbe, RequesterWatch
from tests.fakes import FakeClock
from tests.worlds.reviews import ReviewingCluster

CONTROLLER = "system:serviceaccount:ts:controller"
REFUSED = RefusedError(f"denied the request: {VALIDATION_REJECTS_FORGED} to {CONTROLLER}")
STAMPED = {"spec": {"requestedBy": CONTROLLER}}


@pytest.fixture
def cluster():
    return ReviewingCluster()


def a_requester(cluster, mode=RequesterMode.POLICY):
    return RequesterProbe(cluster, mode=mode, namespace="tallystick")


def protect(cluster):
    cluster.forged, cluster.unnamed = REFUSED, STAMPED


def expose(cluster):
    cluster.forged = {"spec": {"requestedBy": FORGED}}


@pytest.mark.parametrize(
    ("forged", "unnamed", "protected"),
    [
        pytest.param(REFUSED, STAMPED, True, id="a forged name is refused and an absent one comes back as our own"),
        pytest.param({"spec": {"requestedBy": FORGED}}, STAMPED, False, id="a forged name is stored"),
        pytest.param(STAMPED, STAMPED, False, id="a forged name is overwritten"),
        pytest.param({"spec": {}}, STAMPED, False, id="a forged name is dropped"),
        pytest.param(REFUSED, REFUSED, False, id="an absent name is refused"),
        pytest.param(REFUSED, {"spec": {}}, False, id="an absent name stays absent"),
        pytest.param(REFUSED, {"spec": {"requestedBy": ""}}, False, id="an absent name comes back empty"),
        pytest.param(REFUSED, {"spec": {"requestedBy": "somebody"}}, False, id="an absent name comes back as another"),
        *(
            pytest.param(*answers, False, id=f"{case}, {probe}")
            for case, refusal in (
                ("another policy refuses", RefusedError("denied by somebody else's policy")),
                ("RBAC refuses", RefusedError("pairingtokens is forbidden: no RBAC")),
                ("no answer", UnavailableError(VALIDATION_REJECTS_FORGED)),
                ("an answer that makes no sense", ConflictError("modified")),
            )
            for probe, answers in (("forged", (refusal, STAMPED)), ("unnamed", (REFUSED, refusal)))
        ),
    ],
)
async def test_s4_the_requester_is_protected_only_if(cluster, forged, unnamed, protected):
    cluster.forged, cluster.unnamed = forged, unnamed
    requester = a_requester(cluster)

    assert await requester.probe() is protected
    assert requester.protected is protected


async def test_s4_nothing_is_trusted_before_the_first_probe(cluster):
    assert a_requester(cluster).protected is False


async def test_s4_protection_that_was_lost_is_noticed(cluster):
    requester = a_requester(cluster)
    protect(cluster)
    await requester.probe()

    expose(cluster)

    assert await requester.probe() is False


@pytest.mark.parametrize("silence", [UnavailableError("down"), RefusedError("pairingtokens is forbidden: no RBAC")])
async def test_s4_while_an_api_server_starts_again_nothing_is_known_and_nothing_is_said(cluster, silence):
    requester = a_requester(cluster)
    cluster.forged = silence

    seen = [(await requester.probe(), requester.may_be_an_outage) for _ in range(4)]

    # It is protected at no time; but only what lasts is worth a word.
    assert seen == [(False, True), (False, True), (False, False), (False, False)]


async def test_s4_a_policy_that_is_missing_is_no_outage(cluster):
    requester = a_requester(cluster)
    cluster.forged = UnavailableError("down")
    await requester.probe()

    expose(cluster)
    await requester.probe()

    assert requester.may_be_an_outage is False


async def test_s4_an_own_name_that_cannot_be_learnt_proves_nothing(cluster):
    protect(cluster)
    cluster.fail_next("create", "selfsubjectreviews", UnavailableError("down"))

    assert await a_requester(cluster).probe() is False


async def test_s4_in_service_account_mode_there_is_nothing_to_protect_and_nothing_to_ask(cluster):
    requester = a_requester(cluster, RequesterMode.SERVICE_ACCOUNT)

    assert (requester.protected, await requester.probe()) == (True, True)
    assert cluster.calls == []


async def test_s4_the_probes_are_two_device_project_tokens_that_are_never_stored(cluster):
    protect(cluster)
    asked, create = [], cluster.create

    async def recorded(resource, body, *, dry_run=False):
        asked.append((resource.kind, body, dry_run))
        return await create(resource, body, dry_run=dry_run)

    cluster.create = recorded

    await a_requester(cluster).probe()

    probes = [(body, dry_run) for kind, body, dry_run in asked if kind == "PairingToken"]
    project = {"purpose": "DeviceProject", "projectKey": "probe"}
    assert [body["spec"] for body, _ in probes] == [project | {"requestedBy": FORGED}, project]
    assert all(dry_run and body["metadata"]["namespace"] == "tallystick" for body, dry_run in probes)


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
    protect(cluster)

    sent = []
    for _ in range(13):
        sent.append(await watched.run())
        watched.clock.advance(5.0)

    assert sent == [1, *[0] * 11, 1]


async def test_s4_a_requester_that_is_not_protected_is_probed_at_every_call(cluster):
    watched = Watched(cluster)
    expose(cluster)

    assert [await watched.run() for _ in range(3)] == [1, 1, 1]
    assert watched.looks == 0


async def test_s4_all_objects_are_looked_at_again_once_protection_is_proved(cluster):
    watched = Watched(cluster)
    expose(cluster)
    await watched.run()

    protect(cluster)
    await watched.run()
    watched.clock.advance(60.0)
    await watched.run()

    assert watched.looks == 1
