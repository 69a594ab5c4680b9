"""A business system and a platform that exchange requests and results, with bodies checked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import msh
from tests.handler.conftest import World, world

__all__ = ["world"]

MESSAGES = Path(__file__).resolve().parents[2] / "examples" / "messages"
REQUESTS = frozenset({"PS810FTRQ", "PS811FTRRQ", "PS830INQRQ", "PS831INRRQ", "PS802RSDRQ"})


def sample(service: str, **changes: str) -> str:
    """The sample body of a service, with the texts of some elements changed."""
    text = (MESSAGES / f"{service}.xml").read_text(encoding="utf-8")
    text = text.partition("?>")[2].strip()
    for name, value in changes.items():
        before, _, rest = text.partition(f"<{name}>")
        text = f"{before}<{name}>{value}</{name}>{rest.partition(f'</{name}>')[2]}"
    return text


class Pair:
    """BIZ and PSP on one network; each keeps what its handlers got, and answers by a table."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.got: dict[str, list[msh.Message]] = {"BIZ": [], "PSP": []}
        self.repeats: list[bool] = []
        self.answers: dict[str, object] = {}

    def make(self, own: str, **changes: object) -> msh.MessageServiceHandler:
        """A handler that is not started yet."""
        usual = {
            "sends": REQUESTS,
            "accepts": REQUESTS,
            "checks_content": True,
            "time_to_live": timedelta(minutes=10),
            "clock_skew": timedelta(minutes=1),
        }
        handler = self.world.handler(own, **{**usual, **changes})

        @handler.on(*(REQUESTS - {"PS802RSDRQ"}))
        async def handle(message: msh.Message, repeat: bool) -> msh.Reply:
            self.got[own].append(message)
            self.repeats.append(repeat)
            answer = self.answers.get(message.service)
            return answer(message) if callable(answer) else msh.Reply(answer or "PSPPM0000I")

        return handler

    async def start(self, own: str, **changes: object) -> msh.MessageServiceHandler:
        """A started one."""
        return await self.world.start(self.make(own, **changes))

    def seen(self, own: str, service: str) -> list[str]:
        """The ids of the messages of a service that a handler of ``own`` got."""
        return [one.message_id for one in self.got[own] if one.service == service]


@pytest.fixture
def pair(world: World) -> Pair:
    return Pair(world)
