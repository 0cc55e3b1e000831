"""The usual service: FastAPI, ONNX Runtime in the thread pool, one text a request.

    python fastapi_app.py FOLDER --port 8001 --threads 2 [--one-at-a-time]

Without the option, as many requests run at once as the thread pool has threads, and share the
cores; with it, one request at a time has them all.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from onnx_model import Model
from pydantic import BaseModel


class Question(BaseModel):
    """What is asked."""

    content: str


def make_app(model: Model, *, is_serial: bool) -> FastAPI:
    """Give the application; the model is loaded once."""
    app = FastAPI()
    turn = asyncio.Lock() if is_serial else nullcontext()

    def answer(text: str) -> dict[str, Any]:
        answers: list[dict[str, Any]] = model.run([text], [model.encode(text)])
        return answers[0]

    @app.post("/check")
    async def check(question: Question) -> dict[str, Any]:
        async with turn:
            return await run_in_threadpool(answer, question.content)

    return app


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--one-at-a-time", action="store_true")
    arguments = parser.parse_args()
    model = Model(arguments.folder, arguments.threads)
    app = make_app(model, is_serial=arguments.one_at_a_time)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
