"""Every route of the service in one router."""

from __future__ import annotations

from fastapi import APIRouter

from thinfer.serve.routes.check import add_check
from thinfer.serve.routes.health import add_health
from thinfer.serve.routes.moderations import add_moderations
from thinfer.serve.routes.oip import add_oip
from thinfer.serve.routes.predict import add_predict
from thinfer.serve.service import Service

__all__ = ["build_routes"]


def build_routes(service: Service) -> APIRouter:
    """Give the router with every route of the service.

    Args:
        service: what the routes talk to.
    """
    router = APIRouter()
    for add in (add_check, add_predict, add_oip, add_moderations, add_health):
        add(router, service)
    return router
