"""What carries a token does not show it: a repr ends up in exceptions, logs and failing tests (S8)."""

import pytest

from tallystick.connections.api.connection_configuration import DeploymentType
from tallystick.connections.services.connection_secrets import Signed
from tallystick.connections.services.heartbeats import Heartbeat
from tallystick.pairing.domain.grants import RequestedGrant
from tallystick.pairing.services.redeem import Redeemed, RedeemRequest

CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    "value",
    [
        Heartbeat(CANARY, "edge", "dc-west", "press-1", DeploymentType.KUBERNETES, "10.0.0.1"),
        RedeemRequest(CANARY, RequestedGrant()),
        Redeemed(CANARY, "t-1", ("mission-control:admin",), 60, key_bound=False),
        Signed({"t-1": CANARY}, complete=True, secret={"data": {"token": CANARY}}, digest=b"d"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_with_a_token_does_not_show_it(value: object) -> None:
    assert CANARY not in repr(value)
