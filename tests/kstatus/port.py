"""The rules of kstatus for custom resources, and the condition of `kubectl wait --for=condition=Ready`.

They follow `Compute`, `checkGenericProperties`, `checkGeneration` and `checkReadyCondition` of
sigs.k8s.io/cli-utils/pkg/kstatus/status, version 0.37.2. `make kstatus` compares them with that code.
"""

from typing import Any

Json = dict[str, Any]


def kstatus(found: Json) -> str:
    """Return the result for an object."""
    meta, status = found["metadata"], found.get("status", {})
    if meta.get("deletionTimestamp"):
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != meta["generation"]:
        return "InProgress"
    conditions = status.get("conditions", [])
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] == "Reconciling":
            return "InProgress"
        if condition["status"] == "True" and condition["type"] == "Stalled":
            return "Failed"
    ready = [condition["status"] for condition in conditions if condition["type"] == "Ready"]
    return "InProgress" if ready[:1] in (["False"], ["Unknown"]) else "Current"


def wait_succeeds(found: Json) -> bool:
    """Return whether `kubectl wait --for=condition=Ready` succeeds at once."""
    conditions = found.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
