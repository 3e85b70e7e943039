"""Pure data, no torch: graphs, lifetimes, layouts, the one peak function, the check, and their files."""

from roam_lab.ir.check import check_layout, check_order
from roam_lab.ir.check_rewritten import check_rewritten
from roam_lab.ir.files import read_json, write_bytes, write_text
from roam_lab.ir.graph import Device, Graph, Op, Region, Storage
from roam_lab.ir.graph_json import (
    fingerprint,
    graph_from_data,
    graph_to_data,
    load_graph,
    save_graph,
)
from roam_lab.ir.layout import Layout
from roam_lab.ir.memory import (
    Lifetime,
    Order,
    Peak,
    captured_order,
    lifetimes,
    lifetimes_curve,
    live_bytes,
    live_curve,
    live_peak,
)
from roam_lab.ir.rewritten import Origin, Rewritten, untouched

__all__ = [
    "Device",
    "Graph",
    "Layout",
    "Lifetime",
    "Op",
    "Order",
    "Origin",
    "Peak",
    "Region",
    "Rewritten",
    "Storage",
    "captured_order",
    "check_layout",
    "check_order",
    "check_rewritten",
    "fingerprint",
    "graph_from_data",
    "graph_to_data",
    "lifetimes",
    "lifetimes_curve",
    "live_bytes",
    "live_curve",
    "live_peak",
    "load_graph",
    "read_json",
    "save_graph",
    "untouched",
    "write_bytes",
    "write_text",
]
