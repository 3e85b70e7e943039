"""The icicle of bytes alive as SVG, at the view's own step."""

from __future__ import annotations

from roam_lab.report.pictures.canvas import WIDTH, Picture, cut, document, key, room, text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.icicle import Box, IcicleView
from roam_lab.report.views.look import KINDS, ink_on, kind_looks, pale

TOP, EDGE = 66, 16
ROW = 44
GAP = 3
PLAIN = "#e6e6e6"


def icicle_picture(view: IcicleView) -> Picture:
    """One SVG document of `view`."""
    looks = kind_looks(view.kinds)
    parts = key(looks, 50)
    for box in view.boxes:
        look = looks.get(box.kind, KINDS["unknown"])
        fill = PLAIN if box.level == 0 else pale(look) if box.level == 1 else look.light
        parts += _box(box, fill, ink_on(fill))
    return document(view, TOP + 4 * ROW + 12, parts)


def _box(box: Box, fill: str, ink: str) -> list[str]:
    left, right = (EDGE + edge * (WIDTH - 2 * EDGE) for edge in (box.left, box.right))
    y, width = TOP + box.level * ROW, max(right - left - 1, 0.5)
    parts = [f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{ROW - GAP}" fill="{fill}"/>']
    letters = room(width - 6)
    if letters >= 3:
        # a style, as it overrides the picture's CSS for text, which follows the theme; the box's colour does not
        styled = f' style="fill:{ink}"'
        label = box.label if len(box.label) <= letters or box.level != 1 else f"…{box.label[1 - letters :]}"
        parts.append(text(left + 4, y + 16, cut(label, letters), more=styled))
        if box.level:
            parts.append(text(left + 4, y + 32, cut(bytes_text(box.bytes), letters), "small", more=styled))
    return parts
