"""A bigger model behind HTTP: another service's `/predict`, of which nothing is taken on trust."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from thinfer.core.optional import require
from thinfer.errors import ThinferError
from thinfer.serve.errors import TextRefusedError, UpstreamError
from thinfer.serve.ticket import Logits
from thinfer.text.long_text import HEAD, LongText

__all__ = ["HttpUpstream", "read_rows"]

MAX_CONNECTIONS = 64
# Below the 5 s after which a service of ours closes an idle connection, so that it is not used
# in the moment in which it goes.
KEEP_ALIVE_S = 2.0
OK = 200
ABOUT_THE_TEXT = (400, 413, 422)  # another text may be fine: these say nothing of the upstream
LARGEST = float(np.finfo(np.float32).max)
# One class of one text is a label and a number in JSON; a character is at most 12 bytes there.
CLASS_BYTES, CHARACTER_BYTES, SPARE_BYTES = 128, 12, 4096


class HttpUpstream:
    """Asks `POST URL/predict` with `raw_scores`, over kept connections.

    Redirects are not followed, proxies of the environment are not used, and compressed answers
    are refused: texts go to the address that was given, and the size of an answer is known.

    Args:
        url: of the service, `http://…` or `https://…`.
        version: content digest of the bundle that it should serve; held against its header
            `x-thinfer-version`, where it has one.
        labels: the classes in the order that is wanted.
        connect_timeout_s: for a connection.
        timeout_s: for each part of a call; the caller bounds the whole.
        key: sent as a Bearer token, where the upstream asks for one.
        transport: of the HTTP client; a test puts a double here.
    """

    def __init__(
        self,
        url: str,
        *,
        version: str,
        labels: Sequence[str],
        connect_timeout_s: float,
        timeout_s: float,
        key: str | None = None,
        transport: object = None,
    ) -> None:
        httpx = require("httpx2")
        base = url.rstrip("/")
        self._url = base if base.endswith("/predict") else f"{base}/predict"
        self._version, self._labels = version, tuple(labels)
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "x-thinfer-deadline-ms": f"{1e3 * timeout_s:g}",  # what comes later is not computed
        }
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        self._client: Any = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=min(connect_timeout_s, timeout_s)),
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
            headers=headers,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    @property
    def version(self) -> str:
        """The first 12 digits of the content digest that it is expected to have."""
        return self._version[:12]

    def start(self) -> None:
        """Do nothing: the upstream may be away while this service starts."""

    async def ask(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, long_text: LongText = HEAD
    ) -> Logits:
        """Give the logits of texts, float32 `[texts, classes]`.

        Args:
            texts: at least one.
            pairs: of the same length.
            long_text: what becomes of texts that are too long; `head` is left to the upstream.

        Raises:
            TextRefusedError: it will not read these texts.
            UpstreamError: it cannot be reached, or its answer cannot be used.
        """
        inputs = (
            list(texts)
            if pairs is None
            else [list(both) for both in zip(texts, pairs, strict=True)]
        )
        fields: dict[str, object] = {"inputs": inputs, "raw_scores": True}
        if long_text.policy != "head":
            fields["long_text"] = long_text.policy
        if long_text.pooling is not None:
            fields["pooling"] = long_text.pooling
        body = json.dumps(fields, ensure_ascii=False)
        content = body.encode("utf-8", "replace")  # escapes would make twice as many bytes of it
        try:
            raw = await self._post(content, most=self._most_bytes(len(texts)))
        except ThinferError:
            raise
        # Not the client's own errors alone: a connection that is reset in the moment in which it
        # is made leaves it, under uvloop, as an AttributeError. No fault of the line is a 5xx.
        except Exception as error:  # any fault of the line: the edge has its own answer
            what = "the upstream cannot be reached"
            raise UpstreamError(what, got=type(error).__name__) from error
        return read_rows(raw, rows=len(texts), labels=self._labels)

    async def stop(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _most_bytes(self, rows: int) -> int:
        names = sum(CLASS_BYTES + CHARACTER_BYTES * len(label) for label in self._labels)
        return SPARE_BYTES + rows * (SPARE_BYTES // 64 + names)

    async def _post(self, content: bytes, *, most: int) -> bytes:
        async with self._client.stream("POST", self._url, content=content) as response:
            self._check_head(response.status_code, response.headers)
            received = bytearray()
            async for part in response.aiter_raw():
                received += part
                if len(received) > most:
                    what = "the upstream's answer is too long"
                    raise UpstreamError(what, expected=f"at most {most} bytes")
        return bytes(received)

    def _check_head(self, status: int, headers: Any) -> None:  # noqa: ANN401 - the client's class
        if status in ABOUT_THE_TEXT:
            what = "the upstream will not read this text"
            raise TextRefusedError(what, got=f"status {status}")
        if status != OK:
            what = "the upstream refused"
            raise UpstreamError(what, expected="status 200", got=str(status))
        coding = headers.get("content-encoding", "identity")
        if coding != "identity":
            what = "the upstream's answer is compressed"
            raise UpstreamError(what, expected="identity", got=coding[:40])
        found = headers.get("x-thinfer-version")
        if found is not None and found != self.version:
            what = "the upstream serves another bundle than the cascade policy was made for"
            raise UpstreamError(what, expected=self.version, got=found[:12])


def read_rows(raw: bytes, *, rows: int, labels: Sequence[str]) -> Logits:
    """Read the answer of `/predict` to a list of texts.

    Args:
        raw: JSON, for each text a list of `{"label", "score"}`.
        rows: texts that were asked.
        labels: every label exactly once in each row; the order that is wanted.

    Returns:
        float32 `[rows, classes]`, all finite.

    Raises:
        UpstreamError: the answer has another form, other labels, or a score that is no number.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        what = "the upstream's answer is not JSON"
        raise UpstreamError(what, got=type(error).__name__) from error
    if not isinstance(body, list) or len(body) != rows:
        what = "the upstream's answer has another form"
        got = f"{len(body)} rows" if isinstance(body, list) else type(body).__name__
        raise UpstreamError(what, expected=f"a list of {rows}", got=got)
    return np.asarray([_read_row(row, labels) for row in body], dtype=np.float32)


def _read_row(row: object, labels: Sequence[str]) -> list[float]:
    items = row if isinstance(row, list) else []
    pairs = [
        (item["label"], item["score"])
        for item in items
        if isinstance(item, dict) and "label" in item and "score" in item
    ]
    names = [name for name, _ in pairs]
    if len(items) != len(labels) or not all(label in names for label in labels):
        what = "the upstream's labels are not those of the cascade policy"
        raise UpstreamError(what, expected=str(list(labels))[:200], got=str(names)[:200])
    found = dict(pairs)
    scores = [found[label] for label in labels]
    for score in scores:
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if not is_number or not abs(score) <= LARGEST:  # NaN and infinity are not either
            what = "the upstream's score is not a number"
            raise UpstreamError(what, got=repr(score)[:80])
    return scores
