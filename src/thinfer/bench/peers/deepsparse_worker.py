"""DeepSparse in an interpreter of its own: `python deepsparse_worker.py MODEL.onnx THREADS INPUTS`.

The library ended with NumPy 1, so it cannot live where the rest does; this file imports nothing of
ours. It reads calls from stdin: two little-endian int64 (rows, length), then three int64 arrays
`[rows, length]` in the order of the model's inputs; and answers on stdout with two int64 (rows,
classes) and the float32 logits. One model is compiled for each shape, as the library wants it.
"""

import importlib
import os
import sys

import numpy


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the library greets on stdout
    sys.path.pop(0)  # this folder, where a file of ours has the library's name
    deepsparse = importlib.import_module("deepsparse")

    calls, models = sys.stdin.buffer, {}
    path, threads, inputs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    answers.write(deepsparse.__version__.encode().ljust(16)[:16])
    answers.flush()
    while True:
        head = calls.read(16)
        if len(head) < 16:
            return
        rows, length = map(int, numpy.frombuffer(head, "<i8"))
        size = rows * length * 8
        feeds = [
            numpy.frombuffer(calls.read(size), "<i8").reshape(rows, length).copy() for _ in range(3)
        ]
        if (rows, length) not in models:
            models[rows, length] = deepsparse.compile_model(
                path, batch_size=rows, num_cores=threads, input_shapes=[[rows, length]] * inputs
            )
        logits = numpy.ascontiguousarray(models[rows, length].run(feeds[:inputs])[0], dtype="<f4")
        answers.write(numpy.array(logits.shape, "<i8").tobytes())
        answers.write(logits.tobytes())
        answers.flush()


if __name__ == "__main__":
    main()
