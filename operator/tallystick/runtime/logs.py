"""How both processes log: one line per event, through structlog, with no token in it.

kopf, aiohttp and asyncio log through the standard library; their records pass through the same formatter.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from tallystick.runtime.redaction import redact

# kopf logs each handler call of each object at INFO; the queue and the audit log say what matters of those.
QUIET = ("aiohttp", "aiohttp.access", "asyncio", "kopf.objects")


def configure_logging(*, level: str = "INFO", stream: TextIO | None = None, json: bool | None = None) -> None:
    """Set up structlog and the standard library's logging. Call it once, first thing in a process.

    Args:
        level: The lowest level that is written: DEBUG, INFO, WARNING or ERROR.
        stream: Where lines go; None means standard error.
        json: JSON or text for people; None means JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    as_json = not stream.isatty() if json is None else json
    before: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # A traceback as text shows lines of code and no local variable, which may hold a token.
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(before, as_json=as_json, colors=stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def redact_line(_logger: WrappedLogger, _method: str, line: str | bytes | EventDict) -> str:
    """The last processor: it sees the finished line, so that no key, nested value or traceback escapes it."""
    return redact(str(line))


def _formatter(before: list[Processor], *, as_json: bool, colors: bool) -> logging.Formatter:
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer, redact_line],
    )
