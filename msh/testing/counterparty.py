"""A counterparty for users' tests: a real receiver behind a proxy that loses, delays or repeats."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from msh.agreement import Agreement, Agreements, Handling
from msh.blocking import MessageServiceHandler
from msh.message import Message, Reply
from msh.profile import Check, Profile, Role
from msh.profiles import standard_profile
from msh.protocol.journal import Entry
from msh.testing.faults import FaultProxy

Answer = Callable[[Message], Reply]


class Counterparty:
    """The other side of an agreement, on loopback and in threads of its own.

    ``url`` is the endpoint to send to. ``lose_request``, ``lose_reply``, ``cut_request``,
    ``cut_reply``, ``delay_request``, ``delay_reply``, ``repeat`` and ``answer`` say what happens
    to the n-th message (from 1) that arrives at the proxy. ``messages`` are those whose handler
    ran, ``seen`` counts copies. Bodies may hold any XML unless it ``checks_content``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        role: Role | str = Role.PSP,
        party: str = "PSP",
        peer: str = "BIZ",
        peer_role: Role | str = Role.BUSINESS,
        peer_url: str | None = None,
        answer: Answer | None = None,
        profile: Profile | None = None,
        accepts: Iterable[str] | None = None,
        checks_content: bool = False,
    ) -> None:
        profile = profile or standard_profile()
        requests = {r.code for r in profile.catalog.services.values() if r.kind == "request"}
        services = frozenset(accepts) if accepts is not None else frozenset(requests)
        agreement = Agreement(
            own=party,
            own_role=Role(role),
            peer=peer,
            peer_role=Role(peer_role),
            profile=profile,
            checks_content=checks_content,
            endpoint=peer_url,
            sends=frozenset(requests) if peer_url else frozenset(),
            accepts=services,
            handling=Handling(retry_after=timedelta(milliseconds=50)),
        )
        done = agreement.own_codes[Check.DONE]
        self.messages: list[Message] = []
        self.journal: list[Entry] = []
        self._answer = answer or (lambda message: Reply(done))
        self._handler = MessageServiceHandler(
            Agreements.of(party, [agreement]),
            f"sqlite:///{folder / f'{party}.db'}",
            listen=f"http://127.0.0.1:0{profile.path}",
        )
        self._handler.on(*services)(self._handle)
        self._handler.observe(self.journal.append)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._proxy: FaultProxy | None = None

    @property
    def url(self) -> str:
        """Where to send: the proxy's address."""
        return self.proxy.url

    @property
    def proxy(self) -> FaultProxy:
        """The proxy in front of the receiver."""
        assert self._proxy is not None, "the counterparty is not started"
        return self._proxy

    @property
    def seen(self) -> int:
        """How many copies the proxy has seen."""
        return self.proxy.seen

    def lose_request(self, n: int) -> Self:
        """The n-th message never arrives; its connection closes."""
        self.proxy.lose_request(n)
        return self

    def lose_reply(self, n: int) -> Self:
        """The n-th message is handled, and its reply lost."""
        self.proxy.lose_reply(n)
        return self

    def cut_request(self, n: int) -> Self:
        """Only half of the n-th message arrives."""
        self.proxy.cut_request(n)
        return self

    def cut_reply(self, n: int) -> Self:
        """Only half of the n-th reply comes back."""
        self.proxy.cut_reply(n)
        return self

    def delay_request(self, n: int, seconds: float) -> Self:
        """The n-th message arrives late."""
        self.proxy.delay_request(n, seconds)
        return self

    def delay_reply(self, n: int, seconds: float) -> Self:
        """The n-th reply comes back late."""
        self.proxy.delay_reply(n, seconds)
        return self

    def repeat(self, n: int, times: int = 2) -> Self:
        """The n-th message arrives ``times`` times, at once."""
        self.proxy.repeat(n, times)
        return self

    def answer(self, n: int, status_code: int) -> Self:
        """The n-th message meets an HTTP error instead."""
        self.proxy.answer(n, status_code)
        return self

    def send(self, service: str, body: bytes | str = b"", *, ref_to: str | None = None) -> Message:
        """Send to the party under test (its ``peer_url``) and wait for the reply."""
        return self._handler.send(service, body, ref_to=ref_to).reply(timeout=30)

    def _handle(self, message: Message) -> Reply:
        self.messages.append(message)
        return self._answer(message)

    def __enter__(self) -> Self:
        self._handler.start()
        self._thread.start()
        assert self._handler.url is not None
        self._proxy = FaultProxy(self._handler.url)
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        closing = self.proxy.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(closing, self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._handler.stop()
