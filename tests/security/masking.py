"""A pytest plugin: what fixtures plant in bodies and keys may reach no log, fault or error text.

Every log record, warning, SOAP fault and text of msh's own errors of the whole suite is looked at
as it is made, and the test that made it fails. (Records below a logger's level are never made.)
"""

from __future__ import annotations

import base64
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from msh.errors import MshError
from msh.transport.base import Unreadable

#: An account number and a name: in the sample bodies of `msh init`, and in bodies of tests.
ACCOUNT, NAME = "99900200000001", "投資人甲"
#: A key-encryption key of tests.
KEY = b"\x5a\x3c" * 16
PLANTED = tuple(
    text.lower() for text in (ACCOUNT, NAME, KEY.hex(), base64.b64encode(KEY).decode().rstrip("="))
)


class Watch:
    """What was looked at, and where a planted value turned up."""

    def __init__(self) -> None:
        self.looked = 0
        self._found: list[str] = []

    def look(self, where: str, text: str) -> None:
        """Note it if ``text`` holds a planted value."""
        self.looked += 1
        text = text.lower()
        self._found += [f"{where} shows {secret}" for secret in PLANTED if secret in text]

    def take(self) -> list[str]:
        """What was found since the last time."""
        found, self._found = self._found, []
        return found


WATCH = Watch()


class Masking:
    """The plugin, registered by tests/conftest.py."""

    def __init__(self) -> None:
        self._factory = logging.getLogRecordFactory()
        self._error = MshError.__init__
        self._fault = Unreadable.__init__

    def pytest_sessionstart(self) -> None:
        logging.setLogRecordFactory(self._record)
        original_fault = self._fault

        def of_error(error: MshError, *texts: Any) -> None:
            for text in texts:
                WATCH.look(f"the text of a {type(error).__name__}", str(text))
            BaseException.__init__(error, *texts)

        def of_fault(unreadable: Unreadable, fault: bytes, *further: Any, **named: Any) -> None:
            WATCH.look("a SOAP fault", fault.decode(errors="replace"))
            original_fault(unreadable, fault, *further, **named)

        MshError.__init__ = of_error  # type: ignore[method-assign]
        Unreadable.__init__ = of_fault  # type: ignore[method-assign]

    def _record(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record = self._factory(*arguments, **named)
        where = f"a log line of {record.name}"
        WATCH.look(where, record.getMessage())
        error = record.exc_info[1] if record.exc_info else None
        while error is not None:
            WATCH.look(where, str(error))
            error = error.__cause__ or error.__context__
        return record

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        WATCH.look("a warning", str(warning_message.message))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        try:
            return (yield)
        finally:
            if found := WATCH.take():
                pytest.fail("; ".join(dict.fromkeys(found)), pytrace=False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        logging.setLogRecordFactory(self._factory)
        MshError.__init__ = self._error  # type: ignore[method-assign]
        Unreadable.__init__ = self._fault  # type: ignore[method-assign]
        if found := WATCH.take():  # after the last test
            print("\n".join(found))
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
