"""The report for those who decide: one offline HTML page that says what fits where, and what that is worth."""

from roam_lab.report.brief.page import brief_html, write_brief
from roam_lab.report.brief.prices import Prices

__all__ = ["Prices", "brief_html", "write_brief"]
