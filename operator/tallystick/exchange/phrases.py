"""The phrases of HTTP statuses as in RFC 9110. Those of the standard library differ between versions of Python."""

from http import HTTPStatus

# Python 3.13 took over the names of RFC 9110 15.5.
_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def phrase_of(status: int) -> str:
    """Return the phrase of a status, the same on each version of Python."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase
