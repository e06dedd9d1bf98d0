"""The addresses of pods and of the API server, as `HOST:PORT` for a Pod that connects to them."""

import ipaddress
import json
from dataclasses import dataclass

from tests.e2e.clusters import Cluster
from tests.e2e.releases import Release

# The ports of the containers.
HTTPS, HEALTH = 8443, 8081
PORTS = {"controller": (HEALTH,), "exchange": (HTTPS, HEALTH)}


def place(address: str, port: int) -> str:
    """Return an address and a port; an IPv6 address stands in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def places(release: Release, *chosen: int) -> set[str]:
    """Return the ports of all pods under each of their addresses; `chosen` limits the ports."""
    return {
        place(one["ip"], port)
        for component, ports in PORTS.items()
        for pod in release.pods(component)
        for one in pod["status"]["podIPs"]
        for port in ports
        if not chosen or port in chosen
    }


@dataclass(frozen=True, slots=True)
class ApiServer:
    """The API server under its own addresses, and under that of its Service."""

    endpoints: tuple[tuple[str, int], ...]

    @property
    def places(self) -> list[str]:
        """Each address with its port."""
        return [place(address, port) for address, port in self.endpoints]

    @property
    def cidrs(self) -> list[str]:
        """The addresses for `networkPolicies.apiServerCIDRs`."""
        return sorted({str(ipaddress.ip_network(address)) for address, _ in self.endpoints})

    @property
    def ports(self) -> list[int]:
        """The ports for `networkPolicies.apiServerPorts`."""
        return sorted({port for _, port in self.endpoints})


def api_server(cluster: Cluster) -> ApiServer:
    """Return the API server of a cluster, by Service `kubernetes` and its EndpointSlices."""
    where = ("--namespace=default", "--output=json")
    service = json.loads(cluster.kubectl("get", "service", "kubernetes", *where))["spec"]
    selector = "--selector=kubernetes.io/service-name=kubernetes"
    slices = json.loads(cluster.kubectl("get", "endpointslices", selector, *where))["items"]
    of_service = [(address, port["port"]) for address in service["clusterIPs"] for port in service["ports"]]
    own = [
        (address, port["port"])
        for found in slices
        for endpoint in found["endpoints"]
        for address in endpoint["addresses"]
        for port in found["ports"]
    ]
    return ApiServer((*of_service, *own))
