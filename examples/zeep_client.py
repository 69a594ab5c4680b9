"""A SOAP client of the platform, written from its WSDL alone: nothing of msh is imported.

msh init psp --role psp && msh serve -c psp/msh.toml &
msh wsdl -c psp/msh.toml --out psp-wsdl
python zeep_client.py psp-wsdl/sms.wsdl BIZ-20261123-1

The second argument is the message's id: run again with the same one, it is the same message.
"""

import sys
from datetime import UTC, datetime, timedelta

import zeep

if len(sys.argv) != 3:
    sys.exit("usage: python zeep_client.py WSDL MSGID")
client = zeep.Client(sys.argv[1])

now = datetime.now(UTC)
header = {
    "SvcId": "IS910SMDRQ",
    "MsgId": sys.argv[2],
    "Sender": "BIZ",
    "Receiver": "PSP",
    "Timestamp": now,
    "TimeToLive": now + timedelta(hours=1),
}
try:
    reply = client.service.IS910SMDRQ(
        Kind="010", Text="first call", _soapheaders={"MessageHeader": header}
    )
except zeep.exceptions.Fault as fault:
    sys.exit(f"not a message: {fault.message}")
answer = reply.header.MessageHeader
print(answer.MsgId, answer.StatusCode, answer.StatusText)
