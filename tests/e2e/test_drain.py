"""What needs more than one node: a drain under load. On a node of our own these tests are not collected."""

import json

import pytest

from tests.e2e.clusters import Cluster
from tests.e2e.inside import pairing_tokens, redeeming
from tests.e2e.releases import Release
from tests.e2e.test_story import NAMESPACE, assert_each_was_redeemed_once
from tests.harness.processes import poll

pytestmark = [pytest.mark.e2e, pytest.mark.several_nodes, pytest.mark.timeout(900)]


def workers(cluster: Cluster) -> list[str]:
    nodes = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"]
    return [node["metadata"]["name"] for node in nodes if not node["spec"].get("taints")]


def test_replicas_are_spread_over_the_nodes(cluster: Cluster, release: Release) -> None:
    assert len(workers(cluster)) == 2

    for component in ("controller", "exchange"):
        assert {pod["spec"]["nodeName"] for pod in release.pods(component)} == set(workers(cluster))


def test_a_node_is_drained_and_no_redemption_is_lost_or_doubled(
    cluster: Cluster, release: Release, redemptions: int
) -> None:
    tokens = pairing_tokens(cluster, NAMESPACE, redemptions)
    # The scheduler would put the Pod of the load on either node, so the other one is drained.
    inside = redeeming(release, NAMESPACE, tokens, pause=0.5)
    poll(lambda: inside.node)
    (node,) = set(workers(cluster)) - {inside.node}

    try:
        cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=170s")
        release.wait_until_available()
        assert_each_was_redeemed_once(cluster, set(tokens), inside.output(600))
    finally:
        cluster.kubectl("uncordon", node)
