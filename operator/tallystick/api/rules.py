"""The CEL rules that more than one kind needs, as functions that write them.

Every step of a path is asked for with `has()`: a field that is null or left out would otherwise be answered with the
server's "no such key" instead of our words.
"""

from collections.abc import Sequence

from tallystick.api.meta import Rule

# S23: a name must fit into a label's value, and nothing of ours ever truncates one.
NAME_FITS = Rule("self.metadata.name.size() <= 63", "metadata.name must have at most 63 characters")


def unchanged(field: str) -> str:
    """Write CEL for: an optional field is what it was, and neither set nor unset."""
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


def all_unchanged(*, required: Sequence[str], optional: Sequence[str]) -> str:
    """Write CEL for: none of these fields differs from what it was."""
    same = [f"self.{field} == oldSelf.{field}" for field in required]
    return " && ".join([*same, *(f"({unchanged(field)})" for field in optional)])


def immutable(field: str) -> Rule:
    """An optional field that keeps its first value for ever, also when that was none."""
    return Rule(unchanged(field), f"{field} is immutable", reason="FieldValueForbidden")


def holds(path: str) -> str:
    """Write CEL for: each step of a path such as `self.status.claim` is there."""
    steps = path.split(".")
    return " && ".join(f"has({'.'.join(steps[:end])})" for end in range(2, len(steps) + 1))


def rises_only(path: str, message: str) -> Rule:
    """A number in the status that is neither lowered nor removed."""
    before, after = f"oldSelf.{path}", f"self.{path}"
    return Rule(f"!({holds(before)}) || ({holds(after)} && {after} >= {before})", message)


def duration_between(field: str, shortest: str, longest: str) -> str:
    """Write CEL for: a Go duration lies within bounds. The digits are bounded first, lest `duration()` overflow."""
    sane = f"self.{field}.matches('^([0-9]{{1,6}}h)?([0-9]{{1,7}}m)?([0-9]{{1,9}}s)?$')"
    value = f"duration(self.{field})"
    return f"{sane} && {value} >= duration('{shortest}') && {value} <= duration('{longest}')"
