"""The objects of the first admin token, by name, and the event about a trigger that is left where it is."""

from typing import Any

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.pairing.domain.admin_token import ADMIN_SECRET, TRIGGER
from tests.harness.api import Api

Json = dict[str, Any]

GENERATION = "TALLYSTICK_BOOTSTRAP_GENERATION"
MINUTES = "TALLYSTICK_BOOTSTRAP_TOKEN_DELETE_IN_MINUTES"
TRIGGER_BODY: Json = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": TRIGGER, "namespace": DEFAULT_NAMESPACE},
}
SECRET_BODY: Json = {"kind": "Secret", "metadata": {"name": ADMIN_SECRET, "namespace": DEFAULT_NAMESPACE}}
KEYRING_BODY: Json = {"kind": "Secret", "metadata": {"name": KEYRING_SECRET, "namespace": DEFAULT_NAMESPACE}}


def ignored(admin: Api) -> list[str]:
    """Return the texts of the events `BootstrapTriggerIgnored`, in any order."""
    events = admin.find_all("Event", DEFAULT_NAMESPACE, fieldSelector="reason=BootstrapTriggerIgnored")
    return [event["message"] for event in events]
