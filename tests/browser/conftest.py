"""How long a page may take: where two workers share two cores, a browser at times waits for one."""

from __future__ import annotations

from contextlib import suppress

with suppress(ImportError):  # without it the tests here skip
    from playwright import sync_api

    sync_api.expect.set_options(timeout=30_000)
