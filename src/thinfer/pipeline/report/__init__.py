"""The report page: one HTML file that needs no network, drawn from the result of `compress`."""

from __future__ import annotations

from thinfer.pipeline.report.page import render_report

__all__ = ["render_report"]
