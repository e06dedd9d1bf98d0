"""The permissions in the namespace of the release are needed by a release that does not serve this namespace.

A release that serves all namespaces has wider ones, which include some of them.
"""

from collections.abc import Iterator

import pytest

from tests.chart.helms import CHART, WHEELS
from tests.chart.live.permissions import take_away
from tests.chart.live.releases import Release, fresh_release
from tests.harness.objects import a_pairing_token, issued
from tests.harness.processes import poll

HOME, EDGE = "tallystick-system", "edge"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Release]:
    folder = tmp_path_factory.mktemp("at-home")
    with fresh_release(WHEELS[0], folder, values={"watchNamespaces": [EDGE]}) as fresh:
        fresh.api.create({"kind": "Namespace", "metadata": {"name": EDGE}}).must_succeed()
        fresh.install()
        take_away(fresh.api, pytestconfig.getoption("--without-permission", ""))
        trigger = {"kind": "ConfigMap", "metadata": {"name": "generate.token.json", "namespace": HOME}}
        fresh.api.create(trigger).must_succeed()
        yield fresh


def test_the_release_issues_in_the_namespace_that_it_serves(release: Release) -> None:
    with release.running() as running:
        issued(release.api, a_pairing_token(EDGE, "site-a"))
        assert running.issued == ["site-a"]


def test_an_event_reports_a_trigger_that_is_ignored(release: Release) -> None:
    with release.running():
        poll(lambda: "BootstrapTriggerIgnored" in {one["reason"] for one in release.api.find_all("Event", HOME)})


def test_the_certificate_is_replaced_for_a_further_host(release: Release) -> None:
    body = {"kind": "Secret", "metadata": {"name": "tallystick-exchange-tls", "namespace": HOME}}
    with release.running():
        before = release.api.get(body)
    urls = [f"https://{release.service}", "https://exchange.example.com"]

    release.upgrade(CHART, publicURLs=urls)
    with release.running():
        poll(lambda: release.api.get(body)["data"]["tls.crt"] != before["data"]["tls.crt"])

    # It was written in its place, and not created again.
    assert release.api.get(body)["metadata"]["uid"] == before["metadata"]["uid"]
