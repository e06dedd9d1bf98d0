"""How redeeming a pairing token is refused, and in which words."""

import pytest

from tallystick.errors import ExchangeRefusedError
from tallystick.pairing.domain.tokens import pairing_token_id
from tests.builders import UID

TOKEN_ID = pairing_token_id(UID, 1)
USED = f"pairing token {TOKEN_ID} has already been used"
REVOKED = f"pairing token {TOKEN_ID} has been revoked"
NO_MASTER = f"pairing token {TOKEN_ID} has no master token any more; request a new pairing token"
EXPIRED = f"pairing token {TOKEN_ID} expired at 2030-01-01T12:05:00Z"
NOT_VALID = "subject_token is not a valid pairing token"


async def refused(redeeming):
    with pytest.raises(ExchangeRefusedError) as refusal:
        await redeeming
    return refusal.value.code, refusal.value.description
