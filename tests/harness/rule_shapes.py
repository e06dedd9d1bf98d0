"""The shape of a change: that part of it which the verb of a request can influence.

The API server evaluates the rules after it has merged a request into an object. A rule cannot see the verb: it sees
two objects. A verb can only get the merge wrong, and the merge depends on the shape of the change alone. So one case
of each shape by every verb, and the other cases by one verb, prove what the full product proves.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tallystick.schema.crd import crd

Json = dict[str, Any]

NO_CHANGE = "no change"


class Change(Protocol):
    """A case of a table of rules: an object, or a part of one, before and after a write."""

    @property
    def before(self) -> Json: ...

    @property
    def after(self) -> Json: ...


@functools.cache
def schema_of(kind: Any, part: str = "") -> Json:
    """Return the schema of a kind, or of its `spec` or `status`."""
    schema: Json = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema["properties"][part] if part else schema


def one_of_each_shape(cases: Sequence[Any], schema: Json) -> list[Any]:
    """Return the first case of each shape. A case of one shape goes before a case of several."""
    seen: set[str] = set()
    chosen = []
    for case in sorted(cases, key=lambda case: len(shapes(case, schema))):
        if not shapes(case, schema) <= seen:
            seen |= shapes(case, schema)
            chosen.append(case)
    return chosen


def shapes(change: Change, schema: Json) -> frozenset[str]:
    """Return the shapes of a change, in words: `scalar set`, `member of an object unset`, `items reordered`."""
    return frozenset(_of_objects(change.before, change.after, schema, "")) or frozenset({NO_CHANGE})


def _of_objects(before: Json, after: Json, schema: Json, where: str) -> Iterator[str]:
    for name in before.keys() | after.keys():
        field = schema.get("properties", {}).get(name, {})
        if name not in after:
            yield f"{_noun(before[name], where)} unset{', default back' if 'default' in field else ''}"
        elif name not in before:
            yield from _of_a_new_value(after[name], field, where)
        elif before[name] != after[name]:
            yield from _of_values(before[name], after[name], field, where)


def _of_a_new_value(value: Any, schema: Json, where: str) -> Iterator[str]:
    yield f"{_noun(value, where)} set"
    if isinstance(value, dict):
        yield from _of_objects({}, value, schema, "member")
    if isinstance(value, str) and not value.isascii():
        yield "text beyond ASCII"  # server-side apply reads YAML, the other verbs read JSON


def _of_values(before: Any, after: Any, schema: Json, where: str) -> Iterator[str]:
    if isinstance(before, dict):
        yield from _of_objects(before, after, schema, "member")
    elif isinstance(before, list):
        yield _of_lists(before, after)
    else:
        yield f"{_noun(after, where)} changed"


def _of_lists(before: list[Any], after: list[Any]) -> str:
    old, new = (Counter(json.dumps(item, sort_keys=True) for item in items) for items in (before, after))
    if not new:
        return "list emptied"
    if old == new:
        return "items reordered"
    if old < new:
        return "item added"
    return "item removed" if new < old else "items changed"


def _noun(value: Any, where: str) -> str:
    if isinstance(value, dict | list):
        kind = "object" if isinstance(value, dict) else "list"
        return kind if value else f"empty {kind}"
    return where or "scalar"
