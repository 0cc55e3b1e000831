"""The usual service: FastAPI, transformers in eager FP32, one text a request.

    python app.py CHECKPOINT --port 8001 --threads 2

One request at a time uses all threads: that is faster here than letting requests compete for
them.
"""

from __future__ import annotations

import argparse
import threading
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Question(BaseModel):
    """What is asked."""

    content: str


def make_app(folder: str) -> FastAPI:
    """Give the application; the model is loaded once."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    lock = threading.Lock()
    app = FastAPI()

    @app.post("/check")
    def check(question: Question) -> dict[str, Any]:
        inputs = tokenizer(question.content, truncation=True, return_tensors="pt")
        with lock, torch.inference_mode():
            scores = model(**inputs).logits[0].softmax(-1)
        best = int(scores.argmax())
        return {
            "content": question.content,
            "result": model.config.id2label[best],
            "probability": float(scores[best]),
        }

    return app


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    app = make_app(arguments.folder)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
