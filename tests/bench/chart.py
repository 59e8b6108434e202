#!/usr/bin/env python3
"""Draws what bench.py found as SVG: wall time over nodes for each case, both scales logarithmic.

chart.py RESULTS.jsonl >CHART.svg draws kept results again.
"""

import json
import math
import sys
from html import escape
from pathlib import Path
from statistics import median

from subjects import CASES, FLOORS, TOOLS

WIDTH, HEIGHT, LEFT, TOP, GAP = 280, 320, 60, 50, 50
COLOURS = {
    "ssh": "#9aa0a6",
    "probe": "#5f6368",
    "deploy": "#1a73e8",
    "pyinfra": "#188038",
    "tuned": "#e37400",
    "default": "#c5221f",
}


def draw(results: list[dict]) -> str:
    """The whole picture, a panel for each case. A bar goes from least to most."""
    panels = [(title, case, False) for case, title in CASES.items()]
    if any(one["simulated"] for one in results):
        panels.append(("simulated nodes, run without changes", "no-op", True))
    seconds = [one["wall"] for one in results]
    low, high = 10 ** math.floor(math.log10(min(seconds))), 10 ** math.ceil(math.log10(max(seconds)))
    edge = LEFT + len(panels) * (WIDTH + GAP)
    width, height = edge + 150, TOP + HEIGHT + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, case, simulated) in enumerate(panels):
        parts.append(f'<g transform="translate({LEFT + number * (WIDTH + GAP)},{TOP})">')
        parts.append(f'<text y="-14" font-size="14">{escape(title)}</text>')
        parts += panel([one for one in results if one["simulated"] == simulated], case, low, high)
        parts.append("</g>")
    for number, (tool, title) in enumerate(TOOLS.items()):
        parts += legend(edge - 20, TOP + 20 * number, f'stroke="{COLOURS[tool]}" stroke-width="2"', title)
    dashes = 'stroke="black" stroke-dasharray="4 3"'
    parts += legend(edge - 20, TOP + 20 * len(TOOLS), dashes, "live connections")
    return "\n".join([*parts, "</svg>\n"])


def legend(x: int, y: int, stroke: str, title: str) -> list[str]:
    return [f'<path d="M{x} {y}h20" {stroke}/>', f'<text x="{x + 26}" y="{y + 4}">{escape(title)}</text>']


def panel(results: list[dict], case: str, low: float, high: float) -> list[str]:
    """One case: grid, axes and a line for each tool; those of the floors belong to every case."""
    sizes = sorted({one["nodes"] for one in results})

    def across(size: int) -> float:
        return WIDTH * math.log(size / sizes[0]) / (math.log(sizes[-1] / sizes[0]) or 1)

    def down(wall: float) -> float:
        return HEIGHT * (1 - math.log(wall / low) / math.log(high / low))

    parts = []
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        y = down(10**power)
        parts.append(f'<path d="M0 {y:.1f}H{WIDTH}" stroke="#e0e0e0"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{10**power:g} s</text>')
    for size in sizes:
        parts.append(f'<text x="{across(size):.1f}" y="{HEIGHT + 18}" text-anchor="middle">{size}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT + 36}" text-anchor="middle">nodes</text>')
    for tool in TOOLS:
        for live in (False, True):
            key = [tool, "no-op" if tool in FLOORS else case, live]
            points: dict[int, list[float]] = {}
            for one in results:
                if one["key"] == key:
                    points.setdefault(one["nodes"], []).append(one["wall"])
            if points:
                parts += line(points, COLOURS[tool], live, across, down)
    return parts


def line(points: dict[int, list[float]], colour: str, live: bool, across, down) -> list[str]:
    """One tool in one panel."""
    places = [(across(size), down(median(walls))) for size, walls in sorted(points.items())]
    dash, fill = (' stroke-dasharray="4 3"', "white") if live else ("", colour)
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    for size, walls in points.items():
        x = across(size)
        bar = f"M{x:.1f} {down(min(walls)):.1f}V{down(max(walls)):.1f}"
        parts.append(f'<path d="{bar}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{down(median(walls)):.1f}" r="2.5" fill="{fill}" stroke="{colour}"/>')
    return parts


if __name__ == "__main__":
    kept = Path(sys.argv[1]).read_text().splitlines()
    sys.stdout.write(draw([json.loads(one) for one in kept]))
