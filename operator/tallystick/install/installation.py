"""What one installation of Tallystick is called, where it stands and what it watches."""

from dataclasses import dataclass

from tallystick.domain.requester import RequesterMode
from tallystick.domain.use_cases import use_cases

DOMAIN = "tallystick.dev"
CONTROLLER = "controller"
EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True)
class Installation:
    """One release in one namespace.

    Args:
        namespace: where controller and exchange live.
        release: tells two installations in one cluster apart.
        watch_namespaces: the namespaces whose objects it serves; empty means all.
        requester: whose name a token carries (S4).
        use_cases: the names of the use cases, each of which gets a ClusterRole to bind (S5).
    """

    namespace: str = "tallystick-system"
    release: str = "tallystick"
    watch_namespaces: tuple[str, ...] = ()
    requester: RequesterMode = RequesterMode.POLICY
    use_cases: tuple[str, ...] = tuple(sorted(use_cases().rows))

    def service_account(self, name: str) -> str:
        """Give the user name of a ServiceAccount of ours, as the API server says it."""
        return f"system:serviceaccount:{self.namespace}:{name}"

    def cluster_name(self, part: str) -> str:
        """Name a cluster-scoped object so that two releases never share one: at most 190 characters (S2)."""
        return f"{part}.{self.release}.{self.namespace}.{DOMAIN}"
