"""The routes, a file a protocol: read the request, ask the service, write the answer."""

from thinfer.serve.routes.build import build_routes

__all__ = ["build_routes"]
