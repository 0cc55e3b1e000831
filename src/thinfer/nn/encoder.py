"""The encoder with a classification head; every layer has its own widths.

Post-norm transformer as BERT defines it: embeddings → layers of attention and FFN, each with
a residual and a layer norm → first token → dense + tanh → head. Parameter names are the
canonical ones that `weights.safetensors` of a bundle carries too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thinfer.architecture import Architecture, LayerShape
from thinfer.errors import DataError

__all__ = ["EncoderClassifier", "Trace"]

Gates = Sequence[Tensor] | None

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda values: functional.gelu(values, approximate="tanh"),
    "relu": functional.relu,
    "tanh": torch.tanh,
    "silu": functional.silu,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """What a forward pass saw inside, differentiable.

    Attributes:
        logits: float `[batch, classes]`.
        hidden: the embedding's output, then each layer's, float `[batch, length, hidden]`.
        attention: per layer the attention shares, float `[batch, heads, length, length]`;
            with `heads` 0 where the layer has no attention.
    """

    logits: Tensor
    hidden: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]


class BiasOnly(nn.Module):
    """What stays of a dropped block's last linear layer: its bias, float `[hidden]`."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(hidden))


class Embeddings(nn.Module):
    """Sum of word, position, type and task rows, normalised."""

    def __init__(self, architecture: Architecture, dropout: float) -> None:
        super().__init__()
        hidden = architecture.hidden
        self.position_offset = architecture.position_offset
        self.word = nn.Embedding(architecture.vocab, hidden)
        self.position = nn.Embedding(architecture.positions, hidden)
        # Not `self.type`: that is a method of every torch module and would win at reading.
        if architecture.type_rows:
            self._modules["type"] = nn.Embedding(architecture.type_rows, hidden)
        self.task = nn.Embedding(architecture.task_rows, hidden) if architecture.task_rows else None
        self.norm = nn.LayerNorm(hidden, eps=architecture.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """Give float `[batch, length, hidden]` for int64 `[batch, length]` ids."""
        start = self.position_offset
        total: Tensor = self.word(input_ids)
        types = self._modules.get("type")
        if types is not None:
            total = total + types(token_type_ids)
        total = total + self.position.weight[start : start + input_ids.shape[1]]
        if self.task is not None:
            total = total + self.task.weight[0]
        normed: Tensor = self.dropout(self.norm(total))
        return normed


class Attention(nn.Module):
    """Self-attention with its residual and layer norm; only a bias when it has no heads."""

    def __init__(self, shape: LayerShape, hidden: int, *, eps: float, dropout: float) -> None:
        super().__init__()
        self.heads = shape.heads
        if shape.heads:
            self.query = nn.Linear(hidden, shape.heads * shape.qk_size)
            self.key = nn.Linear(hidden, shape.heads * shape.qk_size)
            self.value = nn.Linear(hidden, shape.heads * shape.value_size)
        self.output: nn.Module = (
            nn.Linear(shape.heads * shape.value_size, hidden) if shape.heads else BiasOnly(hidden)
        )
        self.norm = nn.LayerNorm(hidden, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, states: Tensor, keep: Tensor, *, gates: Tensor | None, traced: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Give states `[batch, length, hidden]`; traced, shares `[batch, heads, length, length]`.

        Args:
            states: float `[batch, length, hidden]`.
            keep: bool `[batch, 1, 1, length]`, False at padding.
            gates: float `[heads]`, factor of each head's context.
            traced: write the attention shares out, which is slower.
        """
        if isinstance(self.output, BiasOnly):
            added: Tensor = self.output.bias.expand_as(states)
            shares = states.new_zeros(states.shape[0], 0, states.shape[1], states.shape[1])
        else:
            context, shares = self._mix(states, keep, traced=traced)
            if gates is not None:
                context = context * gates[None, :, None, None]
            added = self.output(context.transpose(1, 2).flatten(2))  # [batch, length, hidden]
        return self.norm(states + self.dropout(added)), shares if traced else None

    def _mix(self, states: Tensor, keep: Tensor, *, traced: bool) -> tuple[Tensor, Tensor]:
        query, key, value = (
            part(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )  # each [batch, heads, length, head]
        rate = self.dropout.p if self.training else 0.0
        if not traced:
            context = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=keep, dropout_p=rate
            )
            return context, context
        products = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        shares = products.masked_fill(~keep, torch.finfo(products.dtype).min).softmax(-1)
        return functional.dropout(shares, rate, self.training) @ value, shares


class FeedForward(nn.Module):
    """The FFN with its residual and layer norm; only a bias when it has no neurons."""

    def __init__(self, shape: LayerShape, architecture: Architecture, *, dropout: float) -> None:
        super().__init__()
        hidden = architecture.hidden
        if shape.ffn:
            self.up = nn.Linear(hidden, shape.ffn)
        self.down: nn.Module = nn.Linear(shape.ffn, hidden) if shape.ffn else BiasOnly(hidden)
        self.norm = nn.LayerNorm(hidden, eps=architecture.layer_norm_eps)
        self.activation = _ACTIVATIONS[architecture.activation]
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, *, gates: Tensor | None) -> Tensor:
        """Give the new states; both float `[batch, length, hidden]`, gates float `[ffn]`."""
        if isinstance(self.down, BiasOnly):
            added: Tensor = self.down.bias.expand_as(states)
        else:
            inner = self.activation(self.up(states))  # [batch, length, ffn]
            added = self.down(inner if gates is None else inner * gates)
        result: Tensor = self.norm(states + self.dropout(added))
        return result


class Layer(nn.Module):
    """Attention, then FFN."""

    def __init__(self, shape: LayerShape, architecture: Architecture, *, dropout: float) -> None:
        super().__init__()
        eps = architecture.layer_norm_eps
        self.attention = Attention(shape, architecture.hidden, eps=eps, dropout=dropout)
        self.ffn = FeedForward(shape, architecture, dropout=dropout)

    def forward(
        self,
        states: Tensor,
        keep: Tensor,
        *,
        heads: Tensor | None,
        neurons: Tensor | None,
        traced: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Give the new states and, when traced, the attention shares; as of the two parts."""
        states, shares = self.attention(states, keep, gates=heads, traced=traced)
        return self.ffn(states, gates=neurons), shares


class EncoderClassifier(nn.Module):
    """The whole model; a fresh one has torch's own initial values, so load weights into it.

    Args:
        architecture: every width.
        dropout: share of values dropped in training; inference drops none.
    """

    def __init__(self, architecture: Architecture, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.architecture = architecture
        self.embeddings = Embeddings(architecture, dropout)
        self.layers = nn.ModuleList(
            Layer(shape, architecture, dropout=dropout) for shape in architecture.layers
        )
        self.pooler = nn.Linear(architecture.hidden, architecture.hidden)
        self.head = nn.Linear(architecture.hidden, architecture.classes)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def from_weights(
        cls, architecture: Architecture, weights: Mapping[str, NDArray[np.float32]]
    ) -> EncoderClassifier:
        """Build the model, in inference mode, from weights under their canonical names.

        Args:
            architecture: every width.
            weights: name → float32, each of the shape the architecture asks for.

        Raises:
            DataError: a name is missing or unknown, or a shape does not fit.
        """
        with torch.device("meta"):
            model = cls(architecture)
        expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        got = {name: tuple(value.shape) for name, value in weights.items()}
        if expected != got:
            wrong = sorted(name for name, _ in expected.items() ^ got.items())
            name = wrong[0]
            what = f"the weights do not fit the architecture at {', '.join(dict.fromkeys(wrong))}"
            raise DataError(what, expected=str(expected.get(name)), got=str(got.get(name)))
        tensors = {
            name: torch.tensor(np.asarray(value, dtype=np.float32))
            for name, value in weights.items()
        }
        model.load_state_dict(tensors, assign=True)
        return model.requires_grad_(True).eval()

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Give a copy of all weights: canonical name → float32."""
        return {
            name: value.detach().to("cpu", torch.float32, copy=True).numpy()
            for name, value in self.state_dict().items()
        }

    def set_dropout(self, rate: float) -> None:
        """Set the share of values dropped in training, everywhere."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = rate

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        *,
        head_gates: Gates = None,
        neuron_gates: Gates = None,
    ) -> Tensor:
        """Give the logits, float `[batch, classes]`.

        Args:
            input_ids: int64 `[batch, length]`, padded on the right.
            attention_mask: int64 `[batch, length]`, 1 at tokens and 0 at padding.
            token_type_ids: int64 `[batch, length]`.
            head_gates: per layer float `[heads]`, factor of each head's context.
            neuron_gates: per layer float `[ffn]`, factor of each activated neuron.
        """
        inputs = (input_ids, attention_mask, token_type_ids)
        return self._run(inputs, head_gates, neuron_gates, traced=False).logits

    def forward_traced(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Trace:
        """Give logits, hidden states and attention shares; arguments as of `forward`."""
        return self._run((input_ids, attention_mask, token_type_ids), None, None, traced=True)

    def _run(
        self, inputs: tuple[Tensor, ...], head_gates: Gates, neuron_gates: Gates, *, traced: bool
    ) -> Trace:
        input_ids, attention_mask, token_type_ids = inputs
        keep = attention_mask.bool()[:, None, None, :]
        states = self.embeddings(input_ids, token_type_ids)
        hidden, attention = [states], []
        for index, layer in enumerate(self.layers):
            heads = None if head_gates is None else head_gates[index]
            neurons = None if neuron_gates is None else neuron_gates[index]
            states, shares = layer(states, keep, heads=heads, neurons=neurons, traced=traced)
            if traced:
                hidden.append(states)
                attention.append(shares)
        pooled = torch.tanh(self.pooler(states[:, 0]))
        logits = self.head(self.dropout(pooled))
        return Trace(logits=logits, hidden=tuple(hidden), attention=tuple(attention))
