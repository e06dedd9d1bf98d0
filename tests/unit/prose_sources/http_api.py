"""The texts of docs/openapi.json: title, summaries and descriptions."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.unit.prose import Text
from tests.unit.test_docs import nodes

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"
_MEMBERS = ("title", "summary", "description")


def texts_of_http_api() -> Iterator[Text]:
    """Yield each text of the document. A schema property of the same name is no text."""
    for node in nodes(json.loads(DOCUMENT.read_text(encoding="utf-8"))):
        for member in _MEMBERS:
            if isinstance(node.get(member), str):
                yield Text("openapi.json", node[member])


def texts_of_errors() -> Iterator[Text]:
    """Yield each constant description of an error response."""
    for node in nodes(json.loads(DOCUMENT.read_text(encoding="utf-8"))):
        for text in node.get("error_description", {}).get("enum", ()) if "error_description" in node else ():
            yield Text("openapi.json", text)
