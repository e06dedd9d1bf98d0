"""Kinds, operator and tokens by a real Argo CD, with client-side and then with server-side diff.

The tests of this file follow each other on one cluster.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http import HTTPStatus

import pytest

from tallystick.crypto.keys import SigningKey
from tests.chart.live.releases import Running
from tests.gitops.argo import CRDS, OPERATOR, ROOT, TOKENS, USER, Argo, running_argo
from tests.gitops.commands import ARGO
from tests.gitops.programs import argo_programs
from tests.gitops.world import ALL_TOKENS, EDGE, add_a_bad_token, fresh_world, remove_tokens
from tests.harness.objects import read_token, value_of
from tests.harness.processes import poll

# The first one compiles Argo CD.
pytestmark = [pytest.mark.gitops, pytest.mark.timeout(5400)]

SYNCS = 50
ALL = (ROOT, CRDS, OPERATOR, TOKENS)


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Argo, Running]]:
    """Argo CD after the first sync of everything, and the pods of the operator."""
    folder = tmp_path_factory.mktemp("argo")
    with ExitStack() as stack:
        programs = argo_programs()
        world = stack.enter_context(fresh_world(folder))
        argo = stack.enter_context(running_argo(world, programs))
        argo.wait_until_served()
        argo.commit()
        world.run_commands(ARGO)
        running = stack.enter_context(world.pods())
        # The pods are ready, and nobody has said so yet: the third wave waits.
        poll(lambda: argo.state(OPERATOR)[1] == "Progressing", seconds=300.0)
        assert TOKENS not in argo.applications()
        world.report_ready()
        for name in ALL:
            argo.wait_until(name, "Synced", "Healthy")
        yield argo, running


def test_waves_follow_each_other_and_all_is_synced_and_healthy(at_work: tuple[Argo, Running]) -> None:
    argo, running = at_work
    resources = argo.applications()[TOKENS]["status"]["resources"]

    assert argo.out_of_sync() == []
    health = {one["name"]: one["health"]["status"] for one in resources if one.get("group") == "tallystick.dev"}
    assert health == dict.fromkeys(("site-a", "cams", "dc-west", "default", "jpd-1"), "Healthy")
    assert {"site-a", "cams", "dc-west"} <= set(running.issued)
    assert argo.world.read("pairingtoken", "cams", EDGE)["spec"]["requestedBy"] == USER


@pytest.mark.parametrize("diff", ["client-side", "server-side"])
def test_50_syncs_write_and_issue_nothing(at_work: tuple[Argo, Running], diff: str) -> None:
    argo, running = at_work
    if diff == "server-side":
        argo.compare_by_server()
    argo.sync(*ALL)
    tokens, versions, issued = argo.world.tokens(), argo.world.settled(), running.issued

    for _ in range(SYNCS):
        argo.sync(*ALL)

    argo.refresh()
    assert argo.out_of_sync() == []
    assert [argo.state(name) for name in ALL] == [("Synced", "Healthy")] * len(ALL)
    assert argo.world.tokens() == tokens
    assert argo.world.settled() == versions
    assert running.issued == issued


def test_all_is_synced_by_server_side_diff(at_work: tuple[Argo, Running]) -> None:
    argo, _ = at_work
    argo.compare_by_server()

    for name in ALL:
        argo.wait_until(name, "Synced", "Healthy")
    assert argo.out_of_sync() == []


def test_drift_is_corrected(at_work: tuple[Argo, Running]) -> None:
    argo, running = at_work
    issued = running.issued

    with argo.world.drift():
        pass  # its watch sees the change

    assert running.issued == issued
    argo.wait_until(TOKENS, "Synced", "Healthy")


def issuer_of(token: str) -> str:
    """The issuer of a token of the exchange."""
    return str(read_token(token).claims["iss"])


def test_an_action_revokes_a_device(at_work: tuple[Argo, Running]) -> None:
    argo, running = at_work
    secret = argo.world.api.get({"kind": "Secret", "metadata": {"name": "cams-pairing-token", "namespace": EDGE}})
    # A proof names the public URL, which is a value of the example.
    client = replace(running.client, issuer=issuer_of(value_of(secret, "token")))
    key = SigningKey.generate("ES256")
    enrolled = client.enroll(value_of(secret, "token"), key)
    assert enrolled.status == HTTPStatus.CREATED, enrolled.body
    device, copy = enrolled.body["device_id"], enrolled.body["token"]
    assert client.check_in(device, copy, key).status == HTTPStatus.NO_CONTENT

    argo.act("Device", device, "revoke")

    poll(lambda: argo.world.read("device", device, EDGE)["status"]["state"] == "Revoked")
    # A reading of the Device is used for a second.
    poll(lambda: client.check_in(device, copy, key).status == HTTPStatus.UNAUTHORIZED)
    # A device is in no file, so the Application is not out of sync.
    argo.refresh()
    argo.wait_until(TOKENS, "Synced", "Healthy")


def test_a_token_that_cannot_be_issued_is_degraded(at_work: tuple[Argo, Running]) -> None:
    argo, _ = at_work
    add_a_bad_token(argo.repository)

    argo.commit()

    argo.wait_until(TOKENS, "Synced", "Degraded")
    remove_tokens(argo.repository, "bad.yaml")
    argo.commit()
    argo.wait_until(TOKENS, "Synced", "Healthy")


def test_prune_deletes_tokens_and_keys(at_work: tuple[Argo, Running]) -> None:
    argo, _ = at_work
    remove_tokens(argo.repository, *ALL_TOKENS)

    argo.commit()

    # A project that a device depends on is deleted once it is revoked.
    poll(lambda: "1 device depends on this token; set spec.revoked: true first" in argo.answers(TOKENS), seconds=300.0)
    revoked = ("--type=merge", "--patch", '{"spec": {"revoked": true}}')
    argo.world.kubectl("patch", "pairingtoken", "cams", "--namespace", EDGE, *revoked)
    argo.world.must_be_pruned()
    argo.wait_until(TOKENS, "Synced", "Healthy")
