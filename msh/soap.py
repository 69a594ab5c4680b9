"""Durable, resent and protected delivery for any zeep client, without changing its calls.

::

    with msh.blocking.MessageServiceHandler.from_config("msh.toml", listen=False) as handler:
        client = zeep.Client("sms.wsdl", transport=msh.soap.DurableTransport(handler))
        reply = client.service.PS810FTRQ(**values)

zeep writes the body; all else is the handler's: the message is on disk before anything leaves, and
its agreement says where to, how protected and how often.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from lxml import etree
from requests import Response
from zeep.transports import Transport

from msh import blocking
from msh.agreement import Agreements
from msh.envelope import SOAP, serialise
from msh.errors import MalformedMessage, UsageError
from msh.handler import MessageServiceHandler
from msh.message import Message, Outgoing
from msh.profile import Profile
from msh.xml import Element

__all__ = ["KEY_HEADER", "AsyncDurableTransport", "DurableTransport"]

#: The HTTP header by which a call is given a key of the caller's own.
KEY_HEADER = "Idempotency-Key"
_XML = "text/xml; charset=utf-8"


class _Durable(Transport):
    """What both transports are: files are read, and nothing is fetched or posted."""

    _close_session = False  # also of one that was never made: zeep asks when it goes

    def __init__(self, agreements: Agreements, timeout: float | None, when_open: bool) -> None:
        make: Any = super().__init__
        make(operation_timeout=timeout)
        self._agreements = agreements
        self._when_open = when_open
        # zeep writes values that it cannot convert into its log, and at DEBUG whole envelopes.
        for name in ("zeep.xsd", "zeep.transports"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def load(self, url: str) -> bytes:
        """The file at ``url``. Raises `UsageError` for an address on a network."""
        scheme = urlsplit(str(url)).scheme
        if len(scheme) > 1 and scheme != "file":  # one letter is a drive
            raise UsageError(
                f"{url}: is on a network, and nothing is fetched from there; `msh wsdl` writes a "
                "WSDL with all that it loads"
            )
        read: Any = super().load
        return bytes(read(url))

    def get(self, address: str, params: object, headers: object) -> Response:
        """Raises `UsageError`: a message is posted."""
        raise UsageError("only SOAP calls go through a durable transport; there is nothing to get")

    def post(self, address: str, message: object, headers: object) -> Response:
        """Raises `UsageError`: an envelope comes by `post_xml`."""
        raise UsageError("only SOAP calls go through a durable transport")


class DurableTransport(_Durable):
    """A transport of `zeep.Client` that gives each call to a handler of `msh.blocking`.

    A call returns the reply as zeep would, whatever its status code. The header block may be left
    out. What it says of service, receiver, MsgId and RefToMsgId is kept, and the rest is made
    anew. A call with a MsgId, or with the HTTP header ``Idempotency-Key``, may be repeated, also
    after a crash: it is the same message, whose reply it waits for. Any other call is a new one.

    Raises what `msh.blocking.MessageServiceHandler.send` and `Receipt.reply` raise: `UsageError`,
    after which nothing was queued; `Undelivered`, `InDoubt` and other ends without a plain answer;
    `TimeoutError` after ``timeout`` seconds (None: at the end of the delivery, however it ends),
    after which the message goes on by its schedule. ``when_open`` queues outside service hours.
    """

    def __init__(
        self,
        handler: blocking.MessageServiceHandler,
        *,
        timeout: float | None = 60.0,
        when_open: bool = False,
    ) -> None:
        if not isinstance(handler, blocking.MessageServiceHandler):
            raise UsageError(
                f"a handler of msh.blocking is wanted, not {type(handler).__name__}; for "
                "zeep.AsyncClient there is msh.soap.AsyncDurableTransport"
            )
        super().__init__(handler.agreements, timeout, when_open)
        self._handler = handler

    def post_xml(self, address: str, envelope: Element, headers: Mapping[str, str]) -> Response:
        """Queue the call's message, and wait for its reply."""
        call = _call(envelope, headers, self._agreements)
        receipt = self._handler.send(
            call.service,
            call.body,
            to=call.to or None,
            key=call.key,
            message_id=call.message_id,
            ref_to=call.ref_to,
            when_open=self._when_open,
        )
        try:
            reply = receipt.reply(self.operation_timeout)
        except TimeoutError as error:
            raise _followed(error, receipt.message_id) from None
        return _response(reply, self._agreements)


