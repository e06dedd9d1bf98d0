"""The exchange under each version of IP that the cluster has: IPv4, IPv6, or both. IP_FAMILY of `make` chooses."""

import json
from urllib.parse import urlsplit

import pytest

from tests.e2e.addresses import HTTPS, place, places
from tests.e2e.clusters import IP_FAMILIES, Cluster, chosen_family, versions_of
from tests.e2e.inside import pairing_tokens, reached, redeeming
from tests.e2e.releases import Release
from tests.e2e.test_story import COMPONENTS, NAMESPACE, assert_each_was_redeemed_once

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

VERSIONS = IP_FAMILIES[chosen_family()]


@pytest.fixture(scope="module")
def addresses(cluster: Cluster, release: Release) -> dict[int, str]:
    """The address of the Service of the exchange by version of IP."""
    release.upgrade({"exchange": {"service": {"ipFamilyPolicy": "PreferDualStack"}}})
    where = (f"{release.name}-exchange", f"--namespace={release.namespace}", "--output=json")
    found: list[str] = json.loads(cluster.kubectl("get", "service", *where))["spec"]["clusterIPs"]
    return dict(zip(versions_of(found), found, strict=True))


def test_each_pod_has_an_address_of_each_version(release: Release) -> None:
    for component in COMPONENTS:
        for pod in release.pods(component):
            found = [one["ip"] for one in pod["status"]["podIPs"]]
            assert sorted(versions_of(found)) == sorted(VERSIONS)


def test_the_service_has_an_address_of_each_version(addresses: dict[int, str]) -> None:
    assert sorted(addresses) == sorted(VERSIONS)


def test_each_address_of_the_exchange_is_reached(release: Release, addresses: dict[int, str]) -> None:
    everywhere = places(release, HTTPS) | {place(address, 443) for address in addresses.values()}

    assert reached(release, NAMESPACE, everywhere) == everywhere


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_pairs_over_each_version(
    cluster: Cluster, release: Release, addresses: dict[int, str], version: int
) -> None:
    tokens = pairing_tokens(cluster, NAMESPACE, 3)
    # The name of the Service then has this address alone.
    aliases = {str(urlsplit(release.issuer).hostname): addresses[version]}

    inside = redeeming(release, NAMESPACE, tokens, aliases=aliases)

    assert_each_was_redeemed_once(cluster, set(tokens), inside.output())
