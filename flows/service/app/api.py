"""The JSON API, version 1: what the gallery page asks for. Its OpenAPI document is published with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from core.errors import DiskFullError, EngineError, OutputError, PhotoneError
from flows.runs.ledger import photone_version
from flows.runs.roots import PICTURE_LIMIT_BYTES, SCENE_LIMIT_BYTES, SCORE_LIMIT_BYTES
from flows.service.app.answers import (
    About,
    AgainRequest,
    JobAnswer,
    JobList,
    Limits,
    Look,
    Problem,
    RunDetail,
    RunList,
    SceneEditRequest,
    ScoreAnswer,
)
from flows.service.app.catalogue import THUMBNAIL, Catalogue, Sort, read_documents
from flows.service.app.folders import find_file
from flows.service.app.jobs import Jobs
from flows.service.app.making import MAKE_TEXTS, SONG_TEXTS, ConflictError, ForbiddenError, Maker, UnknownError
from flows.service.app.thumbnails import thumbnail
from flows.service.app.uploads import Form, FormReader, TooLargeError, UnreadableFormError, uploads_folder
from schemas.document import ROLES

PREFIX = "/api/v1"

RunIdPath = Annotated[str, InPath(pattern="^[0-9a-f]{16}$", description="A run's id.")]
Problems = dict[int | str, dict[str, Any]]

# From the narrow to the wide: the first that fits says which status an error has.
_STATUSES: tuple[tuple[type[PhotoneError], int], ...] = (
    (TooLargeError, 413),
    (UnreadableFormError, 400),
    (ForbiddenError, 403),
    (ConflictError, 409),
    (UnknownError, 404),
    (DiskFullError, 507),
    (OutputError, 403),
    (EngineError, 503),
    (PhotoneError, 422),
)


def _problems(*statuses: int) -> Problems:
    return {status: {"model": Problem} for status in statuses}


_READING = _problems(404, 422)
_CHANGING = _problems(400, 403, 404, 409, 413, 422, 503, 507)


def api_app(catalogue: Catalogue, jobs: Jobs | None) -> FastAPI:
    """The API, to be mounted at PREFIX; `jobs` None where no Prefect is known."""
    app = FastAPI(
        title="photone",
        version="1",
        summary="Runs of photone, and jobs that make and change them.",
        description=f"Requests that change something carry the header X-Photone: 1. All paths are below {PREFIX}.",
        docs_url=None,
        redoc_url=None,
        root_path_in_servers=False,
        servers=[{"url": PREFIX}],
    )
    maker = Maker(catalogue, jobs)
    app.include_router(_reading(maker))
    app.include_router(_changing(maker))
    app.include_router(_jobs(jobs))
    app.add_exception_handler(PhotoneError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    return app


def _line(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())


async def _ours(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    return JSONResponse({"detail": _line(str(error))}, status)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    status = 400 if first["type"] == "json_invalid" else 422
    text = f"{place}: {first['msg'].removeprefix('Value error, ')}" if status == 422 else "the request is not JSON"
    return JSONResponse({"detail": _line(text)[:500]}, status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": _line(str(error.detail))}, error.status_code, error.headers)


def _no_run() -> NoReturn:
    raise UnknownError("no such run: it may have been removed or renamed")


def _folder(maker: Maker, identity: str) -> Path:
    return maker.catalogue.folder(identity) or _no_run()


def _reading(maker: Maker) -> APIRouter:
    router, catalogue = APIRouter(tags=["runs"]), maker.catalogue

    @router.get("/about")
    def about() -> About:
        """What this player can do."""
        return _about(maker)

    @router.get("/scores")
    def scores() -> list[ScoreAnswer]:
        """The bundled scores."""
        from flows.score_list import score_rows

        return [ScoreAnswer(**row) for row in score_rows()]

    @router.get("/runs", responses=_problems(422))
    def runs(
        search: Annotated[str, Query(max_length=200, description="Words that a run's texts all hold.")] = "",
        sort: Sort = "newest",
        limit: Annotated[int, Query(ge=1, le=200)] = 60,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> RunList:
        """Finished runs."""
        found = catalogue.find(search, sort)
        return RunList(total=len(found), runs=found[offset : offset + limit])

    @router.get("/runs/{run}", responses=_READING)
    def run_detail(run: RunIdPath) -> RunDetail:
        """Everything about a run."""
        folder = _folder(maker, run)
        reason = maker.not_editable(read_documents(folder))
        update = {"editable": reason is None, "not_editable": reason}
        return catalogue.detail(folder).model_copy(update=update)

    picture: Problems = {200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}}

    @router.get(f"/runs/{{run}}/{THUMBNAIL}", response_class=Response, responses={**_READING, **picture})
    def run_thumbnail(run: RunIdPath) -> Response:
        """The run's picture, small."""
        found = find_file(catalogue.runs, f"{catalogue.name(_folder(maker, run))}/picture.jpg")
        small = thumbnail(found) if found else None
        if small is None:
            raise UnknownError("this run has no picture that can be read")
        # Its address changes with the picture.
        return Response(small, media_type="image/jpeg", headers={"cache-control": "private, max-age=31536000"})

    return router


