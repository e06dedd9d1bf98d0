"""A decision is the first rule that applies."""

from tallystick.objects.rules import first


def test_the_first_rule_that_applies_decides_and_no_later_rule_is_asked():
    asked = []

    def rule(name, decision):
        return lambda fact, other: asked.append((name, fact, other)) or decision

    found = first((rule("one", None), rule("two", "stop"), rule("three", "go")), 1, 2)

    assert found == "stop"
    assert asked == [("one", 1, 2), ("two", 1, 2)]


def test_no_rule_that_applies_is_no_decision():
    assert first((lambda _: None, lambda _: None), 1) is None
    assert first((), 1) is None
