"""The pages of docs/ describe the product as it is: each table is compared with the code or its generated files."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.registry import KINDS
from tests.unit.test_house import REPOSITORY, modules

Json = dict[str, Any]

DOCS = REPOSITORY / "docs"
GOLDEN = Path(__file__).parent / "golden"
CRDS = {
    crd["spec"]["names"]["kind"]: crd
    for crd in (yaml.safe_load(path.read_text()) for path in sorted((REPOSITORY / "crds").glob("*dev_*.yaml")))
}
EVERY_KIND = pytest.mark.parametrize("kind", CRDS)
_CODE = re.compile(r"`([^`]+)`")


def page_of(kind: str) -> str:
    return (DOCS / f"{kind.lower()}.md").read_text()


def section(page: str, title: str) -> str:
    """Return a section, without the sections that follow it."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, flags=re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {title}"
    return found[1]


def rows(text: str, header: str) -> list[list[str]]:
    """Return the rows of all tables whose first column has this header."""
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    cells = [[_cells(line) for line in table.splitlines()] for table in tables]
    return [row for table in cells if table[0][0] == header for row in table[2:]]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def codes(rows_of_table: list[list[str]], column: int = 0) -> list[str]:
    """Return what stands in inline code in a column."""
    return [code for row in rows_of_table for code in _CODE.findall(row[column])]


def schema_of(kind: str) -> Json:
    return dict(version_of(kind)["schema"]["openAPIV3Schema"])


def version_of(kind: str) -> Json:
    (version,) = CRDS[kind]["spec"]["versions"]
    return dict(version)


def nodes(node: object) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


@EVERY_KIND
def test_a_page_names_its_short_name_and_columns(kind: str) -> None:
    page, (short_name,) = page_of(kind), CRDS[kind]["spec"]["names"]["shortNames"]
    columns = [column["name"] for column in version_of(kind)["additionalPrinterColumns"]]
    documented = [name for row in rows(section(page, "Printer columns"), "column") for name in row[0].split(", ")]

    assert f"Short name: `{short_name}`." in page
    assert documented == columns


@EVERY_KIND
def test_a_page_names_all_field_selectors(kind: str) -> None:
    selectors = [field["jsonPath"].removeprefix(".") for field in version_of(kind)["selectableFields"]]
    (line,) = re.findall(r"^Field selectors: (.*)$", page_of(kind), flags=re.MULTILINE)

    assert _CODE.findall(line) == selectors


@EVERY_KIND
def test_a_page_names_each_field_of_the_spec_and_no_other(kind: str) -> None:
    spec = schema_of(kind)["properties"]["spec"]
    documented = codes(rows(section(page_of(kind), "Spec"), "field"))

    assert {path.partition(".")[0] for path in documented} == set(spec["properties"])
    assert [path for path in documented if not has_path(spec, path)] == []


def has_path(schema: Json, path: str) -> bool:
    for name in path.split("."):
        schema = schema.get("properties", {}).get(name, {})
    return bool(schema)


@EVERY_KIND
def test_a_page_lists_the_states(kind: str) -> None:
    # The first one is the state of the object, or of its parts if it has none. Others are of other objects.
    states = next(
        node["state"]["enum"]
        for node in nodes(schema_of(kind)["properties"]["status"])
        if "enum" in node.get("state", {})
    )

    assert [row[0] for row in rows(section(page_of(kind), "States"), "state")] == states


@EVERY_KIND
def test_a_page_names_the_suffix_of_its_secret(kind: str) -> None:
    (known,) = [known for known in KINDS if known.resource.kind == kind]
    suffixes = [known.secret_suffix] if known.secret_suffix else [form.suffix for form in known.labeled_secrets]

    if suffixes:
        text = section(page_of(kind), "Secret" if known.secret_suffix else "Secrets")
        assert [suffix for suffix in suffixes if f"Secret `<name>{suffix}`" not in text] == []
    else:
        assert "## Secret" not in page_of(kind)


