"""The WSDL of a profile: what SOAP software needs to talk to a Message Service Handler.

WSDL 1.1 with the binding document/literal of SOAP 1.1 over HTTP. Each request is an operation, its
reply the output; the header block of a message (TDCC PSP 9.1) is a header both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import as_file
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from msh.catalog import ServiceRow
from msh.content.schema import XS, files_of, root_name, unusable
from msh.errors import CatalogError, UsageError
from msh.profile import Profile

WSDL_FILE, HEADER_FILE = "sms.wsdl", "header.xsd"
#: The folder of the bodies' schemas, beside both.
BODIES = "bodies"
#: Where the WSDL says that the service is, if nothing else is said: `msh init` for the platform.
USUAL_ADDRESS = "http://127.0.0.1:8710"

# What each header element may hold, and whether a message may do without it.
_HEADER: Sequence[tuple[str, str, bool]] = (
    ("service", "Id", True),
    ("message_id", "Id", True),
    ("ref_to", "Id", False),
    ("ref_digest", "Digest", False),
    ("sender", "Id", True),
    ("receiver", "Id", True),
    ("timestamp", "Moment", True),
    ("expires", "Moment", False),
    ("status", "Status", False),
    ("status_text", "", False),
    ("key_id", "Id", False),
    ("mac", "Mac", False),
)


@dataclass(frozen=True, slots=True)
class _Operation:
    """A request and its reply, each with the prefix and the name of its body's element."""

    request: ServiceRow
    reply: str
    elements: Mapping[str, str]


def soap_action(service: str, profile: Profile) -> str:
    """The SOAPAction by which the WSDL tells a service: the header's namespace, # and the code."""
    return f"{profile.namespace}#{service}"


def files(profile: Profile, address: str | None = None) -> dict[str, bytes]:
    """``sms.wsdl`` and each file that it loads, by their paths in one folder.

    ``address`` is where the service is to be found; without it the profile's path on loopback.
    Raises `UsageError` for a profile without schemas, `CatalogError` if they cannot be used
    together.
    """
    content = profile.content
    if content is None:
        raise UsageError(
            f"profile {profile.name} has no folder `{BODIES}` with schemas, so nothing can be said "
            "of its bodies"
        )
    found: dict[str, bytes] = {HEADER_FILE: header_schema(profile).encode()}
    with ExitStack() as stack:
        folder = stack.enter_context(as_file(content.schemas.folder))
        services = sorted(content.schemas.services)
        roots = {}
        for service in services:
            names = files_of(folder, f"{service}.xsd")
            for name in names:
                found[f"{BODIES}/{name}"] = (folder / name).read_bytes()
            root = etree.fromstring(found[f"{BODIES}/{service}.xsd"])
            roots[service] = (root.get("targetNamespace") or "", root_name(root, service))
        _require_together(folder, roots)
    text = _wsdl(profile, roots, address or USUAL_ADDRESS + profile.path)
    return {WSDL_FILE: text.encode(), **found}


def header_schema(profile: Profile) -> str:
    """The schema of the header block, with the profile's names in its namespace."""
    prefix = _prefix(profile)
    elements = []
    for field, kind, needed in _HEADER:
        typed = f"{prefix}:{kind}" if kind else "xs:string"
        often = "" if needed else ' minOccurs="0"'
        name = getattr(profile.names, field)
        elements.append(f'        <xs:element name="{name}" type="{typed}"{often}/>')
    return _HEADER_SCHEMA.format(
        xs=XS,
        namespace=quoteattr(profile.namespace),
        prefix=prefix,
        block=profile.names.block,
        status=profile.names.status,
        elements="\n".join(elements),
    )


def _require_together(folder: Path, roots: Mapping[str, tuple[str, str]]) -> None:
    """A WSDL has all schemas of a namespace at once, so no two may differ in what they define."""
    for namespace, services in _by_namespace(roots).items():
        schema = _including(namespace, [f"{service}.xsd" for service in services])
        root = etree.fromstring(schema.encode(), base_url=str(folder / "together.xsd"))
        try:
            etree.XMLSchema(root)
        except etree.LxmlError as error:
            raise CatalogError(unusable(folder, "", error)) from None


