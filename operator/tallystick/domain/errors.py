"""The error tree. A name says what happens next, not where it broke.

An expected "no" inside a decision is a value; these are for the edges.
"""


class TallystickError(Exception):
    """Something the user or the caller is told about. Its text never holds a token, a key or a claim's value."""


class InvalidSettingError(TallystickError):
    """The process was started with a setting that it cannot use. The text says which, and what to set instead."""


class ExchangeRefusedError(TallystickError):
    """The exchange says no: an OAuth error code and a description for the caller (RFC 6749 5.2).

    `outcome` is the word of the metrics, where it says more than the code.
    """

    def __init__(self, code: str, description: str, *, outcome: str = "") -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.outcome = outcome or code


class NotYetError(TallystickError):
    """Something that is needed is not there yet, or cannot be known now. The caller may ask again."""

    def __init__(self, reason: str, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