def messages(kind: str) -> set[str]:
    """Return the messages of the CEL rules of a kind."""
    rules = (rule for node in nodes(version_of(kind)["schema"]) for rule in node.get("x-kubernetes-validations", ()))
    return {" ".join(rule["message"].split()) for rule in rules}


@EVERY_KIND
def test_a_page_lists_each_error_at_admission_and_no_other(kind: str) -> None:
    """A part in angle brackets stands for a name or a value."""
    documented = codes(rows(section(page_of(kind), "Admission errors"), "error"))
    patterns = [re.compile(re.sub(r"<\w+>", r"\\S+", re.escape(error))) for error in documented]

    assert [message for message in messages(kind) if not any(pattern.fullmatch(message) for pattern in patterns)] == []
    assert [pattern.pattern for pattern in patterns if not any(map(pattern.fullmatch, messages(kind)))] == []


def reason_enums() -> Iterator[tuple[str, set[str]]]:
    """Yield each StrEnum of reasons that users see, with its values."""
    for name, tree in modules():
        for node in tree.body if name.startswith("objects/") or "/api/" in name else ():
            if isinstance(node, ast.ClassDef) and node.name.endswith("Reason"):
                assigned = (statement for statement in node.body if isinstance(statement, ast.Assign))
                yield node.name, {ast.literal_eval(statement.value) for statement in assigned}


def documented_reasons(page: str) -> set[str]:
    """Return the reasons of conditions, events, revoked tokens and failed devices that a page lists."""
    conditions = section(page, "Conditions")
    failures = section(page, "Failures") if "\n## Failures\n" in page else ""
    column = 2 if rows(conditions, "type") else 0
    return {
        *codes(rows(conditions, "type") or rows(conditions, "reason"), column),
        *codes([row for row in rows(section(page, "Events"), "reason") if not row[0].startswith("every ")]),
        *codes(rows(section(page, "States"), "reason")),
        *codes(rows(failures, "reason of a failed device")),
    }


def test_each_reason_of_the_code_is_on_a_page() -> None:
    """A reason of one kind is on the page of that kind; the other reasons are on any page."""
    documented = {kind: documented_reasons(page_of(kind)) for kind in CRDS}
    anywhere = set().union(*documented.values())
    known = dict(reason_enums())

    assert {f"{kind}Reason" for kind in CRDS} <= known.keys()
    missing = {enum: reasons - documented.get(enum.removesuffix("Reason"), anywhere) for enum, reasons in known.items()}
    assert {enum: reasons for enum, reasons in missing.items() if reasons} == {}


def test_each_reason_on_a_page_is_in_the_code() -> None:
    known = set().union(*(reasons for _, reasons in reason_enums()))

    assert {kind: reasons for kind in CRDS if (reasons := documented_reasons(page_of(kind)) - known)} == {}


def golden_metrics() -> dict[str, tuple[str, str]]:
    """Return the type and the labels of each metric of the goldens."""
    text = "".join(path.read_text() for path in sorted(GOLDEN.glob("metrics-*.txt")))
    labels = dict(re.findall(r"^# LABELS (\S+) (\S+)$", text, flags=re.MULTILINE))
    types = re.findall(r"^# TYPE (tallystick_\S+) (\S+)$", text, flags=re.MULTILINE)
    return {name: (kind, labels.get(name.removesuffix("_total"), "")) for name, kind in types}


def test_all_metrics_are_documented_and_no_other() -> None:
    table = rows((DOCS / "observability.md").read_text(), "metric")
    documented = {_CODE.findall(row[0])[0]: (row[1], ",".join(_CODE.findall(row[2]))) for row in table}

    assert documented == golden_metrics()


