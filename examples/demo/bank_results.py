"""The bank's core system in the demonstration: executes what is booked, and tells the outcome.

It runs beside `msh serve`, on the same store. Killed and started again it would tell everything
again, and nothing would be sent twice.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Sequence

import msh

LATER = 1  # second: the time that a core system takes


def booked(database: str) -> Sequence[tuple[str, str, str, str]]:
    """What stands in the ledger."""
    connection = sqlite3.connect(database)
    try:
        return connection.execute(
            "SELECT message_id, ssnid, svcrefid, bustype FROM ledger"
        ).fetchall()
    except sqlite3.OperationalError:  # nothing was booked yet
        return []
    finally:
        connection.close()


async def main(configuration: str, database: str) -> None:
    told: set[str] = set()
    async with msh.MessageServiceHandler.from_config(configuration, listen=False) as handler:
        while True:
            executed = [row for row in booked(database) if row[0] not in told]
            await asyncio.sleep(LATER)
            for message_id, ssnid, svcrefid, bustype in executed:
                values = {
                    "SSNID": ssnid,
                    "SVCREFID": svcrefid,
                    "BusType": bustype,
                    "Status": "PSPBK0000I",
                }
                body = msh.bodies.build("PS811FTRRQ", values)
                await handler.send_result(message_id, body)
                told.add(message_id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
