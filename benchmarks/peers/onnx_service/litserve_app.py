"""LitServe with its own batching on the same ONNX file; runs in an environment of its own.

    python litserve_app.py FOLDER --port 8001 --threads 2 [--batch 32] [--wait-ms 5]

One worker: more of them would share the same cores. LitServe reads the annotations of the request
and of the answer, so they are types here and not text.
"""

import argparse
from pathlib import Path
from typing import Any, cast

import litserve
from fastapi import Request, Response
from onnx_model import Model
from tokenizers import Encoding

Item = tuple[str, Encoding]
Answer = dict[str, Any]


class Api(litserve.LitAPI):
    """Tokenises each request as it is decoded, and runs what was batched together."""

    def __init__(self, folder: Path, threads: int, **batching: float) -> None:
        super().__init__(api_path="/check", **batching)
        self._folder, self._threads = folder, threads

    def setup(self, device: str) -> None:
        """Load the model, in the worker."""
        self._model = Model(self._folder, self._threads)

    def decode_request(self, request: Request) -> Item:
        """Give the text and its tokens."""
        body = cast("dict[str, str]", request)  # parsed by now, whatever the annotation says
        return body["content"], self._model.encode(body["content"])

    def batch(self, inputs: list[Item]) -> list[Item]:
        """Leave them side by side: the model pads."""
        return list(inputs)

    def predict(self, x: list[Item]) -> list[Answer]:
        """Answer a batch."""
        texts, encoded = [text for text, _ in x], [tokens for _, tokens in x]
        answers: list[Answer] = self._model.run(texts, encoded)
        return answers

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """Give the answers one by one."""
        return output

    def encode_response(self, output: Answer) -> Response:
        """The answers are JSON already."""
        return cast("Response", output)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--wait-ms", type=float, default=5.0)
    arguments = parser.parse_args()
    api = Api(
        arguments.folder,
        arguments.threads,
        max_batch_size=arguments.batch,
        batch_timeout=arguments.wait_ms / 1000,
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=arguments.port, log_level="warning", generate_client_file=False
    )


if __name__ == "__main__":
    main()
