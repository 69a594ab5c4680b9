"""Results (PS811, PS831, PS851, PS861): reading one that came, and writing one about a request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from msh.agreement import Agreement
from msh.catalog import StatusCode
from msh.content import Body, Content, References
from msh.content.body import text_of
from msh.content.building import build
from msh.content.rules.references import references_of
from msh.errors import CatalogError, UsageError
from msh.message import Message, Outgoing
from msh.protocol.checks import Judged
from msh.store import Result


def result_told(judged: Judged) -> Result | None:
    """What a message tells as a result; None if its service is none."""
    row = judged.agreement.profile.catalog.service(judged.message.service)
    if row is None or row.result_of is None:
        return None
    content, body = judged.agreement.content, judged.body
    if content is None or body is None:
        return Result(row.result_of)
    statuses = tuple(_statuses(content, body))
    return Result(row.result_of, references_of(body, content.names), statuses)


def _statuses(content: Content, body: Body) -> Iterator[StatusCode]:
    """The whole's status code, then those of its lines. One that is no code tells nothing."""
    names = content.names
    texts = [body.text(names.status)]
    if texts[0] is not None:
        texts += [text_of(line, names.status) for line in body.all(names.group)]
    for text in texts:
        try:
            if text is not None:
                yield StatusCode.parse(text)
        except CatalogError:
            return


def references_in(agreement: Agreement, body: Body | None) -> References | None:
    """By what a result that names no message will be tied to the one with this body."""
    content = agreement.content
    return references_of(body, content.names) if content and body else None


def result_key(request: Message | tuple[str, str]) -> str:
    """The caller's key of a request's result, so that it is not sent twice."""
    sender, name = (request.sender, request.message_id) if isinstance(request, Message) else request
    key = f"result of {name} from {sender}"
    if len(key) > 200:
        key = f"result {hashlib.sha256(key.encode()).hexdigest()}"
    return key


def result_of(
    agreement: Agreement,
    service: str,
    message_id: str,
    body: bytes | str,
    key: str | None = None,
) -> Outgoing:
    """The message that tells the outcome of a request of the peer.

    Raises `UsageError` for a service that has no result.
    """
    result = agreement.profile.catalog.result_for(service)
    if result is None:
        raise UsageError(f"{message_id}: {service} has no result; its reply is all that is told")
    key = key or result_key((agreement.peer, message_id))
    return Outgoing(result, body, agreement.peer, key, ref_to=message_id)


def plain_result(agreement: Agreement, request: Message, status: StatusCode) -> Outgoing | None:
    """The shortest result of a request: its references, its business type and a status code.

    None where there is no result, where this side may not send it, or where its schema asks for
    more than that.
    """
    content = agreement.content
    service = agreement.profile.catalog.result_for(request.service)
    if content is None or service is None or not agreement.gives(service):
        return None
    asked = content.look(request.body)
    if asked is None:
        return None
    names = content.names
    copied = (names.ssn_id, names.service_ref, names.business_type)
    fields = [(name, asked.text(name)) for name in copied]
    body = build(content, service, [*fields, (names.status, str(status))])
    if content.fault(service, content.look(body)) is not None:
        return None
    return result_of(agreement, request.service, request.message_id, body)
