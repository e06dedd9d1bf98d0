"""Keep the Secret of a ConnectionConfiguration as its status says: sign what is on record, keep what cannot be."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from tallystick.api.connection_configuration import ConnectionConfiguration
from tallystick.domain.errors import NotYetError
from tallystick.domain.held_secrets import HeldSecret, content_digest, controller_of, owner_uid
from tallystick.domain.names import connection_secret_name
from tallystick.domain.slots import live_tokens
from tallystick.services.issuer import Issuer
from tallystick.services.owned_secrets import OwnedSecrets
from tallystick.services.ports import AlreadyExistsError, Clock, Cluster, Json, View


@dataclass(frozen=True, slots=True)
class Stored:
    """The Secret holds the tokens with these `jti`; it lacks those that nobody can sign again."""

    token_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Foreign:
    """The name is taken by a Secret that was left alone; with kind and name of its owner, where that is one of ours."""

    owner: tuple[str, str] | None


class Signatures:
    """The signed tokens of one object, while it is looked at: a signature costs more than all the rest of a look."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._signed: dict[tuple[str, ...], Mapping[str, str]] = {}

    def of(self, configuration: ConnectionConfiguration) -> Mapping[str, str]:
        """Return the live tokens by their `jti`, less those that cannot be signed again; raises NotYetError."""
        recorded = tuple(token.token_id for token in live_tokens(configuration))
        if recorded not in self._signed:
            self._signed[recorded] = self._issuer.connection_tokens(configuration)
        return self._signed[recorded]

    def are_complete(self, configuration: ConnectionConfiguration) -> bool:
        """Tell whether all live tokens can be signed; raises NotYetError."""
        return len(self.of(configuration)) == len(live_tokens(configuration))


class ConnectionSecrets:
    """The Secrets of ConnectionConfigurations."""

    def __init__(self, cluster: Cluster, view: View, issuer: Issuer, clock: Clock) -> None:
        self._view = view
        self._issuer = issuer
        self._clock = clock
        self._secrets = OwnedSecrets(cluster, view)

    def seen(self, configuration: ConnectionConfiguration) -> HeldSecret | None:
        """Return what the watch has seen under the Secret's name."""
        return self._view.secret(configuration.metadata.namespace, connection_secret_name(configuration))

    def expected_digest(self, configuration: ConnectionConfiguration, signatures: Signatures) -> bytes | None:
        """Return the digest that the Secret must have; None where that depends on what it holds, or on missing keys."""
        try:
            signed = signatures.of(configuration)
        except NotYetError:
            return None  # without the signing keys no Secret is written, but revocation goes on
        if not signatures.are_complete(configuration):
            return None
        return content_digest(self._issuer.connection_secret(configuration, signed))

    async def write(self, configuration: ConnectionConfiguration, signatures: Signatures) -> Stored | Foreign:
        """Make the Secret as the status says. A token that cannot be signed again stays as it is held, or is lost."""
        signed, complete = signatures.of(configuration), signatures.are_complete(configuration)
        if self.seen(configuration) is None and complete:
            with suppress(AlreadyExistsError):  # somebody else's, which carries no label of ours; or the watch lags
                await self._secrets.create(self._issuer.connection_secret(configuration, signed))
                return Stored(frozenset(signed))
        held = await self._secrets.held(configuration.metadata.namespace, connection_secret_name(configuration))
        if held is not None and owner_uid(held) != configuration.metadata.uid:
            return Foreign(controller_of(held))
        there = signed if complete else {**self._kept(configuration, held), **signed}
        await self._secrets.restore(self._issuer.connection_secret(configuration, there), held)
        return Stored(frozenset(there))

    def _kept(self, configuration: ConnectionConfiguration, held: Json | None) -> Mapping[str, str]:
        if held is None:
            return {}
        return self._issuer.connection_tokens_held(configuration, held, self._clock.now())
