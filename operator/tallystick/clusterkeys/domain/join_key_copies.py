"""The Secrets of a JoinKey: where its copies are, and what each must hold.

The first copy is in the namespace of the JoinKey. It is deleted with it, as the sealed copy is, because both have it as
their owner. An owner must be in the namespace of its Secret, so a copy elsewhere only has the uid in a label.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from tallystick.clusterkeys.api.join_key import JOIN_KEYS, JoinKey
from tallystick.clusterkeys.domain.join_key_replacement import Picture
from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose, parse_key
from tallystick.objects.held_secrets import Json, content_digest, labeled_secret_body
from tallystick.objects.ownership import SecretForm
from tallystick.schema.meta import GROUP

ACCEPTED_KEY = "join-key-accepted"
SEALED_KEY, SEALED_ACCEPTED_KEY = "join-key.jwe", "join-key-accepted.jwe"
FINALIZER = f"{GROUP}/copies"
"""It holds a deleted JoinKey until its copies in other namespaces are deleted."""

Shown = str
"""A fingerprint in the place of a key, for a digest that follows from the status."""


def shown_value(key: str, value: str) -> Shown:
    """Return what the digest of a copy covers in the place of a value in base64: the fingerprint in that of a key.

    So the digest that a copy must have follows from the status, and the controller reads no copy to compare it. A key
    in another spelling than that of the controller has no fingerprint here, so that the controller restores it.
    """
    if key not in (Purpose.JOIN, ACCEPTED_KEY):
        return value
    found = key_of(value)
    return found.fingerprint if found is not None and _encoded(found.to_hex()) == value else value


def key_of(value: str) -> ClusterKey | None:
    """Read a key in base64, as a Secret holds it; None if it is none."""
    try:
        text = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    found = parse_key(Purpose.JOIN, text)
    return None if isinstance(found, KeyProblem) else found


JOIN_KEY_COPY = SecretForm(
    suffix="-join-key",
    type=Purpose.JOIN.secret_type,
    keys=frozenset({Purpose.JOIN.value, ACCEPTED_KEY, "key-id", "cluster-name", "services"}),
    by_label=True,
    shown=shown_value,
)
SEALED_JOIN_KEY = SecretForm(
    suffix="-join-key-sealed",
    type=f"{GROUP}/sealed-join-key",
    keys=frozenset({SEALED_KEY, SEALED_ACCEPTED_KEY}),
)


@dataclass(frozen=True, slots=True)
class Place:
    """The namespace and name of a Secret that must hold the key.

    Attributes:
        elsewhere: Whether it is in another namespace than the JoinKey.
    """

    namespace: str
    name: str
    elsewhere: bool

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def places(join_key: JoinKey) -> tuple[Place, ...]:
    """Return where the copies are: the own one first, then the targets. A target that is named twice is one copy."""
    meta = join_key.metadata
    default = meta.name + JOIN_KEY_COPY.suffix
    named = [(meta.namespace, default)]
    named += [(target.namespace, target.secret_name or default) for target in join_key.spec.targets]
    return tuple(Place(*one, elsewhere=one[0] != meta.namespace) for one in dict.fromkeys(named))


def recorded_places(join_key: JoinKey) -> tuple[Place, ...]:
    """Return where the copies are according to the status."""
    here, found = join_key.metadata.namespace, join_key.status.targets
    return tuple(Place(one.namespace, one.secret_name, elsewhere=one.namespace != here) for one in found)


def sealed_name(join_key: JoinKey) -> str:
    """Return the name of the Secret with the sealed copy."""
    return join_key.metadata.name + SEALED_JOIN_KEY.suffix


def sealed_place(join_key: JoinKey) -> Place:
    """Return where the sealed copy is."""
    return Place(join_key.metadata.namespace, sealed_name(join_key), elsewhere=False)


def copy_body(join_key: JoinKey, place: Place, picture: Picture, keys: Mapping[str, ClusterKey]) -> Json:
    """Return a copy as it must be.

    Args:
        join_key: The object.
        place: Where the copy is.
        picture: The keys that it must hold.
        keys: Keys by their fingerprint. An accepted key that is not among them is lost, and omitted.
    """
    return _copy(join_key, place, picture, {fingerprint: key.to_hex() for fingerprint, key in keys.items()})


def copy_digest(join_key: JoinKey, place: Place, picture: Picture) -> bytes:
    """Return the content digest that a copy must have, without a key."""
    body = _copy(join_key, place, picture, {held.fingerprint: "" for held in picture.keys})
    data = body["data"] | {Purpose.JOIN.value: picture.signs.fingerprint}
    if picture.accepted is not None:
        data[ACCEPTED_KEY] = picture.accepted.fingerprint
    return content_digest({**body, "data": data})


def sealed_body(join_key: JoinKey, texts: Mapping[str, str], *, master_key_id: str) -> Json:
    """Return the Secret with the sealed copy.

    Args:
        join_key: The object.
        texts: The sealed texts by their data key.
        master_key_id: The fingerprint of the master key that opens them.
    """
    return labeled_secret_body(
        sealed_name(join_key),
        SEALED_JOIN_KEY,
        texts,
        owner=(JOIN_KEYS, join_key.metadata),
        key_id=master_key_id,
    )


def sealed_texts(body: Json) -> dict[str, str]:
    """Return the sealed texts of a Secret by their data key. They are not opened here."""
    found: dict[str, str] = {}
    for key in (SEALED_KEY, SEALED_ACCEPTED_KEY):
        value = (body.get("data") or {}).get(key)
        if isinstance(value, str):
            found[key] = _decoded(value)
    return found


def sealed_digest(digest: bytes) -> str:
    """Write the content digest of the sealed copy as `status.sealed.digest` has it."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def keys_in(body: Json) -> list[ClusterKey]:
    """Return the keys that a copy holds: the one that signs first. A damaged one is omitted."""
    data = body.get("data") or {}
    found = [key_of(data[key]) for key in (Purpose.JOIN.value, ACCEPTED_KEY) if isinstance(data.get(key), str)]
    return [key for key in found if key is not None]


def signing_key_in(body: Json) -> str | None:
    """Return the fingerprint of the key that a copy signs with."""
    value = (body.get("data") or {}).get(Purpose.JOIN.value)
    found = key_of(value) if isinstance(value, str) else None
    return found.fingerprint if found is not None else None


def _copy(join_key: JoinKey, place: Place, picture: Picture, spelled: Mapping[str, str]) -> Json:
    signs, accepted = picture.signs.fingerprint, picture.accepted
    values = {
        Purpose.JOIN.value: spelled[signs],
        **({ACCEPTED_KEY: spelled[accepted.fingerprint]} if accepted and accepted.fingerprint in spelled else {}),
        "key-id": signs,
        "cluster-name": join_key.metadata.name,
        **({"services": ",".join(join_key.spec.services)} if join_key.spec.services else {}),
    }
    return labeled_secret_body(
        place.name,
        JOIN_KEY_COPY,
        values,
        owner=(JOIN_KEYS, join_key.metadata),
        key_id=signs,
        namespace=place.namespace,
        owned=not place.elsewhere,
    )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except ValueError:
        return ""
