"""The retriever as an HTTP service: JSON in and out, on the loopback address unless told otherwise.

``make_app`` gives the application (FastAPI; its pages, the search at ``/`` and the requests at
``/docs``, load nothing from a network), ``serve`` runs it. The pack is only read: a service that
was killed is simply started again.
"""

import asyncio
import base64
import binascii
import io
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import h11
import uvicorn
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

from helpers import __version__
from helpers.course.answers import reply
from helpers.course.limits import LOG, Guard, Limits, Metrics, Refused
from helpers.data.images import ImageError, load_image
from helpers.endpoint import Endpoint, EndpointError
from helpers.topics.serving import retriever as back_end
from helpers.topics.serving.pack import SearchPack

MOST, THUMBNAIL_PX = 100, 128
LOOPBACK = ("127.0.0.1", "localhost", "::1")
WORKERS, WRITERS = 2, 8  # threads that search; that wait for a language model
PAGE = Path(__file__).parent / "page"
PARTS = {"index.html": "text/html", "search.css": "text/css", "search.js": "text/javascript"}
POLICY = (  # what the search page may load: itself, thumbnails, and the image that was chosen
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ABOUT = "Search images by text, by image, or by both. Errors are JSON with a code and a remedy."


class Reason(BaseModel):
    """An error: a code for programs, a reason, and what to do."""

    code: str
    message: str
    remedy: str


class Problem(BaseModel):
    """The body of every answer that is not 200."""

    error: Reason


class Asked(BaseModel):
    """A query: text, an image, or both."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=2000, examples=["tacos on a pink plate"])
    image: str = Field("", description="An image file (JPEG, PNG, WebP, ...) in base64.")
    k: int = Field(5, ge=1, le=MOST, description="How many results.")
    filters: dict[str, str | list[str]] = Field(
        default_factory=dict, description="Field of a hit to the values that may pass.",
        examples=[{"split": "test"}],
    )  # fmt: skip
    image_weight: float = Field(0.5, ge=0, le=1, description="Of the image, beside a text.")


class Found(BaseModel):
    """One result: its rank from 1, its cosine, what is known of it, and the path of a thumbnail."""

    rank: int
    id: str
    score: float
    caption: str
    recipe_id: str
    split: str
    thumbnail: str


class Results(BaseModel):
    """What a search found, best first; ``provenance`` names model, adapter and factor."""

    hits: list[Found]
    searched: int
    provenance: dict[str, Any]


class Written(Results):
    """An answer in words, the ids that it cites, and those that it invented, marked in the text."""

    text: str
    cited: list[str]
    invented: list[str]
    written_by: str


def make_app(
    pack: SearchPack,
    retriever: back_end.Retriever,
    *,
    limits: Limits | None = None,
    endpoint: Endpoint | None = None,
    hosts: tuple[str, ...] = (),
) -> FastAPI:
    """The application.

    Parameters
    ----------
    pack : SearchPack
        Whose images are searched and shown.
    retriever : Retriever
        ``pack.with_images()``; ``pack.retriever`` refuses images.
    limits : Limits, optional
    endpoint : Endpoint, optional
        The language model that writes answers; without one a template does.
    hosts : tuple of str
        The names under which it may be asked; empty: any.
    """
    limits = limits or Limits()
    metrics = Metrics(len(retriever.index))
    errors = {"default": {"model": Problem, "description": "An error"}}
    app = FastAPIOffline(
        title="Image search", version=__version__, description=ABOUT, redoc_url=None,
        responses=errors,
    )  # fmt: skip
    guard = Guard(None, limits=limits, metrics=metrics, hosts=frozenset(hosts))
    app.add_middleware(lambda app: _inside(guard, app))
    searching = ThreadPoolExecutor(WORKERS, "search")
    writing = ThreadPoolExecutor(WRITERS, "answer")

    async def within(seconds: float, pool: ThreadPoolExecutor, work: Callable) -> Any:
        running = asyncio.get_running_loop().run_in_executor(pool, work)
        try:
            return await asyncio.wait_for(running, seconds)
        except TimeoutError:
            raise Refused(
                504, "timeout", f"no result in {seconds:g} s", "ask again when there is less to do"
            ) from None
        except back_end.QueryRefused as error:
            raise Refused(422, "bad_query", str(error), "see /docs for what a query is") from error

    async def results_of(asked: Asked, image: bytes) -> back_end.Answer:
        return await within(limits.search_s, searching, partial(_search, asked, image))

    def _search(asked: Asked, image: bytes) -> back_end.Answer:
        opened = _opened(image, limits.megapixels) if image else None
        options = {"filters": asked.filters, "image_weight": asked.image_weight}
        query = back_end.Query(asked.text, opened, k=asked.k, **options)
        return retriever.search([query])[0]

    @app.post("/search")
    async def search_images(asked: Asked) -> Results:
        """Search by text, by an image in base64, or by both."""
        return Results(**_results(await results_of(asked, _decoded(asked.image))))

    @app.post("/search/image", openapi_extra=UPLOAD)
    async def search_with_an_image_file(
        request: Request,
        k: int = Query(5, ge=1, le=MOST),
        text: str = Query("", max_length=2000),
        image_weight: float = Query(0.5, ge=0, le=1),
    ) -> Results:
        """Search by an uploaded image file, alone or with a text."""
        content = await request.body()
        if not content:
            raise Refused(422, "bad_query", "the body is empty", "send an image file as the body")
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise Refused(415, "no_form", "the body is a form", "send the file: curl --data-binary")
        asked = Asked(text=text, k=k, image_weight=image_weight)
        return Results(**_results(await results_of(asked, content)))

    @app.post("/answer")
    async def answer_in_words(asked: Asked) -> Written:
        """Search, and answer in words that cite the ids of what was found."""
        if not asked.text.strip():
            raise Refused(422, "bad_query", "an answer needs a question", "give it as text")
        found = await results_of(asked, _decoded(asked.image))
        work = partial(reply, asked.text, found.hits, endpoint=endpoint, n=asked.k)
        try:
            said = await within(limits.answer_s, writing, work)
        except EndpointError as error:
            raise Refused(
                502, "no_answer", str(error), "or start the service without --endpoint"
            ) from error
        by = endpoint.model if endpoint else "template"
        told = {"text": said.text, "cited": said.cited, "invented": said.invented}
        return Written(**told, written_by=by, **_results(found))

    @lru_cache(maxsize=512)
    def small(key: str) -> bytes:
        stream = io.BytesIO()
        image = Image.open(io.BytesIO(pack.image_bytes(key))).convert("RGB")
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        image.save(stream, "JPEG")
        return stream.getvalue()

    known = frozenset(retriever.index.ids.tolist())

    @app.get("/thumbnail/{key:path}", response_class=Response)
    async def thumbnail(key: str) -> Response:
        """A small JPEG of a hit, by its id."""
        if key not in known:
            raise Refused(404, "unknown_id", f"no image has the id {key!r}", "use the id of a hit")
        content = await within(limits.search_s, searching, partial(small, key))
        return Response(content, media_type="image/jpeg")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service answers, what it searches, and with which model and adapter."""
        space = retriever.index.space
        return {
            "status": "ok", "images": len(retriever.index), "source": pack.source,
            "model": pack.model, "adapter": pack.adapter, "factor": pack.factor,
            "fingerprint": space.fingerprint, "dimension": space.dimension,
        }  # fmt: skip

    @app.get("/metrics", response_class=Response)
    async def metrics_of_the_service() -> Response:
        """Requests, errors and seconds in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False)
    @app.get("/page/{part}", include_in_schema=False)
    async def page(part: str = "index.html") -> Response:
        if part not in PARTS:
            raise Refused(404, "no_such_path", f"the page has no {part!r}", "open / for the page")
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        return Response((PAGE / part).read_bytes(), media_type=PARTS[part], headers=headers)

    async def refused(request: Request, error: Exception) -> JSONResponse:
        told = error if isinstance(error, Refused) else _as_refused(error, request)
        guard.log(told, request.scope)
        return JSONResponse(told.body, status_code=told.status, headers=told.headers)

    for kind in (Refused, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)
    return app


def _inside(guard: Guard, app: Any) -> Guard:
    guard.app = app
    return guard


def _results(answer: back_end.Answer) -> dict[str, Any]:
    hits = [
        {"rank": h.rank, "id": h.id, "score": round(h.score, 6),
         "thumbnail": f"/thumbnail/{quote(h.id)}",
         **{name: str(h.metadata.get(name, "")) for name in ("caption", "recipe_id", "split")}}
        for h in answer.hits
    ]  # fmt: skip
    return {"hits": hits, "searched": answer.searched, "provenance": dict(answer.provenance)}


def _decoded(text: str) -> bytes:
    """The bytes behind base64, in lines or not, with or without a browser's ``data:`` before it."""
    try:
        return base64.b64decode("".join(text.rpartition(",")[2].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(
            422, "bad_image", f"the image is no base64 ({error})",
            "encode the bytes of the file, or send them to /search/image as they are",
        ) from error  # fmt: skip


def _opened(content: bytes, megapixels: float) -> Image.Image:
    try:
        return load_image(content, max_megapixels=megapixels)
    except (OSError, ImageError) as error:
        raise Refused(
            422, "bad_image", f"the image cannot be read: {error}", "send a whole JPEG, PNG or WebP"
        ) from error


def _as_refused(error: Exception, request: Request) -> Refused:
    """What the framework refuses, with a code and a remedy as everything else has."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        is_json = "json" in request.headers.get("content-type", "") or place != "body"
        remedy = "see /docs for the form" if is_json else "send Content-Type: application/json"
        return Refused(422, "bad_request", f"{place}: {first['msg']}", remedy)
    codes = {404: "no_such_path", 405: "wrong_method"}
    code, asked = codes.get(error.status_code, "bad_request"), request.method
    message = f"{asked} {request.url.path}: {error.detail}"
    return Refused(error.status_code, code, message, "see /docs for what there is")


UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Protocol(H11Protocol):
    """HTTP/1.1 whose clients have a limited time for the head of a request.

    uvicorn ends idle connections after a request, and none that send their first one slowly.
    """

    head_s = Limits.body_s

    def connection_made(self, transport: Any) -> None:
        """Start the clock of a new connection."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._clock = self.loop.call_later(self.head_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop it."""
        self._clock.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The next request begins."""
        self._since = self.loop.time()
        super().on_response_complete()

    def _look(self) -> None:
        left = self._since + self.head_s - self.loop.time()
        waits = self.conn.their_state is h11.IDLE
        if waits and left <= 0:
            client = self.client[0] if self.client else "unknown"
            LOG.warning("error 408 too_slow %s: no request in %g s; closed", client, self.head_s)
            self.transport.close()
            return
        self._clock = self.loop.call_later(max(left, 0.1) if waits else self.head_s, self._look)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; ``OSError`` where the address is taken or is none of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


def serve(app: FastAPI, listening: socket.socket, *, limits: Limits) -> None:
    """Serve until a signal ends it; searches that are there by then are answered first."""
    config = uvicorn.Config(
        app, http=partial(_protocol, limits.body_s), ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, timeout_graceful_shutdown=int(limits.search_s) + 1,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


def _protocol(head_s: float, *args: Any, **options: Any) -> Protocol:
    made = Protocol(*args, **options)
    made.head_s = head_s
    return made
