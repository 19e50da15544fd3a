# SPDX-License-Identifier: MIT
"""Plots of what `virtsock bench --json` printed: `python -m virtsock.plot vsock.json unix.json -o compared.svg`.

Each file is a line of every panel, by the name of the file. matplotlib is needed: `pip install 'virtsock[plot]'`. See docs/bench.md.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "main"]

Point = Mapping[str, Any]
Points = Sequence[Point]
MIB = 1 << 20


def _bandwidth(axes: Axes, label: str, points: Points) -> None:
    sizes = [point["message_bytes"] for point in points]
    spread = [point["bytes_per_second"] for point in points]
    (line,) = axes.plot(sizes, [one["median"] / MIB for one in spread], marker="o", markersize=3, label=label)
    if any(one["min"] < one["max"] for one in spread):
        least, most = ([one[end] / MIB for one in spread] for end in ("min", "max"))
        axes.fill_between(sizes, least, most, color=line.get_color(), alpha=0.15)


def _latency(axes: Axes, label: str, points: Points) -> None:
    sizes = [point["message_bytes"] for point in points]
    (line,) = axes.plot(sizes, [point["ns"]["p50"] / 1e3 for point in points], marker="o", markersize=3, label=label)
    axes.plot(sizes, [point["ns"]["p99"] / 1e3 for point in points], linestyle=":", color=line.get_color())


def _connections(axes: Axes, label: str, points: Points) -> None:
    for point in points:
        seen = 0
        times: list[float] = []
        shares: list[float] = []
        for step in point["histogram"]:
            if step["below_ns"] is None or (times and seen == point["count"]):
                break
            seen += step["count"]
            times.append(step["below_ns"] / 1e6)
            shares.append(100 * seen / max(1, point["count"]))
        axes.plot(times, shares, marker="o", markersize=3, label=label)


Panel = tuple[str, str, str, Callable[[Point], bool], Callable[["Axes", str, Points], None]]


def _is(test: str, direction: str | None = None) -> Callable[[Point], bool]:
    return lambda point: point["test"] == test and point.get("direction") == direction


PANELS: tuple[Panel, ...] = (
    ("Bandwidth, the client sends", "bytes a message", "MiB/s", _is("bandwidth", "send"), _bandwidth),
    ("Bandwidth, the client receives", "bytes a message", "MiB/s", _is("bandwidth", "receive"), _bandwidth),
    ("Latency, there and back: p50, dotted p99", "bytes a message", "µs", _is("latency"), _latency),
    ("Connections", "ms", "% done", _is("connections"), _connections),
)


def _dress(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if across == "ms":
        axes.set_xscale("log")
        axes.set_ylim(0, 102)
    else:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    axes.minorticks_off()
    axes.grid(True, linewidth=0.4, alpha=0.5)
    axes.legend(fontsize=8)


def _save_svg(figure: Figure, out: Path) -> None:
    """Without a date, so that the same results give the same file, and with two decimals: a hundredth of a point."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    out.write_text(re.sub(r"(\.\d\d)\d+|^ +", r"\1", text.getvalue(), flags=re.MULTILINE))


def draw(results: Mapping[str, Mapping[str, Any]], out: str | Path, *, title: str = "") -> None:
    """Draws the results (a name, and what `virtsock bench --json` printed) into one picture; the end of its name says which kind.

    A panel for each test that was made: bandwidth by message size with its least and greatest run, both ways; p50 and p99 of the latency;
    the share of connections that were made within a time. `title` stands above. Takes a while, a second or two. Raises `ValueError` where
    there is nothing to draw, `ImportError` without matplotlib, `OSError` where `out` cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    found = [panel for panel in PANELS if any(panel[3](point) for result in results.values() for point in result["results"])]
    if not found:
        raise ValueError("there is nothing to draw: no test of virtsock bench")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "virtsock"}):
        columns = min(2, len(found))
        rows = (len(found) + 1) // 2
        figure = Figure(figsize=(5.2 * columns, 3.6 * rows), layout="constrained")
        for number, (name, across, up, fits, plot) in enumerate(found, 1):
            axes = figure.add_subplot(rows, columns, number)
            for label, result in results.items():
                points = [point for point in result["results"] if fits(point)]
                if points:
                    plot(axes, label, points)
            _dress(axes, name, across, up)
        if title:
            figure.suptitle(title, fontsize=11)
        if str(out).endswith(".svg"):
            _save_svg(figure, Path(out))
        else:
            figure.savefig(out)


def _read(path: Path) -> Mapping[str, Any]:
    result = json.loads(path.read_text())
    if not isinstance(result, dict) or not isinstance(result.get("results"), list):
        raise ValueError("not what virtsock bench --json prints")
    return result


def main(words: Sequence[str] | None = None) -> int:
    """The program, with these words or those of `sys.argv`: its exit code, 1 where a file cannot be read, drawn or written, as it says on
    standard error; wrong words raise `SystemExit` with 2. Takes a while, as `draw`."""
    parser = argparse.ArgumentParser(prog="python -m virtsock.plot", description="Plots results of virtsock bench --json.")
    parser.add_argument("files", metavar="RESULT.json", nargs="+", type=Path, help="a line of each panel, by the name of the file")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, type=Path, help="as compared.svg; .png and .pdf work as well")
    parser.add_argument("--title", default="", help="what stands above")
    chosen = parser.parse_args(words)
    file: Path = chosen.out
    try:
        results = {}
        for file in chosen.files:
            results[file.stem] = _read(file)
        file = chosen.out
        draw(results, file, title=chosen.title)
    except ImportError:
        print("virtsock.plot: matplotlib is needed: pip install 'virtsock[plot]'", file=sys.stderr)
        return 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"virtsock.plot: {file}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
