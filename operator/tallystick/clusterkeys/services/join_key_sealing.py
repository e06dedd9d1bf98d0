"""Seal the keys of a JoinKey, and open its sealed copy.

A text is sealed only from a key with the recorded fingerprint. `seal` opens each new text again before it is stored.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tallystick.clusterkeys.api.join_key import JoinKey, SealedCopy
from tallystick.clusterkeys.api.reasons import JoinKeyReason
from tallystick.clusterkeys.domain.join_key_copies import (
    SEALED_ACCEPTED_KEY,
    SEALED_KEY,
    sealed_body,
    sealed_digest,
    sealed_texts,
)
from tallystick.clusterkeys.domain.join_key_messages import KEY_REUSE_TEXT, Problem
from tallystick.clusterkeys.domain.join_key_replacement import Held, Picture, present_picture
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.domain.sealing import SealedFor, SealProblem, open_sealed, seal, sealed_kid
from tallystick.clusterkeys.services.master_keyring import MasterKeys
from tallystick.objects.held_secrets import Json, content_digest


@dataclass(frozen=True, slots=True)
class Opened:
    """The keys that a sealed copy gives, by their fingerprint, and why it does not give another."""

    keys: Mapping[str, ClusterKey] = field(repr=False)
    why: str


@dataclass(frozen=True, slots=True)
class NewlySealed:
    """The Secret with the sealed copy as it must be, its part of the status, and the keys that have a new text."""

    body: Json = field(repr=False)
    status: SealedCopy
    resealed: tuple[Held, ...]


def open_copy(join_key: JoinKey, body: Json | None, masters: MasterKeys, wanted: Iterable[Held]) -> Opened:
    """Open the sealed copy, and keep the keys that are wanted: an older copy gives none of them."""
    if body is None:
        return Opened({}, "it does not exist")
    found: dict[str, ClusterKey] = {}
    why = "it contains another key"
    for text in sealed_texts(body).values():
        for held in wanted:
            key = open_sealed(text, _both(masters), about(join_key, held.version))
            if isinstance(key, SealProblem):
                why = key.text
            elif key.fingerprint == held.fingerprint:
                found[held.fingerprint] = key
    return Opened(found, why)


def open_text(
    join_key: JoinKey, body: Json, data_key: str, masters: MasterKeys, version: int
) -> ClusterKey | SealProblem | None:
    """Open one text of a sealed copy whose fingerprint is not on record yet; None if there is no such text."""
    text = sealed_texts(body).get(data_key)
    return None if text is None else open_sealed(text, _both(masters), about(join_key, version))


def kept_texts(join_key: JoinKey, body: Json | None) -> dict[str, str]:
    """Return the sealed texts by the fingerprint of their key, if the Secret is exactly the recorded one.

    They are moved and kept without a master key, so a replacement that has begun goes on while there is none.
    """
    recorded = join_key.status.sealed
    if body is None or recorded is None or sealed_digest(content_digest(body)) != recorded.digest:
        return {}
    texts, picture = sealed_texts(body), present_picture(join_key)
    roles = {SEALED_KEY: picture.signs, SEALED_ACCEPTED_KEY: picture.accepted}
    return {held.fingerprint: texts[key] for key, held in roles.items() if held is not None and key in texts}


def seal_with_kept(join_key: JoinKey, picture: Picture, kept: Mapping[str, str]) -> NewlySealed | None:
    """Return the sealed copy of a picture if it needs no new text; None if it does."""
    needed = [held.fingerprint for held in picture.keys]
    recorded = join_key.status.sealed
    if recorded is None or any(fingerprint not in kept for fingerprint in needed):
        return None
    return _stored(join_key, picture, kept, recorded.master_key, ())


def seal_picture(
    join_key: JoinKey,
    picture: Picture,
    keys: Mapping[str, ClusterKey],
    masters: MasterKeys,
    *,
    kept: Mapping[str, str],
    random: Callable[[int], bytes],
) -> NewlySealed | Problem:
    """Seal the keys of a picture with the newest master key. A key that is in neither mapping is lost, and omitted."""
    texts: dict[str, str] = {}
    resealed: list[Held] = []
    for held in picture.keys:
        text, key = kept.get(held.fingerprint), keys.get(held.fingerprint)
        if text is not None and sealed_kid(text) == masters.newest.fingerprint:
            texts[held.fingerprint] = text
        elif key is not None:
            if is_reused(key, masters):
                return Problem(JoinKeyReason.KEY_REUSE, KEY_REUSE_TEXT)
            texts[held.fingerprint] = seal(key, masters.newest, about(join_key, held.version), random)
            resealed.append(held)
    return _stored(join_key, picture, texts, masters.newest.fingerprint, tuple(resealed))


def is_reused(key: ClusterKey, masters: MasterKeys) -> bool:
    """Return whether a join key has the bytes of a master key (docs/rules.md#r64)."""
    return any(key.same_bytes(master) for master in _both(masters))


def about(join_key: JoinKey, version: int) -> SealedFor:
    """Return the object and version that a text is sealed for."""
    meta = join_key.metadata
    return SealedFor("JoinKey", meta.namespace, meta.name, meta.uid, version)


def recorded_copy(body: Json, master_key_id: str) -> SealedCopy:
    """Return the part of the status about a Secret with the sealed copy."""
    return SealedCopy(master_key=master_key_id, digest=sealed_digest(content_digest(body)))


def _stored(
    join_key: JoinKey, picture: Picture, texts: Mapping[str, str], master_key_id: str, resealed: tuple[Held, ...]
) -> NewlySealed:
    roles = {SEALED_KEY: picture.signs, SEALED_ACCEPTED_KEY: picture.accepted}
    named = {key: texts[held.fingerprint] for key, held in roles.items() if held and held.fingerprint in texts}
    body = sealed_body(join_key, named, master_key_id=master_key_id)
    return NewlySealed(body, recorded_copy(body, master_key_id), resealed)


def _both(masters: MasterKeys) -> tuple[ClusterKey, ...]:
    return (masters.newest,) if masters.previous is None else (masters.newest, masters.previous)
