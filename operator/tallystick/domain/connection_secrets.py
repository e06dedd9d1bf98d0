"""The Secret of a ConnectionConfiguration: a function of what is on record. To read it mints nothing (R27-R29)."""

from collections.abc import Mapping

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS, ConnectionConfiguration
from tallystick.domain.held_secrets import Json, secret_body
from tallystick.domain.names import CONNECTION_SECRET_TYPE, connection_secret_name
from tallystick.domain.slots import live_tokens

HEARTBEAT_PATH = "/v1/connections/{namespace}/{name}/heartbeat"
TOKEN_KEY = "token"  # noqa: S105 - the name of a data key


def slot_key(slot: str) -> str:
    """Return the data key of a slot's token."""
    return f"{TOKEN_KEY}.{slot}"


def connection_secret(
    configuration: ConnectionConfiguration, signed_jwts: Mapping[str, str], *, base_url: str, ca_pem: str | None
) -> Json:
    """Return the Secret as it must be.

    Args:
        configuration: with its tokens on record.
        signed_jwts: the tokens by their `jti`; a live one that is not among them is left out. After the end of a
            licence there is none: the values go, the Secret stays.
        base_url: the exchange's, as instances reach it.
        ca_pem: the CA of the exchange's certificate, where it has one of its own.
    """
    meta = configuration.metadata
    live = [token for token in live_tokens(configuration) if token.token_id in signed_jwts]
    newest = live[0] if live else None  # R28: the one to copy
    values = {
        **({TOKEN_KEY: signed_jwts[newest.token_id], "token-id": newest.token_id} if newest else {}),
        **{slot_key(token.slot): signed_jwts[token.token_id] for token in reversed(live)},
        "deployment-type": configuration.spec.deployment_type.value,
        # With it, whoever mounts the Secret has all that an instance needs.
        "heartbeat-url": base_url + HEARTBEAT_PATH.format(namespace=meta.namespace, name=meta.name),
        **({"ca.crt": ca_pem} if ca_pem else {}),
    }
    return secret_body(
        connection_secret_name(configuration),
        CONNECTION_SECRET_TYPE,
        values,
        owner=(CONNECTION_CONFIGURATIONS, meta),
        token_id=newest.token_id if newest else None,
    )
