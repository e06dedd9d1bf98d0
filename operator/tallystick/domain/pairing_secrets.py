"""The Secret of a pairing token: the only place where its value is stored (R7, R90)."""

from tallystick.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.domain.claims import PairingGrant
from tallystick.domain.held_secrets import Json, secret_body
from tallystick.domain.names import PAIRING_SECRET_TYPE, pairing_secret_name
from tallystick.domain.times import rfc3339


def pairing_secret(token: PairingToken, grant: PairingGrant, signed_jwt: str, ca_pem: str | None) -> Json:
    """Return the Secret as it must be."""
    values = {
        "token": signed_jwt,
        "token-id": grant.token_id,
        "expires-in": str(grant.expires_in),
        "expires-at": rfc3339(grant.expires),
        **({"ca.crt": ca_pem} if ca_pem else {}),
    }
    name = pairing_secret_name(token)
    return secret_body(
        name, PAIRING_SECRET_TYPE, values, owner=(PAIRING_TOKENS, token.metadata), token_id=grant.token_id
    )
