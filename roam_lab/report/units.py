"""Bytes and shares as texts: the functions of `sizes`, under the name that reports use."""

from __future__ import annotations

from roam_lab.sizes import UNITS, bytes_text, change_text, exact_text, share_text, step_text, unit_for

__all__ = ["UNITS", "bytes_text", "change_text", "exact_text", "share_text", "step_text", "unit_for"]
