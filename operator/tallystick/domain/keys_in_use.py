"""Which signing keys live tokens name: those may not leave the keyring."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS, ConnectionConfiguration
from tallystick.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.api.meta import Resource
from tallystick.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState
from tallystick.domain.slots import live_tokens


def keys_of_pairing_token(token: PairingToken, now: datetime) -> set[str]:
    """Return the keys of a pairing token that can be presented, and of a claim that may still be answered again.

    A spent token counts, too: who has spent it with a key may ask again, and whoever holds it may revoke it. Both end
    with the pairing token's own expiry; what the claim has yielded is recorded in its MasterToken.
    """
    status = token.status
    if status.expiration_time is None or status.expiration_time <= now:
        return set()
    keys = set()
    if status.state in (PairingTokenState.ACTIVE, PairingTokenState.USED) and status.key_id is not None:
        keys.add(status.key_id)
    if status.state is PairingTokenState.USED and status.claim is not None:
        keys.add(status.claim.key_id)
    return keys


def keys_of_master_token(token: MasterToken, now: datetime) -> set[str]:
    """Return the key of a master token that is in force."""
    revoked = token.spec.revoked or token.status.state is MasterTokenState.REVOKED
    return set() if revoked or token.spec.expiration_time <= now else {token.spec.key_id}


def keys_of_connection_configuration(configuration: ConnectionConfiguration) -> set[str]:
    """Return the keys of the tokens that have not ended. They never expire, so a key may stay for years."""
    return {token.key_id for token in live_tokens(configuration)}


_KEYS_OF: dict[Resource, Callable[[Mapping[str, Any], datetime], set[str]]] = {
    PAIRING_TOKENS: lambda body, now: keys_of_pairing_token(PairingToken.model_validate(body), now),
    MASTER_TOKENS: lambda body, now: keys_of_master_token(MasterToken.model_validate(body), now),
    CONNECTION_CONFIGURATIONS: lambda body, _: keys_of_connection_configuration(
        ConnectionConfiguration.model_validate(body)
    ),
}
KINDS_WITH_KEYS = tuple(_KEYS_OF)


def keys_in_use(resource: Resource, body: Mapping[str, Any], now: datetime) -> set[str]:
    """Return the keys that an object of one of these kinds names, by its JSON."""
    return _KEYS_OF[resource](body, now)
