"""Read the deployment type that a caller sends: an instance in a heartbeat, or a hint beside a token."""

from tallystick.connections.api.connection_configuration import DeploymentType
from tallystick.errors import ExchangeRefusedError


def deployment_type_of(given: object) -> DeploymentType | None:
    """Return the type by its one spelling, None if the caller sends none; raises ExchangeRefusedError."""
    found = next((known for known in DeploymentType if known.value == given), None)
    if given is not None and found is None:
        raise ExchangeRefusedError("invalid_request", f"deployment_type must be {' or '.join(DeploymentType)}")
    return found
