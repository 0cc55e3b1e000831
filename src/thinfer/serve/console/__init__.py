"""The page at `/`: try a text, watch the service, swap versions; needs nothing from elsewhere."""

from thinfer.serve.console.pages import build_console

__all__ = ["build_console"]
