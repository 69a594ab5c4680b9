"""What was asked for again (PS802) and may come any moment."""

from __future__ import annotations

from datetime import datetime

from msh.agreement import Agreement
from msh.clock import Clock
from msh.hours import TAIPEI
from msh.message import Message
from msh.profile import Check
from msh.protocol.checks import Judged, Refusal, judge
from msh.resulting import references_in
from msh.store import Asked, Store
from msh.xml import Element


class Awaited:
    """Tells which new messages come because they were asked for again."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._asked: dict[str, list[Asked]] = {}

    async def load(self) -> None:
        """Read what is asked for from the store, which must be open."""
        asked: dict[str, list[Asked]] = {}
        for peer, one in await self._store.asked_again(self._clock.now()):
            asked.setdefault(peer, []).append(one)
        self._asked = asked

    async def judge(
        self,
        message: Message,
        agreement: Agreement,
        now: datetime,
        element: Element | None = None,
    ) -> tuple[Judged, Refusal | None]:
        """The message with whether it was asked for again, and its refusal."""
        judged = self._judged(message, agreement, now, element)
        refusal = judge(judged)
        if refusal is not None and refusal.check is Check.EXPIRED and not judged.repeat:
            await self.load()  # another process may have asked for it a moment ago
            judged = self._judged(message, agreement, now)
            refusal = judge(judged)
        return judged, refusal

    def _judged(
        self,
        message: Message,
        agreement: Agreement,
        now: datetime,
        element: Element | None = None,
    ) -> Judged:
        judged = Judged(message, agreement, now, element=element)
        asked = self._asked.get(agreement.peer)  # nearly always there is none
        if not asked:
            return judged
        content = agreement.profile.content
        day = message.timestamp.astimezone(content.zone if content else TAIPEI).date()
        references = references_in(agreement, judged.body)
        name, service = message.message_id, message.service
        if any(one.fits(service, day, name, references) for one in asked):
            return Judged(message, agreement, now, repeat=True)
        return judged
