"""Records: the figures as JSON, and what is written from them, tables and a picture."""

import json
import time
from pathlib import Path

from front import picture
from front.environment import BENCH, log
from front.models import MODELS
from front.titles import TITLES, WHAT

RECORDS = BENCH / "record"
KEY = ["what", "model", "precision", "threads"]


def merge(record: dict | None, facts: dict, pieces: list[dict]) -> dict:
    """A record with new pieces in the place of those of the same name."""
    kept = {key(piece): piece for piece in (record or {}).get("pieces", [])}
    kept |= {key(piece): piece | {"commit": facts["commit"]} for piece in pieces}
    return {"date": time.strftime("%Y-%m-%d"), **facts, "pieces": sorted(kept.values(), key=order)}


def key(piece: dict) -> tuple:
    return tuple(piece[name] for name in KEY)


def order(piece: dict) -> tuple:
    return (
        list(WHAT).index(piece["what"]), ["fp32", "bf16", "int8"].index(piece["precision"]),
        list(MODELS).index(piece["model"]), piece["threads"],
    )  # fmt: skip


def write(name: str, facts: dict, pieces: list[dict]) -> None:
    """Adds pieces to today's record of a name."""
    stem = f"{time.strftime('%Y-%m-%d')}-{name}"
    path = RECORDS / f"{stem}.json"
    before = json.loads(path.read_text()) if path.exists() else None
    if before and before["processor"] != facts["processor"]:
        raise SystemExit(f"{path.name} is of another processor, {before['processor']}: choose another name")
    record = merge(before, facts, pieces)
    path.write_text(json.dumps(record, indent=1) + "\n")
    drawn = picture.draw(record)
    for what, svg in drawn.items():
        (RECORDS / f"{stem}-{what}.svg").write_text(svg)
    links = "".join(f"![{WHAT[what]}]({stem}-{what}.svg)\n\n" for what in drawn)
    (RECORDS / f"{stem}.md").write_text(f"# {stem}\n\n{heading(record)}\n\n{links}{tables(record['pieces'])}\n")
    log(f"written: bench/record/{stem}.md, .json and {len(drawn)} pictures")


def heading(record: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (
        f"{record['date']}, {record['processor']} ({record['processor_model']}; {record['instructions']}), "
        f"{record['processors']} processors. {record['effigy']}, commit {record['commit']}; {versions}. "
        "[How to read this](../README.md)."
    )


def tables(pieces: list[dict]) -> str:
    """The short of it first, then every figure."""
    measured = [piece for piece in pieces if piece["rows"] and piece["what"] != "accuracy"]
    parts = [short(measured)] if measured else []
    for what, precision in dict.fromkeys((piece["what"], piece["precision"]) for piece in pieces):
        group = [piece for piece in pieces if (piece["what"], piece["precision"]) == (what, precision)]
        parts.append(f"## {WHAT[what]}, {precision}\n\n{right(group) if what == 'accuracy' else long(group)}")
    return "\n\n".join(part.rstrip() for part in parts)


def short(pieces: list[dict]) -> str:
    """Effigy and the fastest peer of each piece."""
    lines = [
        "## Against the fastest peer",
        "",
        "| | precision | | threads | effigy, ms | fastest peer | its, ms | effigy's speed / its (range) | bests |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for piece in pieces:
        ours = next(row for row in piece["rows"] if row["contender"] == "effigy")
        peers = [row for row in piece["rows"] if not row["contender"].startswith("effigy")]
        cells = [WHAT[piece["what"]], piece["precision"], MODELS[piece["model"]].title, str(piece["threads"])]
        cells.append(number(ours["median_ms"]))
        if peers:
            best = min(peers, key=lambda row: row["median_ms"])
            bests = min(row["best_ms"] for row in peers) / ours["best_ms"]
            cells += [TITLES[best["contender"]], number(best["median_ms"]), speed(best), f"{bests:.2f}"]
        else:
            cells += ["none", "", "", ""]
        lines.append(row_of(cells))
    return "\n".join(lines)


def long(pieces: list[dict]) -> str:
    lines = [
        "| | threads | | median, ms | best, ms | effigy's speed / its (range) | of the limit | memory, MB | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for piece in pieces:
        limit = limit_ms(piece)
        for row in sorted(piece["rows"], key=lambda row: row["median_ms"]):
            share = f"{100 * limit / row['median_ms']:.0f} %" if limit else ""
            memory = f"{row['peak_memory_mb']:.0f}" if row["peak_memory_mb"] else ""
            ours, name = row["contender"] == "effigy", TITLES[row["contender"]]
            cells = [
                MODELS[piece["model"]].title, str(piece["threads"]), f"**{name}**" if ours else name,
                number(row["median_ms"]), number(row["best_ms"]), "" if ours else speed(row), share, memory, row["note"],
            ]  # fmt: skip
            lines.append(row_of(cells))
    return "\n".join([*(lines if len(lines) > 2 else []), "", *absent(pieces)])


def right(pieces: list[dict]) -> str:
    """Accuracies: what a precision costs."""
    lines = ["| | | top-1, % | top-5, % | photos | |", "|---|---|---|---|---|---|"]
    for piece in pieces:
        for row in piece["rows"]:
            share = [f"{row[top]:.1f}" for top in ["top1", "top5"]]
            cells = [MODELS[piece["model"]].title, TITLES[row["contender"]], *share, str(row["pictures"]), row["note"]]
            lines.append(row_of(cells))
    return "\n".join([*lines, "", *absent(pieces)])


def absent(pieces: list[dict]) -> list[str]:
    """Who is not in the table, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for piece in pieces:
        for name, reason in piece["unable"].items():
            where = f"{MODELS[piece['model']].title} with {piece['threads']}"
            reasons.setdefault((name, reason), []).append(where)
    every = len(pieces)
    return [
        f"- Not {TITLES[name]}{'' if len(where) == every else ' on ' + ', '.join(where)}: {reason}."
        for (name, reason), where in reasons.items()
    ]


def limit_ms(piece: dict) -> float | None:
    """What one picture would take if nothing but its multiply-adds took time."""
    return 2 * piece["gmacs"] / piece["peak_gflops"] * 1e3 if piece.get("peak_gflops") and piece["gmacs"] else None


def speed(row: dict) -> str:
    return f"{row['speed_median']:.2f} ({row['speed_min']:.2f} – {row['speed_max']:.2f})"


def number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def row_of(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
