"""The messages of the admission policies, as the API server returns them to users."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.unit.prose import Text
from tests.unit.test_docs import nodes

GOLDENS = Path(__file__).parents[1] / "golden"


def texts_of_policies() -> Iterator[Text]:
    """Yield the messages of the policies in the golden manifests."""
    for path in sorted(GOLDENS.glob("manifests-*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for node in nodes(document or {}):
                if "expression" in node and "message" in node:
                    yield Text(f"{path.name} {document['metadata']['name']}", node["message"])
                if "messageExpression" in node:
                    yield Text(f"{path.name} {document['metadata']['name']}", _message(node["messageExpression"]))


def _message(expression: str) -> str:
    """Return the literals of a CEL concatenation, with `x` for each value between them."""
    return "x".join(re.findall(r"'([^']*)'", expression))
