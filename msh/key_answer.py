"""Waiting for the answer to a step of a key exchange, and no longer than there is any hope."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from msh.clock import Clock
from msh.errors import NotAuthentic, StoreError
from msh.message import Message
from msh.receipt import Receipt
from msh.sender import Sender
from msh.store import Store

#: How often the attempts made so far are looked at, by whichever process they were made.
LOOK_AGAIN = timedelta(milliseconds=500)


async def answer(
    sender: Sender, receipt: Receipt, store: Store, clock: Clock, *, deliver: bool, ours: str
) -> Message:
    """The reply to ``receipt``; raises `NotAuthentic` once anything else has come back instead.

    No resend mends that: most likely the other side has another key-encryption key than ours,
    whose check value is ``ours``. What was to be sent stays queued. ``deliver`` is for a sender
    that was not started.
    """
    waiting = asyncio.create_task(_reply(sender, receipt, deliver))
    watching = asyncio.create_task(_unauthentic(receipt, store, clock))
    try:
        await asyncio.wait((waiting, watching), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        peer = (await receipt.delivery()).receiver
        raise NotAuthentic(
            f"{peer} was reached, but {watching.result()}. Most likely the two sides have "
            "different key-encryption keys: compare their check values (`msh keys check` on both "
            f"sides). Ours is {ours}"
        )
    finally:
        for task in (waiting, watching):
            task.cancel()
        await asyncio.gather(waiting, watching, return_exceptions=True)


async def _reply(sender: Sender, receipt: Receipt, deliver: bool) -> Message:
    if deliver:
        await sender.deliver_only(receipt)
    return await receipt.reply()


async def _unauthentic(receipt: Receipt, store: Store, clock: Clock) -> str:
    """What is wrong with what came back, once something has that is not authentic."""
    while True:
        await clock.sleep_until(clock.now() + LOOK_AGAIN)
        with suppress(StoreError):
            delivery = await receipt.delivery()
            for attempt in await store.attempts(delivery.id):
                if attempt.unauthentic:
                    return attempt.detail
