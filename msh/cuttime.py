"""The end-of-day message: IS910, kind 011, once a business day (TDCC PSP 9.4, 9.6)."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

from msh.agreement import Agreement, Agreements
from msh.catalog import Service
from msh.clock import Clock
from msh.content.values import Bodies
from msh.errors import MshError, UsageError
from msh.hours import TAIPEI
from msh.message import Outgoing
from msh.protocol.cuttime import KIND, CutTime, next_cut
from msh.receipt import Receipt
from msh.sender import Sender

_log = logging.getLogger("msh.cuttime")

TEXT = "結帳"
_PAUSE = timedelta(seconds=30)


async def send_cut_time(sender: Sender, agreement: Agreement, day: date) -> Receipt:
    """Queue the end-of-day message of ``day``; the same one again if it was queued before.

    Raises `NotOpen` before its hours have begun, `UsageError` where it is not agreed.
    """
    outgoing = Outgoing(
        Service.IS910SMDRQ, body_of(agreement, day), agreement.peer, key=key_of(agreement, day)
    )
    return await sender.queue(sender.draft(outgoing), when_open=False)


def key_of(agreement: Agreement, day: date) -> str:
    """The caller's key, so that whoever asks, and however often, it is sent once a day."""
    return f"cut-time-{day}-{agreement.peer}"


def body_of(agreement: Agreement, day: date) -> bytes:
    """The body, in the namespace and by the names of the agreement's profile."""
    content = agreement.profile.content
    if content is None:
        raise UsageError(
            f"{agreement.profile.name} has no body schemas, so what the end-of-day message holds "
            "is not known; send it as any other message"
        )
    names = content.names
    values = {names.message_kind: KIND, names.date: day, names.text: TEXT}
    return Bodies(content).build(Service.IS910SMDRQ, values)


async def keep_cut_time(
    cut_time: CutTime, agreements: Agreements, sender: Sender, clock: Clock
) -> None:
    """Send it every business day, for as long as the handler runs; also late, after a restart."""
    while True:
        now = clock.now()
        waits = timedelta.max
        for peer in cut_time.to:
            agreement = agreements[peer]
            day, at = next_cut(cut_time, agreement.days, now, TAIPEI)
            if at > now:
                waits = min(waits, at - now)
                continue
            waits = min(waits, await _send(sender, agreement, day, at, now))
        await clock.sleep_until(now + waits)


async def _send(
    sender: Sender, agreement: Agreement, day: date, at: datetime, now: datetime
) -> timedelta:
    """Queue it; how long to wait then: until the next day, or, where that failed, a little."""
    try:
        receipt = await send_cut_time(sender, agreement, day)
    except MshError as error:
        _log.error("cannot send the end-of-day message to %s: %s", agreement.peer, error)
        return _PAUSE
    if receipt.created:
        _log.info("end-of-day message of %s to %s: %s", day, agreement.peer, receipt.message_id)
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), TAIPEI)
    return midnight - now
