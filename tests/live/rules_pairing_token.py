"""What the tables of PairingToken's rules share: specs, and a status."""

from typing import Any

Json = dict[str, Any]

SERVICE = {"purpose": "Service", "useCase": "mission-control"}
DEVICES = {"purpose": "DeviceProject", "projectKey": "fleet01"}
URL = "https://trust.example.com"
REVOKED = {"state": "Revoked", "serial": 1, "revokedThrough": 1}
