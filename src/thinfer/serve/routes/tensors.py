"""The tensors of the Open Inference Protocol: texts in, labels, scores and logits out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from thinfer.serve.errors import InvalidBodyError, UnsupportedEncodingError
from thinfer.serve.schema import WHOLE, LongTextFields, RequestBody
from thinfer.serve.service import Answered

__all__ = ["InferBody", "list_tensors", "read_outputs", "read_texts", "write_outputs"]

Texts = tuple[str, ...]
Size = Annotated[StrictInt, Field(ge=1, le=2**31 - 1), WHOLE]
PAIR = "text_pair"


class TensorParameters(BaseModel):
    """What is read of a tensor's parameters: whether its data comes after the JSON."""

    model_config = ConfigDict(frozen=True)

    binary_data_size: Any = None
    binary_data: Any = None


class InputTensor(BaseModel):
    """An input; its elements are texts."""

    model_config = ConfigDict(frozen=True)

    name: StrictStr
    shape: Annotated[list[Size], Field(min_length=1, max_length=2)] = Field(
        description="[n] or [n, 1]"
    )
    datatype: Literal["BYTES"]
    parameters: TensorParameters | None = None
    data: list[StrictStr | list[StrictStr]] | None = Field(
        default=None, description="n texts, flat or each in a list of its own"
    )


class OutputTensor(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(frozen=True)

    name: StrictStr
    parameters: TensorParameters | None = None


class InferParameters(LongTextFields):
    """Parameters of a request; those of other servers are left alone."""


class InferBody(RequestBody):
    """Body of `POST /v2/models/…/infer`.

    Attributes:
        id: comes back in the answer.
        parameters: `long_text` and `pooling`.
        inputs: the texts, and a second tensor `text_pair` for pairs.
        outputs: which tensors to give; all but the logits when absent.
    """

    expected = MappingProxyType(
        {
            "id": "a string",
            "parameters": "an object, with 'long_text' and 'pooling' as on /check",
            "inputs": "one or two tensors with name, shape [n], datatype BYTES and data",
            "outputs": "a list of objects with a name",
        }
    )

    id: StrictStr | None = None
    parameters: InferParameters | None = None
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=2)]
    outputs: list[OutputTensor] | None = None


def read_texts(body: InferBody) -> tuple[Texts, Texts | None]:
    """Give the texts of a request, and their pairs if a tensor is named `text_pair`.

    Args:
        body: the request.

    Returns:
        `(texts, pairs)`, of the same length.

    Raises:
        InvalidBodyError: names or sizes do not fit each other.
    """
    tensors = {tensor.name: _read_tensor(tensor) for tensor in body.inputs}
    pairs = tensors.pop(PAIR, None)
    if len(tensors) != 1 or len(body.inputs) != 1 + (pairs is not None):
        what = "the field 'inputs' does not hold one tensor of texts"
        raise InvalidBodyError(what, expected=f"one tensor, and '{PAIR}' beside it for pairs")
    (texts,) = tensors.values()
    if pairs is not None and len(pairs) != len(texts):
        what = "the tensors differ in size"
        raise InvalidBodyError(what, expected=f"{len(texts)} in each", got=str(len(pairs)))
    return texts, pairs


def read_outputs(body: InferBody) -> tuple[str, ...]:
    """Give the names of the outputs that are asked for; all but the logits where none is.

    Args:
        body: the request.

    Raises:
        InvalidBodyError: there is no such output, or one is asked for twice.
    """
    names = [output.name for output in body.outputs or ()]
    if len(set(names)) < len(names) or not set(names) <= set(OUTPUTS):
        what = "the field 'outputs' asks for a tensor twice, or for one that there is not"
        raise InvalidBodyError(what, expected=f"each of {list(OUTPUTS)} once at most")
    for output in body.outputs or ():
        _refuse_binary(output.parameters)
    return tuple(names or [name for name in OUTPUTS if name != "logits"])


def write_outputs(answered: Answered, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Give output tensors.

    Args:
        answered: of n texts.
        names: from `read_outputs`.

    Returns:
        `name`, `datatype`, `shape` and flat `data` of each, in the order of the names.
    """
    size, classes = answered.logits.shape
    tensors = []
    for name in names:
        datatype, is_wide, fill = OUTPUTS[name]
        shape = [size, classes] if is_wide else [size]
        tensors.append({"name": name, "datatype": datatype, "shape": shape, "data": fill(answered)})
    return tensors


def list_tensors(classes: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give the model's inputs and outputs as its metadata names them.

    Args:
        classes: labels of the model.
    """
    inputs = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("text", PAIR)]
    outputs = [
        {"name": name, "datatype": datatype, "shape": [-1, classes] if is_wide else [-1]}
        for name, (datatype, is_wide, _) in OUTPUTS.items()
    ]
    return inputs, outputs


def _read_tensor(tensor: InputTensor) -> Texts:
    """Give the elements of a tensor.

    Raises:
        InvalidBodyError: there is no data, or its size is not that of the shape.
        UnsupportedEncodingError: the data is in binary form.
    """
    _refuse_binary(tensor.parameters)
    if tensor.data is None:
        what = "a tensor of 'inputs' has no data"
        raise InvalidBodyError(what, expected="a list of strings")
    size, width = tensor.shape[0], tensor.shape[-1] if len(tensor.shape) == 2 else 1
    rows = [[item] if isinstance(item, str) else item for item in tensor.data]
    if width != 1 or len(rows) != size or any(len(row) != 1 for row in rows):
        what = "a tensor's shape is not that of its data"
        raise InvalidBodyError(what, expected="shape [n] or [n, 1] for n texts")
    return tuple(row[0] for row in rows)


def _refuse_binary(parameters: TensorParameters | None) -> None:
    """Let pass tensors in JSON.

    Raises:
        UnsupportedEncodingError: the binary extension is used.
    """
    if parameters is None:
        return
    if parameters.binary_data_size is not None or parameters.binary_data:
        what = "tensors in binary form are not read or written"
        raise UnsupportedEncodingError(what, expected="data in the JSON itself")


def _labels(answered: Answered) -> list[Any]:
    return [prediction.label for prediction in answered.predictions()]


def _scores(answered: Answered) -> list[Any]:
    return [score for item in answered.predictions() for score in item.scores.values()]


# Datatype, whether there is a column a class, and the data; the last one only where asked for.
OUTPUTS: Mapping[str, tuple[str, bool, Callable[[Answered], list[Any]]]] = MappingProxyType(
    {
        "label": ("BYTES", False, _labels),
        "scores": ("FP32", True, _scores),
        "truncated": ("BOOL", False, lambda answered: answered.encoded.truncated.tolist()),
        "tokens": ("INT64", False, lambda answered: answered.encoded.tokens.tolist()),
        "tokens_total": ("INT64", False, lambda answered: answered.encoded.totals.tolist()),
        "logits": ("FP32", True, lambda answered: answered.logits.ravel().tolist()),
    }
)
