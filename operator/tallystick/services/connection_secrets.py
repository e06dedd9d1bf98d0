"""Keep the Secret of a ConnectionConfiguration as its status says: sign what is on record, keep what cannot be."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Signed:
    """The live tokens of an object, and the Secret of those that can be signed.

    Attributes:
        jwts: The tokens by their `jti`, less those that cannot be signed again.
        complete: Whether none is missing.
        secret: The Secret that holds them.
        digest: Its content digest.
    """

    jwts: Mapping[str, str] = field(repr=False)
    complete: bool
    secret: Json = field(repr=False)
    digest: bytes


class Signatures:
    """The signed tokens of one object, while it is looked at: a signature costs more than all the rest of a look."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._signed: dict[tuple[str, ...], Signed] = {}

    def of(self, configuration: ConnectionConfiguration) -> Signed:
        """Sign the live tokens; raises NotYetError. What the Secret holds beside them never changes."""
        recorded = (configuration.metadata.uid, *(token.token_id for token in live_tokens(configuration)))
        if recorded not in self._signed:
            self._signed[recorded] = self._sign(configuration)
        return self._signed[recorded]

    def _sign(self, configuration: ConnectionConfiguration) -> Signed:
        jwts = self._issuer.connection_tokens(configuration)
        secret = self._issuer.connection_secret(configuration, jwts)
        return Signed(jwts, len(jwts) == len(live_tokens(configuration)), secret, content_digest(secret))


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
        return signed.digest if signed.complete else None

    async def write(self, configuration: ConnectionConfiguration, signatures: Signatures) -> Stored | Foreign:
        """Make the Secret as the status says. A token that cannot be signed again stays as it is held, or is lost."""
        signed = signatures.of(configuration)
        if self.seen(configuration) is None and signed.complete:
            with suppress(AlreadyExistsError):  # somebody else's, which carries no label of ours; or the watch lags
                await self._secrets.create(signed.secret)
                return Stored(frozenset(signed.jwts))
        held = await self._secrets.held(configuration.metadata.namespace, connection_secret_name(configuration))
        if held is not None and owner_uid(held) != configuration.metadata.uid:
            return Foreign(controller_of(held))
        if signed.complete or held is None:
            await self._secrets.restore(signed.secret, held)
            return Stored(frozenset(signed.jwts))
        kept = self._issuer.connection_tokens_held(configuration, held, self._clock.now())
        there = {**kept, **signed.jwts}
        await self._secrets.restore(self._issuer.connection_secret(configuration, there), held)
        return Stored(frozenset(there))
