"""The code in docs/ runs, block after block, and the documents agree with the code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sybil import Document
from sybil.parsers.myst import CodeBlockParser

from msh.testing.counterparty import Counterparty
from tests.docs.conftest import Made

DOCS = Path(__file__).resolve().parents[2] / "docs"
#: Documents whose code stands in another folder than the business system's.
ROLES = {"handlers.md": "psp", "http.md": "psp"}


def blocks(document: Path) -> list[tuple[int, str]]:
    """The Python blocks of a document, also invisible ones: line and source."""
    parser = CodeBlockParser(language="python", evaluator=lambda example: None)
    parsed = Document.parse(str(document), parser)
    return [(example.line + 1, str(example.parsed)) for example in parsed.examples()]


async def execute(source: str, document: Path, line: int, names: dict[str, Any]) -> None:
    """Run a block, which may use ``await`` as if it stood in an ``async def``."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (line - 1) + source, str(document), "exec", flags, dont_inherit=True)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result


WITH_CODE = sorted(page.name for page in DOCS.glob("*.md") if blocks(page))


@pytest.mark.parametrize("name", WITH_CODE)
async def test_the_code_runs(
    name: str,
    folder: Made,
    platform: Counterparty,
    msh_counterparty: Callable[..., Counterparty],
    request: pytest.FixtureRequest,
) -> None:
    folder(ROLES.get(name, "business"), platform.url)
    names: dict[str, Any] = {"__name__": "document", "platform": platform}
    for line, source in blocks(DOCS / name):
        await execute(source, DOCS / name, line, names)
