"""Paddle's own inference of the same weights over HTTP; runs in an environment of its own.

    python server.py FOLDER --prepare                  once: weights → Paddle's inference format
    python server.py FOLDER --port 8002 --threads 2    serve

`FOLDER` is what `convert.py` wrote. The model runs in Paddle Inference with oneDNN, one request
at a time with all threads.
"""

from __future__ import annotations

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import paddle


def prepare(folder: Path) -> None:
    """Build PaddleNLP's model, load the weights, check them, and save it for inference."""
    from paddlenlp.transformers import ErnieConfig, ErnieForSequenceClassification

    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = ErnieForSequenceClassification(ErnieConfig(**facts["config"]))
    weights = dict(np.load(folder / "weights.npz"))
    own = model.state_dict()
    wrong = set(weights) ^ set(own)
    wrong |= {
        name for name in own if name in weights and weights[name].shape != tuple(own[name].shape)
    }
    if wrong:
        message = f"these weights do not fit PaddleNLP's model: {sorted(wrong)[:8]}"
        raise SystemExit(message)
    model.set_state_dict({name: paddle.to_tensor(value) for name, value in weights.items()})
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, paddle.nn.LayerNorm):
            layer._epsilon = facts["layer_norm_eps"]
    model.eval()
    shape = [paddle.static.InputSpec([None, None], "int64", name) for name in ("ids", "types")]
    static = paddle.jit.to_static(model, input_spec=shape, full_graph=True)
    paddle.jit.save(static, str(folder / "inference"))


class Model:
    """Tokenizer and predictor."""

    def __init__(self, folder: Path, threads: int) -> None:
        from paddle import inference
        from paddlenlp.transformers import ErnieTokenizer

        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._labels, self._max_length = facts["labels"], facts["max_length"]
        self._tokenizer = ErnieTokenizer(str(folder / "vocab.txt"))
        graph = next(
            path
            for path in (folder / "inference.json", folder / "inference.pdmodel")
            if path.is_file()
        )
        config = inference.Config(str(graph), str(folder / "inference.pdiparams"))
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(64)
        config.set_cpu_math_library_num_threads(threads)
        config.switch_ir_optim(True)
        config.enable_new_ir(True)
        config.enable_new_executor(True)
        config.disable_glog_info()
        self._predictor = inference.create_predictor(config)
        self._lock = threading.Lock()

    def check(self, text: str) -> dict[str, object]:
        """Answer one text."""
        encoded = self._tokenizer(text, max_length=self._max_length, truncation=True)
        feeds = [
            np.asarray([encoded[name]], dtype=np.int64) for name in ("input_ids", "token_type_ids")
        ]
        with self._lock:
            for name, feed in zip(self._predictor.get_input_names(), feeds, strict=True):
                handle = self._predictor.get_input_handle(name)
                handle.reshape(feed.shape)
                handle.copy_from_cpu(feed)
            self._predictor.run()
            name = self._predictor.get_output_names()[0]
            logits = self._predictor.get_output_handle(name).copy_to_cpu()[0]
        shifted = np.exp(logits - logits.max())
        scores = shifted / shifted.sum()
        best = int(scores.argmax())
        return {"content": text, "result": self._labels[best], "probability": float(scores[best])}


def make_handler(model: Model) -> type[BaseHTTPRequestHandler]:
    """Give the class that answers `POST /check`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave in one packet

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps(model.check(json.loads(raw)["content"])).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            return

    return Handler


class Server(ThreadingHTTPServer):
    """A thread a connection."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Prepare the model, or serve it until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    paddle.set_device("cpu")
    if arguments.prepare:
        prepare(arguments.folder)
        return
    model = Model(arguments.folder, arguments.threads)
    Server(("127.0.0.1", arguments.port), make_handler(model)).serve_forever()


if __name__ == "__main__":
    main()
