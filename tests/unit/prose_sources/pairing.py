"""The messages of the conditions of PairingToken and MasterToken in each of their states."""

from collections.abc import Iterator

from tallystick.pairing.api.master_token import MasterTokenState
from tallystick.pairing.api.pairing_token import PairingTokenState
from tallystick.pairing.domain.messages import claims_changed_text, master_readiness, readiness_of
from tests.builders import a_master_token, a_pairing_token, issued_status, used_status
from tests.unit.prose import Text


def texts_of_conditions() -> Iterator[Text]:
    """Yield the message of each state."""
    for state in PairingTokenState:
        status = used_status() if state is PairingTokenState.USED else issued_status(state=state.value)
        for revoked in (False, True):
            token = a_pairing_token(status=status, revoked=revoked)
            yield Text(f"PairingToken {state}", readiness_of(token).message)
            yield Text(f"PairingToken {state}", claims_changed_text(token))
    for master_state in MasterTokenState:
        yield Text(f"MasterToken {master_state}", master_readiness(a_master_token(), master_state).message)
