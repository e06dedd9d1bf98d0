"""The facts about join keys on which the status of their MasterKey depends.

There may be thousands, so they are read from JSON without a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEALED_SUFFIX = "-join-key-sealed"
DEFAULT_MASTER_KEY = "default"


@dataclass(frozen=True, slots=True)
class JoinKeyFacts:
    """The facts about one JoinKey.

    Attributes:
        master_key: The name of the MasterKey that its spec names, in its own namespace.
        sealed_with: The fingerprint of the master key that opens its sealed copy; None if no sealed copy is on record.
        ready: Whether condition Ready is True for the present spec.
        reason: The reason of condition Ready; '' if there is none yet.
        state: The `status.state`; '' if there is none yet.
        secret_ref: The name of the Secret with the user's own key; '' for a generated key.
    """

    namespace: str
    name: str
    master_key: str
    sealed_with: str | None
    ready: bool
    reason: str
    state: str
    secret_ref: str

    @property
    def shown(self) -> tuple[str, str | None, bool, str]:
        """The facts from which the status of its MasterKey follows."""
        return self.master_key, self.sealed_with, self.ready, self.reason

    def is_outdated(self, newest: str | None) -> bool:
        """Return whether its sealed copy needs another master key than the newest one."""
        return self.sealed_with is not None and self.sealed_with != newest


@dataclass(frozen=True, slots=True)
class JoinKeySummary:
    """The join keys that name one MasterKey.

    Attributes:
        total: Their number.
        sealed_with: The number of join keys by the fingerprint of the master key that opens their sealed copy.
        not_ready: The first join key by name that is not ready; None if all are.
    """

    total: int = 0
    sealed_with: Mapping[str, int] = field(default_factory=dict)
    not_ready: JoinKeyFacts | None = None

    def outdated(self, newest: str | None) -> int:
        """Return the number of join keys whose sealed copy needs another master key than the newest one."""
        return sum(count for fingerprint, count in self.sealed_with.items() if fingerprint != newest)


def facts_of(body: Mapping[str, Any]) -> JoinKeyFacts:
    """Return the facts about a JoinKey, which is JSON as the API server returns it."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    conditions = status.get("conditions") or ()
    ready: Mapping[str, Any] = next((one for one in conditions if one.get("type") == "Ready"), {})
    current = ready.get("observedGeneration") == meta.get("generation")
    return JoinKeyFacts(
        namespace=meta["namespace"],
        name=meta["name"],
        master_key=(spec.get("masterKeyRef") or {}).get("name") or DEFAULT_MASTER_KEY,
        sealed_with=(status.get("sealed") or {}).get("masterKey"),
        ready=current and ready.get("status") == "True",
        reason=ready.get("reason", ""),
        state=status.get("state", ""),
        secret_ref=(spec.get("secretRef") or {}).get("name", ""),
    )
