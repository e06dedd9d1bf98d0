"""Kinds, operator and tokens by a real Argo CD, with client-side and then with server-side diff.

The tests of this file follow each other on one cluster.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.chart.live.releases import Running
from tests.gitops.argo import CRDS, OPERATOR, ROOT, TOKENS, USER, Argo, running_argo
from tests.gitops.programs import argo_programs
from tests.gitops.world import EDGE, HOME, PARTS, fresh_world
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
        argo.commit()
        example = argo.repository / PARTS[-1] / "argocd"
        world.kubectl("apply", "--server-side", "--kustomize", str(example / "overlay"))
        world.kubectl("apply", "--filename", str(example / "root.yaml"))
        poll(lambda: world.read("deployment", "tallystick-exchange", HOME), seconds=600.0)
        running = stack.enter_context(world.release.running())
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
    tokens, versions, issued = argo.world.tokens(), settled(argo), running.issued

    for _ in range(SYNCS):
        argo.sync(*ALL)

    argo.refresh()
    assert argo.out_of_sync() == []
    assert [argo.state(name) for name in ALL] == [("Synced", "Healthy")] * len(ALL)
    assert argo.world.tokens() == tokens
    assert settled(argo) == versions
    assert running.issued == issued


def test_all_is_synced_by_server_side_diff(at_work: tuple[Argo, Running]) -> None:
    argo, _ = at_work
    argo.compare_by_server()

    for name in ALL:
        argo.wait_until(name, "Synced", "Healthy")
    assert argo.out_of_sync() == []


def settled(argo: Argo) -> dict[str, str]:
    """The versions of all objects but site-a, whose token expires after five minutes."""
    return {name: version for name, version in argo.world.versions().items() if "site-a" not in name}


def test_drift_is_corrected(at_work: tuple[Argo, Running]) -> None:
    argo, running = at_work
    before, issued = argo.world.read("pairingtoken", "cams", EDGE), running.issued
    theirs = {"metadata": {"annotations": {"somebody": "else"}}, "spec": {"maxDevices": 60}}
    where = ("pairingtoken", "cams", "--namespace", EDGE, "--type=merge", "--field-manager=somebody")
    argo.world.kubectl("patch", *where, "--patch", json.dumps(theirs))

    poll(lambda: argo.world.read("pairingtoken", "cams", EDGE)["spec"] == before["spec"], seconds=300.0)

    after = argo.world.read("pairingtoken", "cams", EDGE)
    assert after["metadata"]["annotations"]["somebody"] == "else"
    assert after["status"]["tokenID"] == before["status"]["tokenID"]
    assert running.issued == issued
    argo.wait_until(TOKENS, "Synced", "Healthy")


def test_a_token_that_cannot_be_issued_is_degraded(at_work: tuple[Argo, Running]) -> None:
    argo, _ = at_work
    path = argo.repository / PARTS[-1] / "tokens" / "pairing.yaml"
    good = path.read_text()
    site, *_ = good.split("---")
    bad = site.replace("useCase: mission-control", "useCase: no-such-use-case").replace("site-a", "site-b")
    path.write_text(f"{good}---\n{bad}")

    argo.commit()

    argo.wait_until(TOKENS, "Synced", "Degraded")
    path.write_text(good)
    argo.commit()
    argo.wait_until(TOKENS, "Synced", "Healthy")


def test_prune_deletes_tokens_and_keys(at_work: tuple[Argo, Running]) -> None:
    argo, _ = at_work
    folder = argo.repository / PARTS[-1] / "tokens"
    for name in ("pairing.yaml", "connection.yaml", "keys.yaml"):
        (folder / name).unlink()
    (folder / "kustomization.yaml").write_text("resources: [namespace.yaml]\n")

    argo.commit()

    poll(lambda: argo.world.kubectl("get", "tally", "--namespace", EDGE, "--output", "name") == "", seconds=300.0)
    argo.wait_until(TOKENS, "Synced", "Healthy")
