"""Names on the wire that are ours: labels, Secrets, data keys, derived identifiers."""

import uuid

from tallystick.api.connection_configuration import ConnectionConfiguration
from tallystick.api.meta import GROUP
from tallystick.api.pairing_token import PairingToken

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "tallystick"
KIND_LABEL = f"{GROUP}/kind"
NAME_LABEL = f"{GROUP}/name"
TOKEN_ID_LABEL = f"{GROUP}/token-id"

PAIRING_SECRET_TYPE = f"{GROUP}/pairing-token"
PAIRING_SECRET_SUFFIX = "-pairing-token"  # noqa: S105 - a part of a name
CONNECTION_SECRET_TYPE = f"{GROUP}/connection-token"
CONNECTION_SECRET_SUFFIX = "-connection-token"  # noqa: S105 - a part of a name
KEYRING_SECRET = "tallystick-keyring"  # noqa: S105 - the name of a Secret
KEYRING_SECRET_TYPE = f"{GROUP}/keyring"

INSTANCES_PREFIX = "tallystick-instances-"
INSTANCES_LABEL = f"{GROUP}/instances"

CONTROLLER_MANAGER = "tallystick-controller"
EXCHANGE_MANAGER = "tallystick-exchange"
CLI_MANAGER = "tallystick-cli"


def pairing_secret_name(token: PairingToken) -> str:
    """Return the name of the Secret that holds the pairing token."""
    return token.spec.secret_name or token.metadata.name + PAIRING_SECRET_SUFFIX


def pairing_token_id(uid: str, serial: int) -> str:
    """Derive the `jti` of a pairing token (decisions.md): the same object and serial always give the same one.

    So issuance is idempotent, and nobody who writes a status can make another token valid (S2). The last part
    leaves room for the TokenRotation that makes a generation of a device project's token.
    """
    return str(uuid.uuid5(uuid.UUID(uid), f"{serial}/"))


def connection_secret_name(configuration: ConnectionConfiguration) -> str:
    """Return the name of the Secret that holds the tokens of a ConnectionConfiguration."""
    return configuration.spec.secret_name or configuration.metadata.name + CONNECTION_SECRET_SUFFIX


def connection_token_id(uid: str, slot: str, serial: int) -> str:
    """Derive the `jti` of a connection token (decisions.md), so that no writer of a status makes one valid (S2)."""
    return str(uuid.uuid5(uuid.UUID(uid), f"{slot}/{serial}"))


def master_token_name(token_id: str) -> str:
    """Return the name of the MasterToken object with this `jti`: 41 characters, never truncated (S23)."""
    return f"mtok-{token_id}"
