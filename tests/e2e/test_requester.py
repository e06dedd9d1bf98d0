"""The requester of a pairing token, in the mode that the cluster permits: Policy, or ServiceAccount before 1.36.

`make e2e-kind KUBERNETES=1.32` and `=1.34` run all end-to-end tests with `requester: ServiceAccount`, and so does
`make e2e ARGS="--requester ServiceAccount"` on a node of our own.
"""

import json

import pytest

from tests.chart.helms import CHART, HelmError
from tests.e2e.clusters import Cluster
from tests.e2e.inside import pairing_tokens, redeeming
from tests.e2e.releases import FIRST_WITH_POLICY, Release
from tests.e2e.test_story import NAMESPACE, assert_each_was_redeemed_once
from tests.harness.objects import read_token

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def subjects(tokens: dict[str, dict[str, str]]) -> set[str]:
    return {read_token(data["token"]).claims["sub"] for data in tokens.values()}


def expected(cluster: Cluster, release: Release, account: str) -> str:
    if release.requester == "ServiceAccount":
        return f"system:serviceaccount:{NAMESPACE}:{account}"
    return str(json.loads(cluster.kubectl("auth", "whoami", "--output=json"))["status"]["userInfo"]["username"])


@pytest.mark.parametrize("account", ["default", "edge"])
def test_a_token_names_its_requester_and_is_redeemed(cluster: Cluster, release: Release, account: str) -> None:
    tokens = pairing_tokens(cluster, NAMESPACE, 2, serviceAccountName=account)

    assert subjects(tokens) == {expected(cluster, release, account)}
    assert_each_was_redeemed_once(cluster, set(tokens), redeeming(release, NAMESPACE, tokens).output())


def test_the_chart_permits_policy_from_kubernetes_1_36_on(cluster: Cluster, release: Release) -> None:
    where = (release.name, str(CHART), "--namespace", release.namespace, "--values", "-", "--dry-run=server")

    def upgrade(requester: str) -> str:
        return release.helm.run("upgrade", *where, stdin=json.dumps({"requester": requester}))

    assert "--requester=ServiceAccount" in upgrade("ServiceAccount")
    if cluster.minor_version() >= FIRST_WITH_POLICY:
        assert "kind: MutatingAdmissionPolicy" in upgrade("Policy")
    else:
        with pytest.raises(HelmError, match=r"1\.36"):
            upgrade("Policy")
