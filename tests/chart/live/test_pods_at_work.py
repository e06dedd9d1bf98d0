"""The pods of the chart at work: their probes, `helm test`, and the permissions that they use."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from tests.chart.helms import CHART, WHEELS
from tests.chart.live.nodes import Node, Pod
from tests.chart.live.releases import Release, Running, fresh_release, tokens
from tests.harness.objects import a_pairing_token, secret_of, value_of, wait_for_state
from tests.harness.processes import poll

Json = dict[str, Any]

HOME, EDGE = "tallystick-system", "edge"


@dataclass(frozen=True, slots=True)
class AtWork:
    """A release, and its pods."""

    release: Release
    running: Running


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    folder = tmp_path_factory.mktemp("at-work")
    with fresh_release(WHEELS[0], folder) as release:
        release.install()
        release.api.create({"kind": "Namespace", "metadata": {"name": EDGE}}).must_succeed()
        with release.running() as running:
            yield AtWork(release, running)


def paired(at_work: AtWork, name: str) -> str:
    """Request a pairing token, and redeem it at the name of the Service."""
    body, api = a_pairing_token(EDGE, name), at_work.release.api
    api.create(body).must_succeed()
    wait_for_state(api, body, "Active")
    token = value_of(api.get(secret_of(body)), "token")
    return str(at_work.running.client.redeem(token).must_succeed()["access_token"])


def test_each_pod_passes_its_probes_and_does_its_job(at_work: AtWork) -> None:
    running = at_work.running

    assert paired(at_work, "first")
    for pod in (running.controller, running.exchange):
        assert pod.probe("livenessProbe")
        assert pod.probe("readinessProbe")


def test_metrics_and_probes_are_not_at_the_public_port(at_work: AtWork) -> None:
    running = at_work.running

    inside = urllib3.request("GET", f"http://127.0.0.1:{running.exchange.ports['health']}/metrics", retries=False)
    outside = [running.client.get(path).status for path in ("/metrics", "/healthz", "/readyz")]

    assert "tallystick_exchange_responses_total" in inside.data.decode()
    assert outside == [404, 404, 404]


def test_with_another_issuer_new_pods_are_not_ready_and_old_ones_serve(at_work: AtWork) -> None:
    release, old = at_work.release, at_work.running
    release.upgrade(CHART, issuer="https://other.example")
    node = Node(release.plane, release.api, release.folder)
    try:
        with node.running(HOME, "tallystick-controller") as controller:
            poll(lambda: "other.example" in controller.page("/readyz"))
            assert not controller.probe()
        with node.running(HOME, "tallystick-exchange") as exchange:
            poll(lambda: "https://other.example" in exchange.log)
            assert not exchange.probe()
        assert paired(at_work, "while-the-new-pods-wait")
        assert old.controller.probe()
        assert old.exchange.probe()
    finally:
        release.roll_back(1)


def check_pod(at_work: AtWork) -> Json:
    """Create what `helm test` creates before its pod, and return the pod."""
    rendered = at_work.release.helm.objects(flags=["--show-only", "templates/check.yaml"])
    for body in rendered:
        if body["kind"] != "Pod":
            at_work.release.api.apply(body).must_succeed()
    (pod,) = (body for body in rendered if body["kind"] == "Pod")
    return pod


def run_check(at_work: AtWork, pod: Json) -> Pod:
    """Run the pod of `helm test` until it ends."""
    release = at_work.release
    node = Node(release.plane, release.api, release.folder)
    services = {f"{release.service}:443": at_work.running.exchange.ports["https"]}
    started = node.start(HOME, "check", pod, services)
    poll(lambda: not started.child.running)
    return started


def set_ready(at_work: AtWork, ready: int) -> None:
    """Write what the controllers of a cluster with nodes would write of the Deployments."""
    for component in ("controller", "exchange"):
        where = ("deployment", f"tallystick-{component}", "--namespace", HOME)
        found = json.loads(at_work.release.api.kubectl("get", *where, "--output", "json"))
        status = {
            "replicas": ready,
            "readyReplicas": ready,
            "updatedReplicas": ready,
            "observedGeneration": found["metadata"]["generation"],
        }
        patch = json.dumps({"status": status})
        at_work.release.api.kubectl("patch", *where, "--subresource=status", "--type=merge", "--patch", patch)


def test_helm_test_passes_and_issues_no_token(at_work: AtWork) -> None:
    paired(at_work, "before-the-check")
    pod, before = check_pod(at_work), tokens(at_work.release.api, (HOME, EDGE))
    set_ready(at_work, 2)

    passed = run_check(at_work, pod)

    assert (passed.child.exit_status, "FAILED" in passed.log) == (0, False), passed.log
    assert tokens(at_work.release.api, (HOME, EDGE)) == before


def test_helm_test_fails_and_names_what_is_missing(at_work: AtWork) -> None:
    pod = check_pod(at_work)
    pod["spec"]["containers"][0]["args"][1] = "--wait=0s"
    set_ready(at_work, 1)

    failed = run_check(at_work, pod)

    assert failed.child.exit_status == 1
    assert "tallystick-exchange: 1 of 2 replicas are ready" in failed.log