def _about(maker: Maker) -> About:
    from flows.deployed.forms import LOOKS

    return About(
        photone=photone_version(),
        can_make=maker.why_not is None,
        why_not=maker.why_not,
        limits=Limits(picture_bytes=PICTURE_LIMIT_BYTES, midi_bytes=SCORE_LIMIT_BYTES, scene_bytes=SCENE_LIMIT_BYTES),
        looks=[Look(name=name, title=look.title) for name, look in LOOKS.items()],
        roles=list(ROLES),
    )


_BINARY = {"type": "string", "format": "binary"}
_TEXTS: dict[str, dict[str, Any]] = {
    "score": {"type": "string", "description": "A bundled score's name."},
    "look": {"type": "string", "enum": ["natural", "dry", "broadcast", "loud"]},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**53},
    "compact": {"type": "boolean"},
    "preview_s": {"type": "number", "minimum": 0, "maximum": 36000},
    "name": {"type": "string", "maxLength": 100, "description": "Of the run's folder."},
}


def _form(files: tuple[str, ...], texts: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    """A multipart form for the OpenAPI document: forms are read by ourselves, as they stream in."""
    fields = dict.fromkeys(files, _BINARY) | {name: _TEXTS[name] for name in texts}
    schema = {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_FILE_LIMITS = {"picture": PICTURE_LIMIT_BYTES, "midi": SCORE_LIMIT_BYTES}


async def _read_form(maker: Maker, request: Request, files: tuple[str, ...], texts: tuple[str, ...]) -> Form:
    maker.check()  # before anything is written
    limits = {name: _FILE_LIMITS[name] for name in files}
    content_type = request.headers.get("content-type", "")
    return await FormReader(uploads_folder(maker.runs), content_type, limits, texts).read(request.stream())


def _changing(maker: Maker) -> APIRouter:
    router = APIRouter(tags=["changes"], responses=_CHANGING)
    make_form = _form(("picture", "midi"), MAKE_TEXTS, ("picture",))
    song_form = _form(("midi",), SONG_TEXTS, ())

    @router.post("/runs", status_code=202, openapi_extra=make_form)
    async def make_run(request: Request) -> JobAnswer:
        """Make a song out of a picture."""
        with await _read_form(maker, request, ("picture", "midi"), MAKE_TEXTS) as form:
            return await run_in_threadpool(maker.make, form)

    @router.post("/runs/{run}/songs", status_code=202, openapi_extra=song_form)
    async def make_song(run: RunIdPath, request: Request) -> JobAnswer:
        """Have the band of a run play another score."""
        folder = await run_in_threadpool(_folder, maker, run)
        with await _read_form(maker, request, ("midi",), SONG_TEXTS) as form:
            return await run_in_threadpool(maker.swap, folder, form)

    @router.put("/runs/{run}/scene", status_code=202)
    def edit_scene(run: RunIdPath, edit: SceneEditRequest) -> JobAnswer:
        """Change the scene of a run, and make again what depends on it."""
        return maker.edit(_folder(maker, run), edit.scene, edit.base_sha256)

    @router.delete("/runs/{run}/scene", status_code=202)
    def revert_scene(run: RunIdPath) -> JobAnswer:
        """Take a run's scene back to what the vision engine had made of the picture."""
        return maker.revert(_folder(maker, run))

    @router.post("/runs/{run}/effects/{number}", status_code=202)
    def effect_again(run: RunIdPath, number: Annotated[int, InPath(ge=1, le=9999)], again: AgainRequest) -> JobAnswer:
        """Make one effect again, and what depends on it."""
        return maker.again(_folder(maker, run), number, again.seed)

    return router


def _jobs(jobs: Jobs | None) -> APIRouter:
    router = APIRouter(tags=["jobs"], responses=_problems(503))

    def known() -> Jobs:
        if jobs is None:
            raise EngineError("no Prefect server is known here: start photone with `photone up`")
        return jobs

    def found(identity: UUID) -> JobAnswer:
        job = known().get(str(identity))
        if job is None:
            raise UnknownError("no such job: Prefect may have forgotten it")
        return job

    @router.get("/jobs")
    def list_jobs() -> JobList:
        """Unfinished jobs, then the latest that ended."""
        return JobList(jobs=known().latest())

    @router.get("/jobs/{job}", responses=_READING)
    def one_job(job: UUID) -> JobAnswer:
        """How far a job is."""
        return found(job)

    @router.delete("/jobs/{job}", status_code=202, responses=_problems(403, 404, 409, 413, 422))
    def cancel_job(job: UUID) -> JobAnswer:
        """Cancel a job."""
        going = found(job)
        if going.state in ("done", "failed", "cancelled"):
            raise ConflictError("this job has ended already")
        return known().cancel(going)

    return router
