"""The loopback HTTP API: for the owner's applications, page and command line. JSON both ways; every mistake is one line in `error`."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

from client.service.access import Access
from client.service.private_store import DiskFull
from client.service.requests import Code, Feedback, NewEvents
from client.service.service import DeviceService, UnknownItem
from client.service.worker import WorkerFailed
from everbloom.errors import InputError

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": "index.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/words.js": "words.js",
    "/icon.svg": "icon.svg",
}

OPEN_PATHS = frozenset({("GET", path) for path in _FILES} | {("POST", "/session")})
"""The page itself, which holds nothing, and the exchange of a link's code, which is a secret itself."""

LanguageName = Literal["en", "zh"]


def build_api(service: DeviceService, access: Access) -> FastAPI:
    """The application, without the guard before it. Described at /openapi.json; without a page for that: those load scripts from elsewhere."""
    api = FastAPI(
        title="everbloom device",
        version="1",
        description="What the owner's applications may do on this device. Send the owner's token as a bearer token.",
        docs_url=None,
        redoc_url=None,
    )
    _add_events(api, service)
    _add_recommendations(api, service)
    _add_owner(api, service, access)
    _add_page(api)
    _add_mistakes(api)
    return api


def _add_events(api: FastAPI, service: DeviceService) -> None:
    @api.post("/events", status_code=201)
    async def add_events(new: NewEvents) -> dict[str, int]:
        """Keeps events. They count for the next recommendations, and in the next round that this device trains in."""
        return {"added": service.add_events([one.model_dump() for one in new.events])}

    @api.get("/events")
    async def history(
        n: Annotated[int, Query(ge=1, le=500)] = 50,
        before_time: int | None = None,
        before_id: int | None = None,
    ) -> dict[str, Any]:
        """The latest events, latest first; `before_time` and `before_id` are those of the last one that was shown."""
        before = None if before_time is None or before_id is None else (before_time, before_id)
        return {"events": service.history(n, before)}

    @api.delete("/events/{number}")
    async def remove_event(number: int) -> dict[str, int]:
        """Deletes one event, and the verdict that it stands for."""
        service.remove_event(number)
        return {"deleted": 1}

    @api.post("/feedback", status_code=201)
    async def feedback(verdict: Feedback) -> dict[str, str]:
        """Keeps the owner's verdict on an item; it is not recommended again. `like` and `seen` are events too."""
        service.judge(verdict.item, verdict.verdict)
        return {"kept": verdict.verdict}

    @api.delete("/feedback/{item:path}")
    async def unjudge(item: str) -> dict[str, int]:
        """Takes the verdict on an item back, and the event that it stands for."""
        service.unjudge(item)
        return {"deleted": 1}


def _add_recommendations(api: FastAPI, service: DeviceService) -> None:
    @api.get("/recommendations")
    async def recommendations(
        n: Annotated[int, Query(ge=1, le=200)] = 10, reasons: bool = False, language: LanguageName = "en"
    ) -> dict[str, Any]:
        """The `n` best items for the owner, best first; with `reasons`, each with what raised its score (slower)."""
        return {"items": await service.recommend(n, reasons, language)}

    @api.get("/why/{item:path}")
    async def why(item: str, language: LanguageName = "en") -> dict[str, Any]:
        """Which events raised this item's score, and by how much: what the score loses without each, exactly."""
        return await service.why(item, language)

    @api.get("/model")
    async def model() -> dict[str, Any]:
        """The current global model, and the catalogue it is for."""
        return service.model()


def _add_owner(api: FastAPI, service: DeviceService, access: Access) -> None:
    @api.get("/privacy")
    async def privacy() -> dict[str, Any]:
        """What was spent and is left, the last round's claim, and what the owner allows."""
        return await service.privacy()

    @api.get("/status")
    async def status() -> dict[str, Any]:
        """What the device is and does now."""
        return service.status()

    @api.post("/pause")
    async def pause() -> dict[str, bool]:
        """Keeps the device out of all rounds until it is resumed."""
        service.pause(True)
        return {"paused": True}

    @api.post("/resume")
    async def resume() -> dict[str, bool]:
        """Lets the device take part again."""
        service.pause(False)
        return {"paused": False}

    @api.delete("/data")
    async def forget() -> dict[str, int]:
        """Deletes every event, verdict and personal parameter without a trace. What was spent stays spent."""
        return {"deleted": await service.forget()}

    @api.get("/export")
    async def export() -> dict[str, Any]:
        """All that the device holds of its owner."""
        return await service.export()

    @api.post("/links", status_code=201)
    async def link() -> dict[str, str]:
        """A code for the owner's page, good once and for five minutes."""
        return {"code": access.new_link()}

    @api.post("/session", status_code=201)
    async def session(given: Code) -> dict[str, str]:
        """A token for the page in place of a link's code; it ends with the service."""
        token = access.session(given.code)
        if token is None:
            raise HTTPException(
                401, "this link was used already or is too old; make a new one with: everbloom-device open"
            )
        return {"token": token}


def _add_page(api: FastAPI) -> None:
    def serve(name: str) -> Callable[[], Awaitable[Response]]:
        async def file() -> Response:
            return FileResponse(_PAGE / name)

        return file

    for path, name in _FILES.items():
        api.add_api_route(path, serve(name), methods=["GET"], include_in_schema=False)


def _add_mistakes(api: FastAPI) -> None:
    statuses = {UnknownItem: 404, DiskFull: 507, WorkerFailed: 500}

    @api.exception_handler(InputError)
    async def told(request: Request, error: InputError) -> Response:
        return _mistake(next((status for kind, status in statuses.items() if isinstance(error, kind)), 409), str(error))

    @api.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        named = {
            404: f"{request.url.path}: nothing is here; GET /openapi.json lists what is",
            405: f"{request.method} is not for {request.url.path}",
        }
        standard = error.detail in ("Not Found", "Method Not Allowed")
        return _mistake(error.status_code, named[error.status_code] if standard else str(error.detail))

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = [
            f"{'.'.join(map(str, one['loc'][1:])) or 'the request'}: {_plain(one['msg'])}" for one in error.errors()
        ]
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        return _mistake(422, "; ".join(problems[:3]) + more)


def _mistake(status: int, reason: str) -> Response:
    return JSONResponse({"error": " ".join(reason.splitlines())}, status)


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:] if message[1:2].islower() else message
