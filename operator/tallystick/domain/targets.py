"""Decide whether a client may have what it asks for, before its pairing token is spent."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tallystick.api.pairing_token import PairingToken
from tallystick.domain.use_cases import UseCase


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client says of itself and asks for. Nothing in it is verified."""

    client_id: str | None = None
    scope: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What a wish is measured by. `base_url` is that of the verified pairing token."""

    token: PairingToken
    use_case: UseCase
    base_url: str
    external_urls: tuple[str, ...]

    @property
    def audience(self) -> tuple[str, ...]:
        """Who accepts the master token."""
        return self.use_case.audience or (self.base_url,)


@dataclass(frozen=True, slots=True)
class OffTarget:
    """No: an OAuth error code (RFC 8693 2.2.2) and its description."""

    code: str
    description: str


def why_off_target(wish: Wish, target: Target) -> OffTarget | None:
    """Return the first reason to refuse the wish."""
    for rule in _RULES:
        problem = rule(wish, target)
        if problem is not None:
            return problem
    return None


def same_topology(wish: Wish, target: Target) -> OffTarget | None:
    """R81: pairing links different topologies. A check against mistakes, not against liars (S11)."""
    client = origin(wish.client_id)
    if client is None or client not in {origin(url) for url in target.external_urls}:
        return None
    return OffTarget(
        "invalid_target",
        f"pairing tokens link different topologies; use the JoinKey inside {target.external_urls[0]}",
    )


def other_peer(wish: Wish, target: Target) -> OffTarget | None:
    """S11: where the object names its peer, the client must say that it is that one."""
    peer = target.token.spec.peer_url
    if peer is None or origin(wish.client_id) == origin(peer):
        return None
    return OffTarget("invalid_target", "client_id is not the service that this pairing token was made for")


def unknown_audience(wish: Wish, target: Target) -> OffTarget | None:
    """RFC 8693 2.1: `audience` and `resource` name who the token is for; the use case decides."""
    if set(wish.audience) <= set(target.audience):
        return None
    return OffTarget("invalid_target", f"use case {target.use_case.name} has no such audience")


def wider_scope(wish: Wish, target: Target) -> OffTarget | None:
    """R92: all actions of the use case and no more."""
    if set(wish.scope) <= set(target.use_case.scope):
        return None
    scope = " ".join(wish.scope)
    return OffTarget("invalid_scope", f'scope "{scope}" is not part of use case {target.use_case.name}')


_RULES: tuple[Callable[[Wish, Target], OffTarget | None], ...] = (
    same_topology,
    other_peer,
    unknown_audience,
    wider_scope,
)


def origin(url: str | None) -> str | None:
    """Cut a URL to scheme, host and port, which two spellings of one service have in common."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else url
