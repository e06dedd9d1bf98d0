"""Two releases of the chart in one cluster, each with namespaces of its own, and both at work."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tallystick.registry import KINDS
from tests.chart.helms import WHEELS, HelmError
from tests.chart.live.releases import Release, fresh_release
from tests.harness.objects import a_pairing_token, read_token, secret_of, value_of, wait_for_state

FIRST = {"watchNamespaces": ["mine"]}
SECOND = {"watchNamespaces": ["theirs"], "crds": {"enabled": False}, "userRoles": {"create": False}}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    folder = tmp_path_factory.mktemp("first")
    with fresh_release(WHEELS[0], folder, namespace="first-system", name="first", values=FIRST) as release:
        for namespace in ("mine", "theirs", "second-system"):
            release.api.create({"kind": "Namespace", "metadata": {"name": namespace}}).must_succeed()
        release.install()
        yield release


def test_each_release_issues_in_its_own_namespaces(first: Release, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("second")
    second = replace(first, folder=folder, namespace="second-system", name="second", values=SECOND)
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        second.install(values={"crds": {"enabled": True}})
    with pytest.raises(HelmError, match="tallystick-view"):
        second.install(values={"userRoles": {"create": True}})

    second.install()
    with first.running(), second.running():
        for release, namespace in ((first, "mine"), (second, "theirs")):
            body = a_pairing_token(namespace, "one")
            release.api.create(body).must_succeed()
            wait_for_state(release.api, body, "Active")
            token = value_of(release.api.get(secret_of(body)), "token")
            assert read_token(token).claims["iss"] == f"https://{release.service}"

    second.uninstall()
    assert first.api.kubectl("get", "clusterroles", "tallystick-view", "--output", "name")
    assert len(first.api.kubectl("get", "crds", "--output", "name").split()) == len(KINDS)
