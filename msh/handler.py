"""The handler: store, transport, sender and receiver put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msh.agreement import Agreements
from msh.batches import Batching
from msh.clock import Clock, SystemClock
from msh.config import Configuration, read_configuration
from msh.cuttime import keep_cut_time
from msh.deliverylog import DeliveryLog
from msh.desk import HandlerFunction, require_handler, require_handlers, require_services
from msh.errors import UsageError
from msh.message import Outgoing
from msh.observer import Observer, Observers
from msh.outcomeleg import Leg, OutcomeLeg
from msh.protocol.cuttime import CutTime
from msh.protocol.examine import Examined, examine
from msh.protocol.journal import Entry
from msh.protocol.source import Network
from msh.receipt import Receipt
from msh.receiver import Receiver
from msh.securities import Securities
from msh.sender import Sender
from msh.store import Store, StoredKey, open_store
from msh.transport import Settings, Transport, open_transport
from msh.transport.base import Acceptance, Peer
from msh.transport.tls import Tls

_log = logging.getLogger("msh")
Function = TypeVar("Function", bound=Callable[..., Any])


class MessageServiceHandler(OutcomeLeg, Batching):
    """A Message Service Handler: sends and receives under agreements (TDCC PSP 9.7.3).

    ::

        handler = msh.MessageServiceHandler.from_config("bank.toml")

        @handler.on("PS810FTRQ")
        def transfer(request: msh.Message) -> msh.Reply:
            return msh.Reply("PSPBK0000I")

        async with handler:
            receipt = await handler.send("PS811FTRRQ", body, to="PSP", key="invoice-17")
            reply = await receipt.reply()

    With a place to listen it needs a handler for every service that an agreement accepts. Without
    one, and without handlers, it only sends, and leaves what others received alone.
    """

    def __init__(
        self,
        agreements: Agreements,
        store: Store | str,
        *,
        listen: str | None = None,
        transports: Mapping[str, Transport] | None = None,
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
        grace: float = 30.0,
        tls: Tls | None = None,
        proxies: Iterable[Network] = (),
        cut_time: CutTime | None = None,
    ) -> None:
        if not isinstance(agreements, Agreements):
            raise UsageError(
                f"agreements must be msh.Agreements, not {type(agreements).__name__}; for a file "
                "write MessageServiceHandler.from_config(FILE)"
            )
        self.agreements = agreements
        self.store = open_store(store) if isinstance(store, str) else store
        self.url: str | None = None
        self._listen = listen
        self._transports = dict(transports or {})
        self._clock = clock or SystemClock()
        self._observers = Observers([DeliveryLog(), *observers])
        self._grace = grace
        self._cut_time = cut_time
        self._cutting: asyncio.Task[None] | None = None
        self._settings = Settings(tls, tuple(proxies))
        self._handlers: dict[str, HandlerFunction] = {}
        self._securities = Securities(agreements, self.store, self._clock, tls)
        self._sender: Sender | None = None
        self._receiver: Receiver | None = None
        self._listener: Transport | None = None
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    def from_config(
        cls,
        source: str | Path | Configuration,
        *,
        listen: bool = True,
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
    ) -> Self:
        """The handler that ``msh.toml`` describes. Raises `ConfigurationError` with every mistake.

        With ``listen=False`` it only sends, beside a server that uses the same file.
        """
        configuration = (
            source if isinstance(source, Configuration) else read_configuration(Path(source))
        )
        return cls(
            configuration.agreements,
            configuration.store,
            listen=configuration.listen if listen else None,
            observers=observers,
            clock=clock,
            grace=configuration.grace,
            tls=configuration.tls,
            proxies=configuration.proxies,
            cut_time=configuration.cut_time,
        )

    # registering

    def on(self, *services: str) -> Callable[[Function], Function]:
        """Register the decorated function, plain or ``async``, as the handler of ``services``.

        It gets the `Message`, and the run's number (from 1) if it has a parameter ``run``, and
        returns a `Reply`, or raises `Refuse`. Any other exception is a
        failure, not an answer: the handler runs again later. Raises `UsageError` for services that
        no agreement accepts or that have a handler, and for what cannot be called like that.
        """
        accepted = {service for agreement in self.agreements for service in agreement.accepts}
        require_services(services, accepted, self._handlers)

        def register(function: Function) -> Function:
            require_handler(function)
            for service in services:
                self._handlers[service] = function
            return function

        return register

    def observe(self, observer: Observer) -> None:
        """Show ``observer`` every journal entry of this process, once it is durable."""
        self._observers.add(observer)

    # running

    async def start(self, *, deliver: bool = True) -> None:
        """Open the store, deliver what is queued, and listen if there is anything to receive.

        Without ``deliver`` nothing leaves by itself: messages are queued for another process, or
        delivered one by one with `Sender.deliver_only`. Raises `StoreError`, or
        `ConfigurationError` for accepted services without a handler; then nothing runs.
        """
        if self._sender is not None or self._ending is not None:
            raise UsageError("this handler runs already, or is still being stopped")
        if self._handlers or self._listen is not None:
            require_handlers(self.agreements, self._handlers)
        if self._securities.closed:
            self._securities = Securities(
                self.agreements, self.store, self._clock, self._settings.tls
            )
        await self.store.open(self._notify, self.agreements.own)
        try:
            await self._securities.load()
            handlers = self._handlers
            self._sender = sender = self._new_sender(self._used_transports())
            self._leg = leg = Leg(self.agreements, self.store, sender, self._clock)
            await leg.awaited.load()
            if handlers or self._listen is not None:
                handlers = {**self._securities.handlers(), **leg.handlers(), **handlers}
            self._receiver = receiver = Receiver(
                self.agreements,
                self.store,
                self._securities.of,
                self._clock,
                handlers,
                draft=sender.draft,
                late=sender.late,
                queued=sender.wake,
                awaited=leg.awaited,
            )
            self._securities.start()
            if deliver:
                sender.start()
                leg.start()
            self.store.watch(self._changed)
            if handlers:
                self._receiver.start()
            if handlers and self._listen is not None:
                self._listener = listener = self._transport_of(self._listen)
                self.url = await listener.listen(self._listen, self.accept, self.ready, receiver)
                if self._cut_time:
                    cutting = keep_cut_time(self._cut_time, self.agreements, sender, self._clock)
                    self._cutting = asyncio.create_task(cutting, name="msh-cut-time")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take nothing new, finish what is in hand, and let go of everything.

        A caller that is cancelled does not end it, and a second one waits for the first.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._stop())
            self._ending.add_done_callback(self._ended)
        await asyncio.shield(self._ending)

    async def _stop(self) -> None:
        """Each step is done, last one first, whatever becomes of the steps before it."""
        async with AsyncExitStack() as steps:
            steps.push_async_callback(self.store.close)
            steps.push_async_callback(self._securities.close)
            for transport in self._transports.values():
                steps.push_async_callback(transport.close)
            steps.push_async_callback(self._stop_sending)
            steps.push_async_callback(self._stop_receiving)

    async def _stop_receiving(self) -> None:
        """The listener and the handlers end together: each connection waits for its handler."""
        if self._cutting is not None:
            self._cutting.cancel()
        try:
            if self._receiver is not None:
                stopping = [self._receiver.stop(self._grace)]
                if self._listener is not None:
                    stopping.append(self._listener.stop_listening())
                await asyncio.gather(*stopping)
        finally:
            self._receiver = self._listener = self.url = None

    async def _stop_sending(self) -> None:
        """Only now: until they ended, handlers may have sent."""
        sender, self._sender = self._sender, None
        leg, self._leg = self._leg, None
        if leg is not None:
            await leg.stop()
        if sender is not None:
            await sender.stop(self._grace)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def ready(self) -> bool:
        """Whether messages can be taken now: running, and the store answers."""
        if self._receiver is None or self._ending is not None:
            return False
        await self.store.last_entry()
        return True

    # sending

    async def send(
        self,
        service: str,
        body: bytes | str | None,
        *,
        to: str | None = None,
        key: str | None = None,
        message_id: str | None = None,
        ref_to: str | None = None,
        when_open: bool = False,
    ) -> Receipt:
        """Queue a message; it is on disk when this returns. See `Sender.send`."""
        return await self.sender.send(
            service, body, to=to, key=key, message_id=message_id, ref_to=ref_to, when_open=when_open
        )

    async def receipt(self, message_id: str) -> Receipt:
        """The receipt of a message sent earlier, also before a restart."""
        return await self.sender.receipt(message_id)

    async def resend(self, message_id: str) -> Receipt:
        """Begin a new series of attempts, with the same bytes and id. See `Sender.resend`."""
        return await self.sender.resend(message_id)

    async def compose(
        self,
        service: str,
        body: bytes | str | None,
        *,
        to: str | None = None,
        message_id: str | None = None,
        ref_to: str | None = None,
    ) -> bytes:
        """The exact bytes that would leave now. Nothing is stored, and nothing needs to run.

        Raises `NotAgreed`, `InvalidBody` or `MessageTooLarge`, as `send` does.
        """
        outgoing = Outgoing(service, body, to or "", message_id=message_id, ref_to=ref_to)
        await self._load_keys()
        return await self._new_sender({}).compose(outgoing)

    async def examine(self, wire: bytes) -> Examined:
        """What the inbound checks say of ``wire`` now. Nothing is stored, nothing needs to run."""
        await self._load_keys()
        return await examine(wire, self.agreements, self._securities.examine, self._clock.now())

    async def exchange_key(self, peer: str) -> StoredKey:
        """Exchange a new working key with ``peer`` and use it from then on; returns it, wrapped.

        Safe to repeat at any time. Raises `UsageError` where no MACs are agreed, `DeliveryError`
        if no answer comes, `NotAuthentic` for a refusal.
        """
        sender = self.sender
        keys = self._securities.require_keys()
        return await keys.exchange(peer, sender, deliver=not sender.started)

    async def retire_key(self, peer: str, key: str) -> bool:
        """Retire a working key that others know, at once and in every process of the store.

        From then on nothing under it counts. False if it was retired, or is not known. Raises
        `UsageError` where no MACs are agreed, or `StoreError`.
        """
        return await self._securities.require_keys().retire(peer, key)

    @property
    def sender(self) -> Sender:
        """The sending side. Raises `UsageError` while the handler does not run."""
        if self._sender is None:
            raise UsageError("the handler does not run; use it in `async with handler:`")
        return self._sender

    @property
    def receiver(self) -> Receiver:
        """The receiving side. Raises `UsageError` while the handler does not run."""
        if self._receiver is None:
            raise UsageError("the handler does not run; use it in `async with handler:`")
        return self._receiver

    # receiving by other means than `listen`

    async def accept(
        self, wire: bytes, peer: Peer, stored: Callable[[], None] = lambda: None
    ) -> Acceptance:
        """Decide on a message that came by any transport."""
        return await self.receiver.accept(wire, peer, stored)

    def asgi(self, *, path: str | None = None) -> Callable[..., Awaitable[None]]:
        """This handler's acceptance as an ASGI application, to mount in a web framework.

        Header deadlines and TLS are then the host's; ``proxies`` are believed as by `listen`.
        """
        from msh.transport.asgi import asgi_app

        return asgi_app(
            self.accept,
            path=path or next(iter(self.agreements)).profile.path,
            ready=self.ready,
            proxies=self._settings.proxies,
            admits=lambda peer: self.receiver.admits(peer),
        )

    # parts

    def _new_sender(self, transports: Mapping[str, Transport]) -> Sender:
        return Sender(self.agreements, self.store, transports, self._securities.of, self._clock)

    def _notify(self, entries: Sequence[Entry]) -> None:
        if self._sender is not None:
            self._sender.noticed(entries)
        if self._leg is not None:
            self._leg.noticed(entries)
        self._observers.notify(entries)

    def _changed(self) -> None:
        """Another process changed the store."""
        self._securities.changed()
        if self._sender is not None:
            self._sender.changed()
        if self._leg is not None:
            self._leg.changed()

    async def _load_keys(self) -> None:
        """Working keys are in the store, which is open only while the handler runs."""
        if self._sender is None and self._securities.keys is not None:
            await self.store.open(lambda entries: None, self.agreements.own)
            try:
                await self._securities.load()
            finally:
                await self.store.close()

    def _used_transports(self) -> Mapping[str, Transport]:
        for agreement in self.agreements:
            if agreement.endpoint is not None:
                self._transport_of(agreement.endpoint)
        return self._transports

    def _transport_of(self, url: str) -> Transport:
        scheme = url.partition(":")[0]
        if scheme not in self._transports:
            self._transports[scheme] = open_transport(scheme, self._settings)
        return self._transports[scheme]
