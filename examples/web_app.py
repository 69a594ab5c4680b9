"""The receiver inside a web framework: one ASGI application with pages of its own beside it.

    pip install starlette uvicorn
    msh init psp --role psp && cd psp
    uvicorn --app-dir ../examples web_app:app --port 8710

Header deadlines and TLS are then the web server's.
"""

from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

import msh

handler = msh.MessageServiceHandler.from_config("msh.toml", listen=False)


@handler.on(*{service for agreement in handler.agreements for service in agreement.accepts})
async def accept(request: msh.Message) -> msh.Reply:
    return msh.Reply(msh.Status.PSPPM0000I)


async def recent(request: Request) -> JSONResponse:
    receptions = await handler.store.receptions(limit=20)
    return JSONResponse([{"id": r.message_id, "state": r.state} for r in receptions])


@asynccontextmanager
async def lifespan(app: Starlette):
    async with handler:
        yield


app = Starlette(
    routes=[Route("/recent", recent), Mount("/", handler.asgi())],
    lifespan=lifespan,
)
