"""Ordered rules: a decision is the first rule that applies."""

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

Facts = ParamSpec("Facts")
Decision = TypeVar("Decision")


def first(
    rules: Sequence[Callable[Facts, Decision | None]], *args: Facts.args, **kwargs: Facts.kwargs
) -> Decision | None:
    """Return what the first rule that applies decides; None if no rule applies."""
    for rule in rules:
        decision = rule(*args, **kwargs)
        if decision is not None:
            return decision
    return None
