"""`POST /predict?explain=1`: a prediction with what each feature contributed to it.

An explanation takes milliseconds to seconds, so it is worked on by one thread of its own at a lower priority; the event
loop only hands over. A few may wait in line, the next one is told to come back.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from edge_agent.serve.answering import Answering, Meter
from edge_agent.serve.explain.describing import MAX_ROWS
from edge_agent.serve.explain.errors import ExplainingBusy, ExplanationRefused
from edge_agent.serve.explain.explainer import Explainer
from edge_agent.serve.explain.question import Question
from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import Request, Response, answer
from edge_agent.serve.predict import shape
from edge_agent.serve.rows import RowsRefused
from edgekit.errors import DeviceFault, MessageError

MAX_IN_LINE = 4
# The loop may have to wait for the interpreter's lock while this thread holds it and gets no core: see update.threads.
_NICENESS = 5


class Explaining:
    """Explains predictions of the models that are being served."""

    def __init__(self, answering: Answering, meter: Meter) -> None:
        self._answering = answering
        self._meter = meter
        self._explainers: WeakKeyDictionary[Predictor, Explainer] = WeakKeyDictionary()
        self._stopping = threading.Event()
        self._in_line = 0
        self._thread: ThreadPoolExecutor | None = None

    async def explain(self, request: Request, asked: Question, name: str | None) -> Response:
        """The answer. Raises ExplainingBusy, ExplanationRefused, and whatever a prediction raises."""
        predictor = self._answering.find(name)
        if self._in_line >= MAX_IN_LINE:
            raise ExplainingBusy(f"{MAX_IN_LINE} explanations are in line already: try again in a moment")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="explaining", initializer=_be_nice)
        self._in_line += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._explained, predictor, request.body, asked)
        finally:
            self._in_line -= 1

    def close(self) -> None:
        """No more requests will come; an explanation under way breaks off."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _explained(self, predictor: Predictor, body: bytes, asked: Question) -> Response:
        started = time.perf_counter_ns()
        try:
            batch = predictor.rows.from_json(body)
            if len(batch.rows) > MAX_ROWS:
                raise ExplanationRefused(
                    f"{len(batch.rows)} rows are too many: at most {MAX_ROWS} are explained at once",
                    reason="explanation_too_large",
                )
            answers = predictor.run(batch.rows)
            predicted_us = (time.perf_counter_ns() - started) // 1000
            found = self._explainer(predictor).explain(
                predictor, batch.rows, answers.predictions(), asked, self._stopping
            )
        except (RowsRefused, MessageError, ExplanationRefused):
            self._meter.count(predictor.identity, "client_error")
            raise
        except ExplainingBusy:
            raise
        except DeviceFault:
            self._meter.count(predictor.identity, "server_error")
            raise
        # Only the prediction counts as latency: rollouts are judged by it.
        self._meter.count(predictor.identity, "ok", rows=len(batch.rows), elapsed_us=predicted_us)
        told = [explanation.as_json() for explanation in found]
        more = {"explanations": told} if batch.many else {"explanation": told[0]}
        return answer(shape(predictor, batch, answers) | more)

    def _explainer(self, predictor: Predictor) -> Explainer:
        found = self._explainers.get(predictor)
        if found is None:
            found = self._explainers[predictor] = Explainer.of(predictor)
        return found


def _be_nice() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
