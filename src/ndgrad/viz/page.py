"""The page: the picture, and a little JavaScript to move about in it; one file that loads nothing."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from ndgrad.autograd.inspection.inventory import amount
from ndgrad.viz.picture import Box, Picture
from ndgrad.viz.scene import make_scene
from ndgrad.viz.vector import STYLE, inner_svg

FOLDER = Path(__file__).parent

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>@title@</title>
<style>
@page_style@
@picture_style@
</style>
</head>
<body class="ndgrad">
<header>
<h1>@title@</h1>
<span class="size">@summary@</span>
<input id="search" type="search" placeholder="Search: name, op, shape, line   /" aria-label="Search" autocomplete="off">
<span id="found" role="status"></span>
<button id="result" type="button" title="Go to the result">Result</button>
<button id="out" type="button" aria-label="Zoom out" title="Zoom out (-)">&minus;</button>
<button id="in" type="button" aria-label="Zoom in" title="Zoom in (+)">+</button>
<button id="fit" type="button" title="Show all (0)">Fit</button>
</header>
<main>
<svg id="view" class="ndgrad" xmlns="http://www.w3.org/2000/svg" tabindex="0" role="application" aria-label="@label@">
<g id="world">
@picture@
</g>
</svg>
<div id="legend" aria-hidden="true">@legend@</div>
<canvas id="map" aria-hidden="true"></canvas>
</main>
<aside hidden aria-live="polite" aria-label="Details"></aside>
<script type="application/json" id="data">@data@</script>
<script>
@script@
</script>
</body>
</html>
"""


def draw_page(picture: Picture, title: str) -> str:
    """The whole page."""
    scene = make_scene(picture)
    roots = [at for at, box in enumerate(picture.boxes) if box.root]
    data = {
        "size": [round(scene.width, 1), round(scene.height, 1)],
        "root": roots[-1] if roots else len(picture.boxes) - 1,
        "boxes": [describe(box, picture) for box in picture.boxes],
    }
    steps = "".join(f'<i style="background:var(--h{step})"></i>' for step in range(1, 6))
    keys = "Arrow keys go from node to node, plus and minus zoom, 0 shows all, slash searches."
    parts = {
        "title": escape(title),
        "summary": escape(picture.summary),
        "label": escape(f"{title}: {picture.summary}. {keys}"),
        "page_style": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "picture_style": STYLE.read_text(encoding="utf-8"),
        "legend": f"saved memory: little {steps} much" if picture.total else "no saved tensors",
        "picture": inner_svg(picture, scene),
        # "<" would let a name end the script element
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "script": (FOLDER / "page.js").read_text(encoding="utf-8"),
    }
    pieces = TEMPLATE.split("@")  # every second piece is a name; nothing that is put in is searched for names again
    return "".join(parts[piece] if at % 2 else piece for at, piece in enumerate(pieces))


def describe(box: Box, picture: Picture) -> dict[str, Any]:
    """What the panel says of a box."""
    facts = [["shape", box.shape], ["dtype", box.dtype], ["line", box.path], ["gradient norm", box.norm]]
    if box.freed:
        facts.append(["saves", "nothing any more: a backward has freed it"])
    elif box.held:
        facts.append(["saves", f"{amount(box.held)}, {box.held / max(1, picture.total):.1%} of all"])
    if box.count > 1:
        facts.append(["stands for", f"{box.count:,}"])
    return {
        "label": box.label,
        "full": box.full,
        "form": f"{box.shape} {box.dtype}".strip(),
        "facts": [fact for fact in facts if fact[1]],
        "saved": box.saved if box.kind == "op" else [],
        "share": box.held / picture.total if picture.total else 0,
    }
