"""Write to stored objects without a change of what other writers have added to them."""

from collections.abc import Iterable, Mapping
from typing import Any


def merged_metadata(
    wanted: Mapping[str, Any], held: Mapping[str, Any], *, our_labels: Iterable[str] = (), our_uid: str = ""
) -> dict[str, Any]:
    """Return the metadata for a write: our labels and references as wanted, and all else as it is held.

    So labels, annotations, finalizers and references of other writers stay.

    Args:
        wanted: The metadata that the operator sets.
        held: The metadata as it was read.
        our_labels: The labels that are removed if they are not wanted.
        our_uid: The uid of the owner. A reference to it is removed if it is not wanted, as in another namespace.
    """
    ours = wanted.get("ownerReferences", [])
    uids = {*(one["uid"] for one in ours), *((our_uid,) if our_uid else ())}
    references = [*ours, *(one for one in held.get("ownerReferences") or () if one.get("uid") not in uids)]
    labels = {key: value for key, value in (held.get("labels") or {}).items() if key not in set(our_labels)}
    return {
        **{key: value for key, value in held.items() if key != "ownerReferences"},
        "labels": {**labels, **wanted.get("labels", {})},
        **({"ownerReferences": references} if references else {}),
    }