class AsyncDurableTransport(_Durable):
    """The same for `zeep.AsyncClient` and a `msh.MessageServiceHandler` of the same event loop."""

    def __init__(
        self,
        handler: MessageServiceHandler,
        *,
        timeout: float | None = 60.0,
        when_open: bool = False,
    ) -> None:
        if not isinstance(handler, MessageServiceHandler):
            raise UsageError(
                f"a msh.MessageServiceHandler is wanted, not {type(handler).__name__}; for "
                "zeep.Client there is msh.soap.DurableTransport"
            )
        super().__init__(handler.agreements, timeout, when_open)
        self._handler = handler

    async def post_xml(
        self, address: str, envelope: Element, headers: Mapping[str, str]
    ) -> Response:
        """Queue the call's message, and wait for its reply."""
        call = _call(envelope, headers, self._agreements)
        receipt = await self._handler.send(
            call.service,
            call.body,
            to=call.to or None,
            key=call.key,
            message_id=call.message_id,
            ref_to=call.ref_to,
            when_open=self._when_open,
        )
        try:
            reply = await receipt.reply(self.operation_timeout)
        except TimeoutError as error:
            raise _followed(error, receipt.message_id) from None
        return _response(reply, self._agreements)

    async def aclose(self) -> None:
        """Nothing is held: the handler is its owner's."""


def _call(envelope: Element, headers: Mapping[str, str], agreements: Agreements) -> Outgoing:
    """What is to be sent, of the envelope that zeep made. Raises `UsageError`."""
    profiles = {agreement.profile.namespace: agreement.profile for agreement in agreements}
    body = _only_child(envelope)
    values: dict[str, str] = {}
    for block in envelope.iterfind(f"{{{SOAP}}}Header/*"):
        name = etree.QName(block)
        profile = profiles.get(name.namespace or "")
        if profile is None or name.localname != profile.names.block:
            raise UsageError(
                f"the call has a header {name.localname!r}, which would not be sent; protection "
                "and addresses are told by the agreement"
            )
        values.update(_values(block, profile))
    sender = values.get("sender", agreements.own)
    if sender != agreements.own:
        raise UsageError(f"the call's sender is {sender!r}, and this handler's {agreements.own!r}")
    service = values.get("service") or _acted(headers.get("SOAPAction", ""), profiles)
    if not service and body is not None:
        service = etree.QName(body).localname
    return Outgoing(
        service,
        None if body is None else _apart(body, profiles),
        to=values.get("receiver", ""),
        key=headers.get(KEY_HEADER),
        message_id=values.get("message_id"),
        ref_to=values.get("ref_to"),
    )


def _only_child(envelope: Element) -> Element | None:
    body = envelope.find(f"{{{SOAP}}}Body")
    if body is None:
        raise UsageError("the call is not SOAP 1.1, in which messages are written")
    if len(body) > 1:
        raise UsageError("the call's Body holds more than one element")
    return body[0] if len(body) else None


def _values(block: Element, profile: Profile) -> dict[str, str]:
    """What the header block says of the message, by the names of `HeaderNames`."""
    found = {etree.QName(element).localname: (element.text or "").strip() for element in block}
    fields = ("service", "message_id", "ref_to", "sender", "receiver")
    values = {field: found.get(getattr(profile.names, field), "") for field in fields}
    return {field: value for field, value in values.items() if value}


def _acted(action: str, profiles: Mapping[str, Profile]) -> str:
    """The service that a SOAPAction of our WSDL tells, or nothing."""
    namespace, _, service = action.strip('"').rpartition("#")
    return service if namespace in profiles else ""


def _apart(body: Element, profiles: Mapping[str, Profile]) -> bytes:
    """The body without the declarations of the envelope around it."""
    around = {SOAP, *profiles}
    kept = [prefix for prefix, uri in body.nsmap.items() if prefix and uri not in around]
    alone = deepcopy(body)
    alone.tail = None
    etree.cleanup_namespaces(alone, keep_ns_prefixes=kept)
    return etree.tostring(alone, encoding="utf-8")


def _response(reply: Message, agreements: Agreements) -> Response:
    """The reply as zeep takes it from HTTP."""
    profile = agreements[reply.sender].profile
    if not reply.body:  # for which zeep has only an IndexError
        content, status = profile.content, reply.status
        body = content.checked(reply.service, status) if content and status else b""
        if not body:
            raise MalformedMessage(
                f"the reply {reply.message_id} ({status}) to {reply.ref_to} has no body, and its "
                "schema asks for one; handler.receipt(...).reply() gives it as it is"
            )
        reply = replace(reply, body=body)
    response = Response()
    response.status_code = 200
    response.headers["Content-Type"] = _XML
    response._content = serialise(reply, profile)
    return response


def _followed(error: TimeoutError, message_id: str) -> TimeoutError:
    return TimeoutError(
        f"{error}; handler.receipt({message_id!r}) follows it, and a call with the same MsgId or "
        f"{KEY_HEADER} waits for it again"
    )
