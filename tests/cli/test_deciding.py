"""`msh rerun`, `close`, `settle`: what an operator decides, and what `show` tells of results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from msh.profiles import standard_profile
from msh.protocol import delivery, reception
from msh.store import Store, open_store
from msh.testing.contracts.samples import delivery_in, reception_in, result_comes
from tests.cli.conftest import Folder, Run

NOW = datetime.now(UTC)


def stored(folder: Folder, act: Callable[[Store], Awaitable[object]]) -> None:
    """Do something in a folder's store."""

    async def run() -> None:
        store = open_store(f"sqlite:///{folder.database}")
        await store.open(lambda entries: None)
        try:
            await act(store)
        finally:
            await store.close()

    asyncio.run(run())


def shown(run: Run, folder: Folder, message_id: str) -> dict[str, Any]:
    found = run("-c", folder.config, "show", message_id, "--json")
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout)


def aside(folder: Folder) -> None:
    """M-1 of PSP is set aside at BIZ."""
    stored(folder, lambda store: reception_in(store, reception.State.SET_ASIDE, now=NOW))


def doubtful(folder: Folder) -> None:
    """D-1 of BIZ is in doubt."""
    stored(folder, lambda store: delivery_in(store, delivery.State.IN_DOUBT, NOW))


@pytest.mark.parametrize(
    ("found", "state", "word"),
    [
        ("executed", "resolved", "found that it was executed"),
        ("not-executed", "not-executed", "was not executed"),
    ],
)
def test_a_doubt_is_settled(run: Run, biz: Folder, found: str, state: str, word: str) -> None:
    doubtful(biz)
    done = run("-c", biz.config, "settle", "D-1", found, "--because", "they said so")
    assert (done.exit_code, state in done.stdout) == (0, True)
    message = shown(run, biz, "D-1")
    assert (message["state"], message["journal"][-1]["step"]) == (state, "settled")
    assert message["journal"][-1]["details"]["because"] == "they said so"
    assert word in run("-c", biz.config, "why", "D-1").stdout
    again = run("-c", biz.config, "settle", "D-1", found, "--because", "x")
    assert (again.exit_code, "no doubt to settle" in again.stderr) == (2, True)


def test_what_is_set_aside_is_released_for_another_run(run: Run, biz: Folder) -> None:
    aside(biz)
    assert "msh rerun M-1" in run("-c", biz.config, "why", "M-1").stdout
    done = run("-c", biz.config, "rerun", "M-1")
    assert (done.exit_code, "runs again" in done.stdout) == (0, True)
    message = shown(run, biz, "M-1")
    assert (message["state"], message["status"]) == ("released", "PSPPM9999S")
    assert message["journal"][-1]["step"] == "rerun-asked"
    assert run("-c", biz.config, "rerun", "M-1").exit_code == 2


def test_what_is_set_aside_is_closed(run: Run, biz: Folder) -> None:
    aside(biz)
    done = run("-c", biz.config, "close", "M-1", "--because", "told them by phone")
    assert (done.exit_code, done.stdout.strip()) == (0, "M-1 is closed")
    assert shown(run, biz, "M-1")["state"] == "closed"
    assert "an operator has closed it" in run("-c", biz.config, "why", "M-1").stdout
    assert "told them by phone" in run("-c", biz.config, "show", "M-1").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["rerun", "NOBODYS"],
        ["close", "NOBODYS", "--because", "x"],
        ["settle", "NOBODYS", "executed", "--because", "x"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("empty", [True, False])
def test_an_unknown_message(run: Run, biz: Folder, words: list[str], empty: bool) -> None:
    if not empty:
        doubtful(biz)
    refused = run("-c", biz.config, *words)
    assert (refused.exit_code, "NOBODYS" in refused.stderr) == (2, True)
    assert biz.database.exists() is not empty


@pytest.mark.parametrize(
    "words",
    [
        ["close", "M-1"],
        ["close", "M-1", "--because", " "],
        ["settle", "D-1", "--because", "x"],
        ["settle", "D-1", "perhaps", "--because", "x"],
    ],
    ids=str,
)
def test_wrong_use(run: Run, biz: Folder, words: list[str]) -> None:
    aside(biz)
    assert run("-c", biz.config, *words).exit_code == 2
    assert shown(run, biz, "M-1")["state"] == "set-aside"


def test_of_several_senders_one_is_named(run: Run, biz: Folder) -> None:
    from msh.testing.contracts.samples import receive_new

    aside(biz)
    stored(biz, lambda store: receive_new(store, "M-1", sender="OTHER"))
    refused = run("-c", biz.config, "rerun", "M-1")
    assert (refused.exit_code, "OTHER, PSP" in refused.stderr) == (2, True)
    assert run("-c", biz.config, "rerun", "M-1", "--from", "PSP").exit_code == 0


def test_results_are_shown(run: Run, biz: Folder) -> None:
    doubtful(biz)
    for name, code in (("PSP-7", "PSPBK0107E"), ("PSP-8", "PSPBK0000I")):
        stored(
            biz, lambda store, n=name, c=code: result_comes(store, "D-1", NOW, name=n, statuses=[c])
        )
    said = run("-c", biz.config, "show", "D-1").stdout
    newest = said.index("outcome        PSPBK0000I 處理完成 in PSP-8")
    assert newest < said.index("outcome        PSPBK0107E")
    assert "a different one came in PSP-8" in said
    outcomes = shown(run, biz, "D-1")["outcomes"]
    assert [(one["message_id"], one["status"]) for one in outcomes] == [
        ("PSP-8", "PSPBK0000I"),
        ("PSP-7", "PSPBK0107E"),
    ]
    assert standard_profile().catalog.is_result(outcomes[0]["service"])


def test_results_that_were_sent_are_shown_with_their_request(run: Run, biz: Folder) -> None:
    from msh.testing.contracts.samples import draft

    aside(biz)
    sent = draft("D-9", service="PS811FTRRQ", ref_to="M-1")
    stored(biz, lambda store: store.enqueue(sent, NOW))
    assert "by PS811FTRRQ D-9" in run("-c", biz.config, "show", "M-1").stdout
    assert shown(run, biz, "M-1")["results"] == ["D-9"]
