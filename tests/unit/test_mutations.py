"""The mutations apply to the code, and have the same rules and tests as the security part of docs/rules.md."""

import ast
from pathlib import Path

import pytest

from tests.mutations.catalog import PACKAGE, REPOSITORY, DoesNotApplyError, Mutation, load
from tests.unit.rules_page import CODE, LINES, functions_in

MUTATIONS = load()
EACH = [pytest.param(mutation, id=mutation.id) for mutation in MUTATIONS]
# It applies to each file that its row does not name.
RULE_OF_ALL_OTHER_FILES = "S13"
SECURITY = {line.id: line for line in LINES if line.id.startswith("S") and line.is_built}


def as_the_page_has_it(test: str) -> str:
    """Cut the folder and the case from the name of a test: the page has file::function."""
    return test.partition("[")[0].rpartition("/")[2]


def mutated_tests(rule: str) -> set[str]:
    return {as_the_page_has_it(test) for one in MUTATIONS if one.rule == rule for test in one.tests}


def test_no_id_is_used_twice() -> None:
    assert len({mutation.id for mutation in MUTATIONS}) == len(MUTATIONS)


def test_the_security_rules_that_are_built_are_those_with_a_mutation() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(SECURITY)


@pytest.mark.parametrize("rule", SECURITY)
def test_each_test_that_a_security_rule_names_has_a_mutation_that_it_must_fail_with(rule: str) -> None:
    assert mutated_tests(rule) == set(CODE.findall(SECURITY[rule].tests))


@pytest.mark.parametrize("rule", sorted(SECURITY.keys() - {RULE_OF_ALL_OTHER_FILES}))
def test_each_file_that_a_security_rule_names_has_a_mutation(rule: str) -> None:
    named = {place.partition("::")[0] for place in CODE.findall(SECURITY[rule].places)}

    assert {mutation.file for mutation in MUTATIONS if mutation.rule == rule} == named


@pytest.mark.parametrize("mutation", EACH)
def test_each_mutation_changes_one_place_into_other_code(mutation: Mutation) -> None:
    source = (REPOSITORY / PACKAGE / mutation.file).read_text(encoding="utf-8")

    mutated = mutation.applied_to(source)

    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("mutation", EACH)
def test_each_mutation_names_tests_that_exist(mutation: Mutation) -> None:
    files = [test.partition("::")[::2] for test in mutation.tests]

    assert files
    assert [path for path, _ in files if not (REPOSITORY / path).is_file()] == []
    assert [case for path, case in files if case.partition("[")[0] not in functions_in(Path(path).name)] == []


@pytest.mark.parametrize("source", ["no such text", "before, and before"])
def test_a_mutation_applies_to_one_place_alone(source: str) -> None:
    mutation = Mutation("S1.1", "a.py", before="before", after="after")

    with pytest.raises(DoesNotApplyError):
        mutation.applied_to(source)


def test_a_mutation_replaces_its_text() -> None:
    assert Mutation("S1.1", "a.py", before="if a:", after="if b:").applied_to("if a:\n    c\n") == "if b:\n    c\n"
