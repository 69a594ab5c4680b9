"""The same sender for a program without asyncio.

msh init biz --role business && cd biz
python ../examples/blocking_sender.py invoice-18
"""

import sys
from pathlib import Path

import msh
from msh.blocking import MessageServiceHandler

if len(sys.argv) != 2:
    sys.exit("usage: python blocking_sender.py INVOICE")
invoice = sys.argv[1]
# The sample, with references of its own: those of another payment would be refused.
values = msh.bodies.of().read("PS810FTRQ", Path("messages/PS810FTRQ.xml").read_bytes())
body = msh.bodies.build("PS810FTRQ", values | {"SSNID": invoice, "SVCREFID": invoice})

with MessageServiceHandler.from_config("msh.toml", listen=False) as handler:
    receipt = handler.send(msh.Service.PS810FTRQ, body, to="PSP", key=invoice)
    try:
        reply = receipt.reply(timeout=60)
    except TimeoutError as error:
        print(error)
    except msh.DeliveryError as problem:
        print(problem)
    else:
        print(reply.status, reply.status_text)