def test_the_values_of_labels_are_documented() -> None:
    table = rows((DOCS / "observability.md").read_text(), "label")
    documented = {_CODE.findall(row[0])[0]: set(_CODE.findall(row[1])) for row in table}
    closed = {
        key.split()[1]: set(map(str, values))
        for key, values in yaml.safe_load((GOLDEN / "metrics-label-values.yaml").read_text()).items()
    }

    for label in closed.keys() - {"outcome", "code"}:
        assert documented[label] == closed[label], label
    assert documented["code"] - {"none"} == closed["code"]
    assert documented["outcome"] <= closed["outcome"]


def test_all_audit_actions_are_documented_and_no_other() -> None:
    lines = [json.loads(line) for line in (GOLDEN / "audit.jsonl").read_text().splitlines()]
    table = rows((DOCS / "observability.md").read_text(), "action")
    documented = {
        (_CODE.findall(row[0])[0], component.strip(), outcome)
        for row in table
        for component in row[1].split(",")
        for outcome in _CODE.findall(row[2])
    }

    recorded = {(line["action"], line["component"], line["outcome"]) for line in lines}
    assert recorded - documented == set()
    assert without_component(documented) == without_component(recorded)


def without_component(lines: set[tuple[str, str, str]]) -> set[tuple[str, str]]:
    return {(action, outcome) for action, _, outcome in lines}


# Pages of another change that is not merged yet.

OPENAPI: Json = json.loads((DOCS / "openapi.json").read_text())


def test_all_endpoints_are_documented_and_no_other() -> None:
    served = {f"{method.upper()} {path}" for path, item in OPENAPI["paths"].items() for method in item}

    assert set(codes(rows((DOCS / "http-api.md").read_text(), "endpoint"))) == served


def test_all_error_codes_are_documented_and_no_other() -> None:
    oauth = (node["error"].get("enum", []) for node in nodes(OPENAPI) if "error_description" in node)
    problems = (node["type"]["enum"] for node in nodes(OPENAPI) if "detail" in node and "enum" in node.get("type", {}))
    of_problems = [code.removeprefix("urn:problem:").replace("-", "_") for enum in problems for code in enum]

    table = rows(section((DOCS / "http-api.md").read_text(), "Errors"), "code")
    assert set(codes(table)) == {code for enum in oauth for code in enum} | set(of_problems)


def policies() -> set[str]:
    """Return the names of the admission policies of a default installation, as the pages name them."""
    bodies = yaml.safe_load_all((GOLDEN / "manifests-default.yaml").read_text())
    return {
        body["metadata"]["name"].split(".")[0] for body in bodies if body and body["kind"].endswith("AdmissionPolicy")
    }


def test_each_admission_policy_is_on_a_page() -> None:
    pages = "\n".join(section(page_of(kind), "Admission errors") for kind in CRDS)

    assert {name for name in policies() if f"`{name}`" not in pages} == set()


def links() -> Iterator[tuple[Path, str]]:
    for path in (*REPOSITORY.glob("*.md"), *DOCS.glob("*.md"), *(REPOSITORY / "examples").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text()):
            yield path, target


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings} | set(
        re.findall(r'<a id="([^"]+)">', page)
    )


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(REPOSITORY)}: {target}"
        for page, target in links()
        if not leads_somewhere(page, *target.split("#"))
    ]

    assert broken == []


def leads_somewhere(page: Path, target: str, anchor: str = "") -> bool:
    file = page.parent / target if target else page
    return file.exists() and (not anchor or anchor in anchors(file.read_text()))


def test_every_test_that_a_page_names_exists() -> None:
    tests = {path.name for path in (REPOSITORY / "tests").rglob("test_*.py")}
    named: Mapping[str, set[str]] = {
        path.name: set(re.findall(r"\btest_\w+\.py\b", path.read_text()))
        for path in (*REPOSITORY.glob("*.md"), *DOCS.glob("*.md"))
    }

    assert named["README.md"]
    assert {page: names - tests for page, names in named.items() if names - tests} == {}


def test_the_readme_lists_every_kind() -> None:
    listed = rows((REPOSITORY / "README.md").read_text(), "kind")

    assert {re.findall(r"\[(\w+)\]", row[0])[0] for row in listed} == set(CRDS)
