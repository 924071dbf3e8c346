"""From a request for a prediction to its answer, whatever the API: read, run, shape, count.

The model is looked up once per request and everything else goes through that one object, so that no request sees half
of a swap. Short runs are answered on the event loop, because handing one to a thread costs more than the run itself;
long runs and large bodies go to a thread, because everybody else waits for the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Literal, Protocol

from edge_agent.serve.answers import Answers
from edge_agent.serve.bound import BLOCK_ROWS
from edge_agent.serve.encodings import BodyTooLarge, EncodingRefused, decoded, is_encoded
from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import Request, Response, answer
from edge_agent.serve.models import Models
from edge_agent.serve.rows import Batch, RowsRefused
from edgekit.errors import DeviceFault, MessageError, NotFound

Outcome = Literal["ok", "client_error", "server_error"]
# What is not yet a Response becomes one as JSON.
Shape = Callable[[Predictor, Batch, Answers], object]

_ON_LOOP_US = 1000.0
_ON_LOOP_BODY_BYTES = 64 << 10
_LEAST_TOGETHER = 2


class Meter(Protocol):
    """Who counts requests. Called from the loop and from the inference thread."""

    def count(
        self, identity: tuple[str, str, str], outcome: Outcome, *, rows: int = 0, elapsed_us: int = 0, requests: int = 1
    ) -> None:
        """Requests to the model (name, version, sha256), answered or refused; `elapsed_us` is what each took."""

    def lane(self, identity: tuple[str, str, str]) -> Callable[[int], None]:
        """What counts one answered request of one row by its µs, as `count` would: for the event loop's thread alone,
        and for the way that must cost next to nothing.
        """


class NoModel(DeviceFault):
    """No verified model is being served yet: the device waits for one, and so should the client."""

    default_reason = "no_model"


class Answering:
    """Answers requests with the models that are being served."""

    def __init__(self, models: Models, meter: Meter) -> None:
        self.models = models
        self._meter = meter
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")

    def find(self, name: str | None) -> Predictor:
        """The model to answer with. Raises NotFound for a name that means nothing here, NoModel while there is none."""
        predictor = self.models.get(name)
        if predictor is not None:
            return predictor
        serving = [other.manifest.name for other in self.models.all()]
        if name is None and serving:
            raise NotFound(f"several models are served here: ask for one of {', '.join(serving)} by name")
        if name is not None and not self.models.known(name) and (serving or self.models.configured):
            raise NotFound(f"no model {name[:63]!r} is served here: there is {', '.join(serving) or 'none yet'}")
        raise NoModel("no model is installed yet: the device is waiting for its first release, try again later")

    def answer(
        self,
        predictor: Predictor,
        request: Request,
        read: Callable[[Predictor, bytes], Batch],
        shape: Shape,
        on_loop_bytes: int = _ON_LOOP_BODY_BYTES,
    ) -> Response | Awaitable[Response]:
        """The answer, or the promise of one. Raises RowsRefused and MessageError for what the client did wrong,
        DeviceFault when the model fails; the promise raises the same. `on_loop_bytes`: how long a body `read` can take
        without keeping the loop from others.
        """
        started = time.perf_counter_ns()
        if len(request.body) > on_loop_bytes or is_encoded(request):
            return self._in_thread(lambda: self._run(predictor, self._read(predictor, request, read), shape, started))
        batch = self._read(predictor, request, read)
        if predictor.expected_us(len(batch.rows)) > _ON_LOOP_US:
            return self._in_thread(lambda: self._run(predictor, batch, shape, started))
        return self._run(predictor, batch, shape, started)

    def at_once(self, predictor: Predictor, body: bytes) -> Response | None:
        """The answer to a single row of a fast model, with nothing in between; None when it is not that simple."""
        if predictor.run_us > _ON_LOOP_US or len(body) > _ON_LOOP_BODY_BYTES:
            return None
        started = time.perf_counter_ns()
        row = predictor.rows.one_from_json(body)
        if row is None:
            return None
        try:
            (line,) = predictor.lines((row,))
        except DeviceFault:
            self._meter.count(predictor.identity, "server_error")
            raise
        response = Response(200, line)
        (predictor.note or self._open_lane(predictor))((time.perf_counter_ns() - started) // 1000)
        return response

    def together(self, predictor: Predictor, bodies: Sequence[bytes]) -> list[Response | None]:
        """The answers to single rows that came at the same time, from as few runs as possible. None for those that
        `at_once` must answer: an unusual row, or one of a run that failed, so that a bad row costs only itself.
        """
        responses: list[Response | None] = [None] * len(bodies)
        if not predictor.gains_together or predictor.expected_us(_LEAST_TOGETHER) > _ON_LOOP_US:
            return responses
        started = time.perf_counter_ns()
        read = predictor.rows.one_from_json
        rows = [
            (place, row)
            for place, body in enumerate(bodies)
            if len(body) <= _ON_LOOP_BODY_BYTES and (row := read(body)) is not None
        ]
        for first in range(0, len(rows), BLOCK_ROWS):
            block = rows[first : first + BLOCK_ROWS]
            with suppress(DeviceFault):
                lines = predictor.lines([row for _, row in block])
                for (place, _), line in zip(block, lines, strict=True):
                    responses[place] = Response(200, line)
                elapsed_us = (time.perf_counter_ns() - started) // 1000
                self._meter.count(predictor.identity, "ok", rows=len(block), elapsed_us=elapsed_us, requests=len(block))
        return responses

    def close(self) -> None:
        """Let the inference thread end once it has nothing left to do."""
        self._thread.shutdown(wait=False)

    def _open_lane(self, predictor: Predictor) -> Callable[[int], None]:
        predictor.note = self._meter.lane(predictor.identity)
        return predictor.note

    def _read(self, predictor: Predictor, request: Request, read: Callable[[Predictor, bytes], Batch]) -> Batch:
        try:
            return read(predictor, decoded(request))
        except (RowsRefused, MessageError, EncodingRefused, BodyTooLarge):
            self._meter.count(predictor.identity, "client_error")
            raise

    def _run(self, predictor: Predictor, batch: Batch, shape: Shape, started: int) -> Response:
        try:
            shaped = shape(predictor, batch, predictor.run(batch.rows))
        except DeviceFault:
            self._meter.count(predictor.identity, "server_error")
            raise
        response = shaped if isinstance(shaped, Response) else answer(shaped)
        elapsed_us = (time.perf_counter_ns() - started) // 1000
        self._meter.count(predictor.identity, "ok", rows=len(batch.rows), elapsed_us=elapsed_us)
        return response

    async def _in_thread(self, work: Callable[[], Response]) -> Response:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
