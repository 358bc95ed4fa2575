"""Records as pictures: bars for times, one group a network, one column for each number of threads."""

from html import escape

from front.models import MODELS
from front.titles import TITLES, WHAT

# All lengths in pixels.
COLUMN = 520
NAMES = 168
BARS = 250
BAR = 15
STEP = 20
GAP = 26
TOP = 62
MARGIN = 28
# A bar of more than so many times effigy's is cut off.
LONGEST = 3.2

OURS, OURS_TOO, PEER, LIMIT = "#d9480f", "#f2a07b", "#b8c0cc", "#1f2933"
TEXT, QUIET = "#1f2933", "#6b7683"
STYLE = "font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def draw(record: dict) -> dict[str, str]:
    """One picture for each kind of measurement."""
    pieces = [piece for piece in record["pieces"] if piece["rows"] and piece["what"] != "accuracy"]
    kinds = dict.fromkeys(piece["what"] for piece in pieces)
    return {what: _Picture([piece for piece in pieces if piece["what"] == what], record).svg() for what in kinds}


class _Picture:
    def __init__(self, pieces: list[dict], record: dict):
        self.record, self.what = record, pieces[0]["what"]
        self.threads = sorted({piece["threads"] for piece in pieces})
        self.groups: dict[tuple[str, str], dict[int, dict]] = {}
        for piece in pieces:
            self.groups.setdefault((piece["precision"], piece["model"]), {})[piece["threads"]] = piece
        self.parts: list[str] = []

    def svg(self) -> str:
        width = 2 * MARGIN + COLUMN * len(self.threads)
        self.text(MARGIN, 34, f"{WHAT[self.what]}, milliseconds (median)", 19, TEXT, weight=600)
        details = f"{self.record['processor']}, {self.record['date']}. Shorter is better. ×: effigy is so many times as fast."
        if any(limit(piece) for group in self.groups.values() for piece in group.values()):
            details += " Line: the processor's limit, no time but for multiply-adds."
        self.text(MARGIN, 54, details, 12, QUIET)
        y = TOP
        for (precision, model), group in self.groups.items():
            y = self.group(y + GAP, f"{MODELS[model].title}", precision, group)
        height = y + MARGIN - 6
        size = f'width="{width}" height="{height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" style="{STYLE}">'
        return "\n".join([head, f'<rect {size} fill="#ffffff"/>', *self.parts, "</svg>", ""])

    def group(self, y: int, model: str, precision: str, group: dict[int, dict]) -> int:
        """One network: its bars for every number of threads; where the next one may begin."""
        size = MODELS[next(iter(group.values()))["model"]].size
        ends = [y]
        for column, threads in enumerate(self.threads):
            x = MARGIN + column * COLUMN
            if threads not in group:
                continue
            plural = "" if threads == 1 else "s"
            self.text(x, y, f"{model}", 14, TEXT, weight=600)
            self.text(x + NAMES + 10, y, f"{size}×{size}, {precision}, {threads} thread{plural}", 12, QUIET)
            ends.append(self.bars(x, y + 10, group[threads]))
        return max(ends)

    def bars(self, x: int, y: int, piece: dict) -> int:
        rows = sorted(piece["rows"], key=lambda row: row["median_ms"])
        ours = next(row["median_ms"] for row in rows if row["contender"] == "effigy")
        longest = min(rows[-1]["median_ms"], LONGEST * ours)
        scale = BARS / longest
        end = y + STEP * len(rows)
        for number, row in enumerate(rows):
            self.bar(x, y + number * STEP, row, scale, longest)
        at = limit(piece)
        if at:
            place = x + NAMES + 10 + at * scale
            self.parts.append(
                f'<line x1="{place:.1f}" y1="{y - 3}" x2="{place:.1f}" y2="{end + 1}" stroke="{LIMIT}" '
                'stroke-width="1.2" stroke-dasharray="4 3"/>'
            )
        return end

    def bar(self, x: int, y: int, row: dict, scale: float, longest: float) -> None:
        name, value = row["contender"], row["median_ms"]
        ours = name == "effigy"
        colour = OURS if ours else OURS_TOO if name.startswith("effigy") else PEER
        left, length = x + NAMES + 10, min(value, longest) * scale
        weight = 600 if ours else 400
        self.text(x + NAMES, y + 12, TITLES[name], 12, TEXT, weight=weight, anchor="end")
        self.parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
        if value > longest:
            # Cut off: a white stroke through the bar.
            cut = left + length - 16
            path = f"M{cut:.1f} {y + BAR + 1} l6 {-BAR - 2}"
            self.parts.append(f'<path d="{path}" stroke="#ffffff" stroke-width="4" fill="none"/>')
        told = f"{value:.1f}" if value < 100 else f"{value:.0f}"
        if not ours:
            told += f"  ×{row['speed_median']:.2f}"
        self.text(left + length + 6, y + 12, told, 12, TEXT if ours else QUIET, weight=weight)

    def text(self, x: float, y: float, text: str, size: int, colour: str, weight: int = 400, anchor: str = "start"):
        place = f'x="{x:.1f}" y="{y}" font-size="{size}" fill="{colour}"'
        anchored = f' text-anchor="{anchor}"' if anchor != "start" else ""
        heavy = f' font-weight="{weight}"' if weight != 400 else ""
        self.parts.append(f"<text {place}{anchored}{heavy}>{escape(text)}</text>")


def limit(piece: dict) -> float | None:
    from front.report import limit_ms

    return limit_ms(piece)