def _by_namespace(roots: Mapping[str, tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for service, (namespace, _) in roots.items():
        found.setdefault(namespace, []).append(service)
    return found


def _including(namespace: str, locations: Sequence[str], margin: str = "") -> str:
    """An XSD that is all of the XSDs at ``locations``."""
    target = f" targetNamespace={quoteattr(namespace)}" if namespace else ""
    lines = [
        f'<xs:schema xmlns:xs="{XS}"{target}>',
        *(f"  <xs:include schemaLocation={quoteattr(one)}/>" for one in locations),
        "</xs:schema>",
    ]
    return "\n".join(margin + line for line in lines)


def _wsdl(profile: Profile, roots: Mapping[str, tuple[str, str]], address: str) -> str:
    by_namespace = _by_namespace(roots)
    prefixes = _prefixes(profile, by_namespace)
    elements = {
        service: f"{prefixes[namespace]}:{name}" if namespace else name
        for service, (namespace, name) in roots.items()
    }
    locations: dict[str, list[str]] = {profile.namespace: [HEADER_FILE]}
    for namespace, services in by_namespace.items():
        locations.setdefault(namespace, []).extend(f"{BODIES}/{one}.xsd" for one in services)
    operations = [
        _Operation(row, row.reply, elements)
        for row in profile.catalog.services.values()
        if row.kind == "request" and row.reply and {row.code, row.reply} <= elements.keys()
    ]
    return _DEFINITIONS.format(
        namespaces="".join(
            f"\n                  xmlns:{prefix}={quoteattr(namespace)}"
            for namespace, prefix in prefixes.items()
        ),
        target=quoteattr(profile.namespace),
        prefix=prefixes[profile.namespace],
        status=profile.names.status,
        schemas="\n".join(_including(*one, margin="    ") for one in locations.items()),
        messages="\n".join(_messages(profile, prefixes[profile.namespace], operations)),
        port_type="\n".join(_port_type(prefixes[profile.namespace], operations)),
        binding="\n".join(_binding(profile, prefixes[profile.namespace], operations)),
        address=quoteattr(address),
    )


def _prefixes(profile: Profile, by_namespace: Mapping[str, object]) -> dict[str, str]:
    own = _prefix(profile)
    prefixes = {profile.namespace: own}
    for namespace in by_namespace:
        if namespace and namespace not in prefixes:
            body = "body" if own != "body" else "content"
            prefixes[namespace] = body if len(prefixes) == 1 else f"{body}{len(prefixes)}"
    return prefixes


def _prefix(profile: Profile) -> str:
    """The profile's own prefix, if nothing else has it."""
    taken = ("wsdl", "soap", "xs")
    return f"{profile.prefix}-sms" if profile.prefix in taken else profile.prefix


def _messages(profile: Profile, prefix: str, operations: Sequence[_Operation]) -> Iterator[str]:
    block = profile.names.block
    for operation in operations:
        for service in (operation.request.code, operation.reply):
            yield f'  <wsdl:message name="{service}">'
            yield f'    <wsdl:part name="{block}" element="{prefix}:{block}"/>'
            yield f'    <wsdl:part name="body" element="{operation.elements[service]}"/>'
            yield "  </wsdl:message>"


def _port_type(prefix: str, operations: Sequence[_Operation]) -> Iterator[str]:
    for operation in operations:
        row = operation.request
        yield f'    <wsdl:operation name="{row.code}">'
        told = escape(f"{row.gloss} ({row.name})")
        yield f"      <wsdl:documentation>{told}</wsdl:documentation>"
        yield f'      <wsdl:input message="{prefix}:{row.code}"/>'
        yield f'      <wsdl:output message="{prefix}:{operation.reply}"/>'
        yield f'      <wsdl:fault name="Unreadable" message="{prefix}:Unreadable"/>'
        yield "    </wsdl:operation>"


def _binding(profile: Profile, prefix: str, operations: Sequence[_Operation]) -> Iterator[str]:
    block = profile.names.block
    for operation in operations:
        row = operation.request
        action = quoteattr(soap_action(row.code, profile))
        yield f'    <wsdl:operation name="{row.code}">'
        yield f"      <soap:operation soapAction={action}/>"
        for way, service in (("input", row.code), ("output", operation.reply)):
            yield f"      <wsdl:{way}>"
            header = f'message="{prefix}:{service}" part="{block}"'
            yield f'        <soap:header {header} use="literal"/>'
            yield '        <soap:body parts="body" use="literal"/>'
            yield f"      </wsdl:{way}>"
        yield '      <wsdl:fault name="Unreadable">'
        yield '        <soap:fault name="Unreadable" use="literal"/>'
        yield "      </wsdl:fault>"
        yield "    </wsdl:operation>"


_HEADER_SCHEMA = """\
<?xml version="1.0" encoding="UTF-8"?>
<!--
  The header block of a message, as `msh wsdl` writes it from profile.toml.

  Published are the prefix scoi and the names SvcId (TDCC PSP 9.1) and MsgId (9.7.5, 3). The
  namespace, the other names and which of them a message must have are ours, as in profile.toml.
-->
<xs:schema xmlns:xs="{xs}" xmlns:{prefix}={namespace}
           targetNamespace={namespace} elementFormDefault="qualified">

  <xs:element name="{block}">
    <xs:complexType>
      <xs:all>
{elements}
      </xs:all>
    </xs:complexType>
  </xs:element>

  <!-- In the detail of a Fault, which answers what is not a message. -->
  <xs:element name="{status}" type="{prefix}:Status"/>

  <!-- Stray white space around a value is no mistake: the published sample has it (9.1). -->

  <xs:simpleType name="Id">
    <!-- A service, message, party or key: visible ASCII. -->
    <xs:restriction base="xs:token">
      <xs:pattern value="[!-~]{{1,128}}"/>
    </xs:restriction>
  </xs:simpleType>

  <xs:simpleType name="Moment">
    <!-- A date and time with its zone. -->
    <xs:restriction base="xs:dateTime">
      <xs:pattern value=".*(Z|[+\\-][0-9]{{2}}:[0-9]{{2}})"/>
    </xs:restriction>
  </xs:simpleType>

  <xs:simpleType name="Status">
    <!-- Status code (9.2). -->
    <xs:restriction base="xs:token">
      <xs:pattern value="PSP(PM|BK)[0-9]{{4}}[ISWE]"/>
    </xs:restriction>
  </xs:simpleType>

  <xs:simpleType name="Digest">
    <!-- On a protected reply: the SHA-256 of its request. -->
    <xs:restriction base="xs:token">
      <xs:pattern value="[0-9a-f]{{64}}"/>
    </xs:restriction>
  </xs:simpleType>

  <xs:simpleType name="Mac">
    <!-- The MAC under the key that KeyId names. -->
    <xs:restriction base="xs:token">
      <xs:minLength value="1"/>
      <xs:maxLength value="128"/>
    </xs:restriction>
  </xs:simpleType>
</xs:schema>
"""

_DEFINITIONS = """\
<?xml version="1.0" encoding="UTF-8"?>
<!--
  All services for SOAP software, as `msh wsdl` writes them from the profile.

  An operation is a request, its output the reply, which only says how the request fared in
  checking: what is refused is a reply, too, with a status code. A Fault answers what cannot be read
  as a message.
-->
<wsdl:definitions name="SMS" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
                  xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"{namespaces}
                  targetNamespace={target}>

  <wsdl:types>
{schemas}
  </wsdl:types>

{messages}
  <wsdl:message name="Unreadable">
    <wsdl:part name="fault" element="{prefix}:{status}"/>
  </wsdl:message>

  <wsdl:portType name="SMS">
{port_type}
  </wsdl:portType>

  <wsdl:binding name="SMS" type="{prefix}:SMS">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
{binding}
  </wsdl:binding>

  <wsdl:service name="SMS">
    <wsdl:port name="SMS" binding="{prefix}:SMS">
      <soap:address location={address}/>
    </wsdl:port>
  </wsdl:service>
</wsdl:definitions>
"""
