"""The style rule of CONTRIBUTING.md, "How we write English", holds for every public text."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.prose import Text, markdown, problems, problems_of, sentences
from tests.unit.test_docs import nodes
from tests.unit.test_house import REPOSITORY

Json = dict[str, Any]

PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").glob("*.md"),
        *(REPOSITORY / "examples").rglob("*.md"),
        *(REPOSITORY / "helm").rglob("*.md"),
    ],
)


def pages() -> Iterator[Text]:
    for path in PAGES:
        yield from markdown(str(path.relative_to(REPOSITORY)), readable(path.read_text()))


def readable(page: str) -> str:
    """Leave out the two places that must name banned words: the rule itself, and the ids that rules.md defines."""
    page = re.sub(r"^## How we write English\n.*?(?=^## )", "", page, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r'<a id="[rsdi]\d+"></a>[RSDI]\d+', "", page)


def comments_of_examples() -> Iterator[Text]:
    for path in sorted((REPOSITORY / "examples").rglob("*.yaml")):
        for comment in re.findall(r"(?:^|\s)#\s*(.*)$", path.read_text(), flags=re.MULTILINE):
            yield Text(str(path.relative_to(REPOSITORY)), comment)


def comments_of_the_chart() -> Iterator[Text]:
    for path in sorted((REPOSITORY / "helm").rglob("*.*")):
        place, text = str(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8")
        blocks = re.findall(r"(?:^ *# .*\n)+", text, flags=re.MULTILINE) if path.suffix in {".yaml", ".tpl"} else []
        for comment in (*blocks, *re.findall(r"{{- /\*(.*?)\*/", text, flags=re.DOTALL)):
            yield Text(place, " ".join(line.strip(" #") for line in comment.splitlines()))


def test_the_comments_of_the_chart_are_plain_english() -> None:
    assert problems(comments_of_the_chart()) == []


def test_pages_are_plain_english() -> None:
    assert problems(pages()) == []


def crds() -> Iterator[tuple[str, Json]]:
    for path in sorted((REPOSITORY / "crds").glob("*dev_*.yaml")):
        yield path.name, yaml.safe_load(path.read_text())


def texts_of_crds() -> Iterator[Text]:
    for file, crd in crds():
        for node in nodes(crd):
            for member in ("description", "message"):
                if isinstance(node.get(member), str):
                    yield Text(file, node[member])


def fields(schema: Json) -> Iterator[tuple[str, Json]]:
    """Walk the fields of a schema, and those of its objects and lists."""
    for name, field in schema.get("properties", {}).items():
        yield name, field
        yield from fields(field)
        yield from fields(field.get("items", {}))


def test_the_crds_are_plain_english() -> None:
    assert problems(texts_of_crds()) == []


def test_the_description_of_each_field_begins_with_its_name() -> None:
    schemas = (crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] for _, crd in crds())
    found = [field for schema in schemas for part in ("spec", "status") for field in fields(schema[part])]

    assert len(found) > 100
    assert [name for name, field in found if not field["description"].startswith(f"{name} ")] == []


def test_the_comments_of_the_examples_are_plain_english() -> None:
    assert problems(comments_of_examples()) == []


@pytest.mark.parametrize(
    ("sentence", "problem"),
    [
        ("What is revoked stays revoked.", "begins with What"),
        ("Nobody can read it.", "banned (Nobody)"),
        ("The operator tells the user.", "banned (tells)"),
        ("The licence expires.", "banned (licence)"),
        ("It is bound to the type (S12).", "an internal id (S12)"),
        ("The caller is authorised.", "British spelling (authorised)"),
        (" ".join(["word"] * 26), "26 words"),
    ],
)
def test_each_part_of_the_rule_finds_what_breaks_it(sentence: str, problem: str) -> None:
    assert problem in list(problems_of(sentence))


def test_a_sentence_that_keeps_the_rule_has_no_problem() -> None:
    assert list(problems_of("If the license expires, the controller revokes all tokens.")) == []


def test_the_texts_of_a_page_are_its_paragraphs_items_and_cells() -> None:
    page = (
        "# Title\n\nOne\nline. Two.\n\n- item\n  goes on\n\n| a | b |\n|---|---|\n| `x` c | d. E |\n\n```\nWho\n```\n"
    )

    found = [text.text for text in markdown("page.md", page)]

    assert found == ["Title", "One line. Two.", "item goes on", "a", "b", "`x` c", "d. E"]
    assert [sentences(text) for text in ("One line. Two.", "Set `a. B` now")] == [
        ["One line.", "Two."],
        ["Set `code` now"],
    ]
