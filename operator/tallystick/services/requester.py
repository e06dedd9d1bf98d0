"""Prove that `requestedBy` is protected before anything is minted in its name (S4).

The controller dry-run-creates an object with a forged requester. Two answers count as protection: the stored
name would have been the controller's own, or the guard refused in its own words. Everything else, a silent API
server and a refusal by somebody else's policy included, is none.
"""

from tallystick.api.core import SELF_SUBJECT_REVIEWS
from tallystick.api.meta import API_VERSION
from tallystick.api.pairing_token import PAIRING_TOKENS, Purpose
from tallystick.domain.requester import GUARD_REFUSES_FORGED, RequesterMode
from tallystick.services.ports import Cluster, ClusterError, RefusedError

FORGED = "system:tallystick:forged-probe"
# So many probes in a row may tell nothing, as while an API server starts again, before users are told of it.
MOST_SILENT = 3


class Requester:
    """Whether tokens may be minted in the name of `requestedBy`."""

    REASON = "RequesterPolicyMissing"
    MESSAGE = (
        "nothing is issued while the admission policy that stamps spec.requestedBy is not in force; "
        "install the policies, or run the operator with --requester ServiceAccount"
    )

    def __init__(self, cluster: Cluster, *, mode: RequesterMode, namespace: str) -> None:
        """Trust nothing yet.

        Args:
            cluster: the API server.
            mode: whose name a token carries; in ServiceAccount mode there is nothing to protect.
            namespace: the operator's own, where the probe would be created.
        """
        self._cluster = cluster
        self._mode = mode
        self._namespace = namespace
        self.protected = mode is RequesterMode.SERVICE_ACCOUNT
        self._silent = 0

    @property
    def may_be_an_outage(self) -> bool:
        """Whether protection is not proved only because the last few probes have told nothing."""
        return not self.protected and 0 < self._silent < MOST_SILENT

    async def probe(self) -> bool:
        """Look again, and return whether protection is in force."""
        if self._mode is RequesterMode.POLICY:
            told = await self._refused_or_stamped()
            self._silent = self._silent + 1 if told is None else 0
            self.protected = bool(told)
        return self.protected

    async def _refused_or_stamped(self) -> bool | None:
        """Return what the probe has shown; None: nothing, because it was not answered, or was refused by another."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "PairingToken",
            "metadata": {"generateName": "requester-probe-", "namespace": self._namespace},
            "spec": {"purpose": Purpose.DEVICE_PROJECT.value, "projectKey": "probe", "requestedBy": FORGED},
        }
        try:
            answer = await self._cluster.create(PAIRING_TOKENS, body, dry_run=True)
            stamped: object = answer["spec"].get("requestedBy")
            return stamped is not None and stamped == await self._own_name()
        except RefusedError as refusal:
            return True if GUARD_REFUSES_FORGED in str(refusal) else None
        except ClusterError:
            return None

    async def _own_name(self) -> str | None:
        body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind}
        review = await self._cluster.create(SELF_SUBJECT_REVIEWS, body)
        name: str | None = review.get("status", {}).get("userInfo", {}).get("username")
        return name
