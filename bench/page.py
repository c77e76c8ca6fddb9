# SPDX-License-Identifier: Apache-2.0
"""What `make bench` has measured, as one page and as tables.

    page.py BUILD                    writes BUILD/bench.json, the whole run, and from it BUILD/bench.html
    page.py --markdown BUILD FILE    replaces the tables in FILE, docs/performance.md, with those of BUILD/bench.json"""
import html
import json
import math
import re
import sys
from pathlib import Path

from run import collect

RATIOS = "The time that vmcred takes, divided by that of the other program. Left of 1×, vmcred is faster."
LABELS = 5
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
MARKDOWN_START = "<!-- bench/page.py --markdown writes the rest. -->\n"


def digits(value):
    """Three of them."""
    power = math.floor(math.log10(value)) if value > 0 else 2
    return f"{value:,.{max(0, 2 - power)}f}"


def seconds(value):
    name, factor = next(((name, factor) for name, factor in (("s", 1), ("ms", 1e3)) if value * factor >= 1), ("µs", 1e6))
    return f"{digits(value * factor)} {name}"


def times(value):
    return f"{digits(value)}×" if value >= 0.1 else f"1/{digits(1 / value)}"


def power_of_ten(power):
    """A ratio on an axis."""
    text = f"{10**abs(power)}" if abs(power) < 3 else "10" + str(abs(power)).translate(SUPERSCRIPTS)
    return f"{text}×" if power >= 0 else f"1/{text}"


def about(parameters):
    return ", ".join(f"{value:,} {name}" for name, value in parameters.items())


def groups(run):
    """Lists of comparisons with the same title: one, or the points of a growth curve and the name of what grows."""
    found = {}
    for one in run["comparisons"]:
        found.setdefault((one["benchmark"], one["title"]), []).append(one)
    for points in found.values():
        grows = [name for name in points[0]["parameters"] if len({point["parameters"].get(name) for point in points}) > 1]
        yield points, grows[0] if grows else None


def title_of(points, grows):
    """With the parameters that all points share."""
    return ", ".join(filter(None, [points[0]["title"], about({name: value for name, value in points[0]["parameters"].items() if name != grows})]))


def data(value, text):
    return f'<data value="{value!r}">{html.escape(text)}</data>'


SHAPES = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-4,-4h8v8h-8z", "M0,-5L5,4H-5z", "M0,-5L5,0L0,5L-5,0z", "M-5,-2h10v4h-10z"]


def marker(index, role, x=8, y=8, title=""):
    return f'<path class="{role}" transform="translate({x:.1f},{y:.1f})" d="{SHAPES[index % len(SHAPES)]}"><title>{html.escape(title)}</title></path>'


def names_of(points):
    return list(dict.fromkeys(row["name"] for point in points for row in point["rows"]))


def is_compared(point):
    return any(row["role"] != "ours" for row in point["rows"])


def line(cells, head, plot=""):
    """A line of a table. On a phone, each cell has its title."""
    first, *rest = cells
    rest = "".join(f'<td data-title="{html.escape(title)}">{cell}</td>' for title, cell in zip(head[1:], rest))
    return f"<tr><th scope=row>{first}</th>{rest}{plot}</tr>"


def table_of(head, lines, plot=None):
    titles = "".join(f"<th scope=col>{html.escape(title)}</th>" for title in head)
    return f"<table><thead><tr>{titles}{'' if plot is None else f'<th class=plot>{plot}</th>'}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def table(points, grows):
    """A line for each program, or for each of its points if something grows; otherwise with bars from zero."""
    names = names_of(points)
    rows = sorted(((point, row) for point in points for row in point["rows"]), key=lambda pair: names.index(pair[1]["name"]))
    has_ratio = is_compared(points[0])
    extra = {key: title for key, title in (("processor", "processor time"), ("memory", "peak memory")) if key in rows[0][1]}
    head = ["program", "role", *([grows] if grows else []), "median", "middle half", *extra.values(), *(["ratio"] if has_ratio else []), "runs"]
    share = 100 / max(row["high"] for _, row in rows)
    lines = []
    for point, row in rows:
        cells = [f'<svg width="16" height="16" aria-hidden="true">{marker(names.index(row["name"]), row["role"])}</svg>' if grows else ""]
        cells[0] += html.escape(row["name"])
        cells += [f'<span class="{row["role"]}">{row["role"]}</span>']
        cells += [data(point["parameters"][grows], f"{point['parameters'][grows]:,}")] if grows else []
        cells += [data(row["median"], seconds(row["median"]))]
        cells += [f"{data(row['low'], seconds(row['low']))} – {data(row['high'], seconds(row['high']))}"]
        cells += [data(row[key], seconds(row[key]) if key == "processor" else f"{row[key]:.1f} MiB") for key in extra]
        cells += [data(row["ratio"], times(row["ratio"]))] if has_ratio else []
        cells += [data(row["runs"], str(row["runs"]))]
        plot = (f'<td class=plot><i class="{row["role"]}" style="width:{row["median"] * share:.2f}%"></i>'
                f'<b style="left:{row["low"] * share:.2f}%;width:{(row["high"] - row["low"]) * share:.2f}%"></b></td>')  # fmt: skip
        lines.append(line(cells, head, "" if grows else plot))
    return table_of(head, lines, None if grows else "")


def chart(points, grows):
    """Medians and middle halves, on logarithmic axes."""
    width, height, left, right, top, bottom = 460, 290, 62, 26, 10, 42
    counts = sorted(point["parameters"][grows] for point in points)
    bounds = [row[key] for point in points for row in point["rows"] for key in ("low", "high")]
    low = math.floor(math.log10(min(bounds)))
    high = max(math.ceil(math.log10(max(bounds))), low + 1)

    def x_of(count):
        return left + (width - left - right) * math.log(count / counts[0]) / math.log(counts[-1] / counts[0])

    def y_of(value):
        return height - bottom - (height - top - bottom) * (math.log10(value) - low) / (high - low)

    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img"><title>{html.escape(points[0]["title"])}</title>']
    for y, text in ((y_of(10.0**power), re.sub(r"\.0+", "", seconds(10.0**power))) for power in range(low, high + 1)):
        parts.append(f'<path class="grid" d="M{left},{y:.1f}H{width - right}"/><text class="y" x="{left - 8}" y="{y + 4:.1f}">{text}</text>')
    for count in counts:
        parts.append(f'<path class="grid" d="M{x_of(count):.1f},{top}V{height - bottom}"/>'
                     f'<text class="x" x="{x_of(count):.1f}" y="{height - bottom + 18}">{count:,}</text>')  # fmt: skip
    parts.append(f'<text class="x" x="{(left + width - right) / 2}" y="{height - 6}">{html.escape(grows)}</text>')
    for index, name in enumerate(names_of(points)):
        found = sorted((point["parameters"][grows], row["median"], row) for point in points for row in point["rows"] if row["name"] == name)
        role = found[0][2]["role"]
        parts.append(f'<polyline class="{role}" points="{" ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y, _ in found)}"/>')
        for x, y, row in found:
            parts.append(f'<path class="{role} spread" d="M{x_of(x):.1f},{y_of(row["low"]):.1f}V{y_of(row["high"]):.1f}"/>')
            parts.append(marker(index, role, x_of(x), y_of(y), f"{name}, {x:,} {grows}: {seconds(y)}"))
    return "".join(parts) + "</svg>"


def ratios(run):
    """Of each comparison that has others, the first row of ours against each of them; of a growth curve, the last point."""
    for points, _ in groups(run):
        last = points[-1]
        ours = next((row for row in last["rows"] if row["role"] == "ours"), None)
        for row in last["rows"]:
            if ours and row["role"] != "ours":
                yield row["role"], ours["median"] / row["median"], last, ours, row


def ratio_table(found):
    """As dots on a logarithmic axis, which all ratios share."""
    low = math.floor(math.log10(min(ratio for _, ratio, *_ in found)))
    high = max(math.ceil(math.log10(max(ratio for _, ratio, *_ in found))), 1)

    def place(value):
        """Percent, with a margin for the labels of the ends."""
        return 5 + 90 * (math.log10(value) - low) / (high - low)

    step = math.ceil((high - low) / LABELS)  # so that no label touches the next one
    axis = "".join(f'<span style="left:{place(10.0**power):.1f}%">{power_of_ten(power)}</span>' for power in range(low, high + 1) if power % step == 0)
    grid = "".join(f'<s style="left:{place(10.0**power):.1f}%"{" class=one" if power == 0 else ""}></s>' for power in range(low, high + 1))
    head, lines = ["task", "command", "compared with", "role", "ratio"], []
    for role, ratio, point, ours, row in sorted(found, key=lambda one: (one[0] == "floor", one[1])):
        cells = [f"{html.escape(point['title'])}<small>{about(point['parameters'])}</small>", html.escape(ours["name"]), html.escape(row["name"]),
                 f'<span class="{role}">{role}</span>', data(ratio, times(ratio))]  # fmt: skip
        lines.append(line(cells, head, f'<td class=plot>{grid}<u class="{role}" style="left:{place(ratio):.2f}%"></u></td>'))
    return table_of(head, lines, axis)


def page(run):
    found, sections = list(ratios(run)), []
    sections.append(f"<dl>{''.join(f'<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>' for name, text in run['facts'].items())}</dl>")
    if run["unmeasured"]:
        entries = "".join(f"<li>{html.escape(one['unmeasured'])}: {html.escape(one['why'])}</li>" for one in run["unmeasured"])
        sections.append(f'<section id="unmeasured"><h2>Not measured</h2><ul>{entries}</ul></section>')
    if found:
        sections.append(f'<section id="ratios"><h2>Ratios</h2><p>{RATIOS}</p>{ratio_table(found)}</section>')
    curves, single = "", ""
    for points, grows in groups(run):
        title = html.escape(title_of(points, grows))
        if grows:
            curves += f'<article class="curve"><h3>{title}</h3><figure>{chart(points, grows)}</figure>{table(points, grows)}</article>'
        else:
            single += f"<article><h3>{title}</h3>{table(points, grows)}</article>"
    parts = {"Growth": curves, "Comparisons": single}
    sections += [f'<section id="{name.lower()}"><h2>{name}</h2>{text}</section>' for name, text in parts.items() if text]
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return template.replace("CONTENT", "\n".join(sections))


def markdown(run):
    """Where it ran, the growth curves, and the other comparisons."""
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in run["facts"].items()), ""]
    lines += [f"Not measured: {one['unmeasured']}: {one['why']}\n" for one in run["unmeasured"]]
    single = ["| program | median | middle half | ratio |", "| --- | ---: | ---: | ---: |"]
    for points, grows in groups(run):
        if not grows:
            single.append(f"| **{title_of(points, None)}** | | | |")
            for row in points[0]["rows"]:
                ratio = times(row["ratio"]) if is_compared(points[0]) else ""
                single.append(f"| {row['name']} | {seconds(row['median'])} | {seconds(row['low'])} – {seconds(row['high'])} | {ratio} |")
            continue
        lines += [f"**{title_of(points, grows)}**, by the number of {grows}:", ""]
        counts = " | ".join(f"{point['parameters'][grows]:,}" for point in points)
        lines += [f"| program | {counts} |", f"| --- |{' ---: |' * len(points)}"]
        for name in names_of(points):
            cells = [next((seconds(row["median"]) for row in point["rows"] if row["name"] == name), "") for point in points]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, *single, ""])


def main():
    if sys.argv[1] == "--markdown":
        file = Path(sys.argv[3])
        before = file.read_text(encoding="utf-8").partition(MARKDOWN_START)[0]
        file.write_text(f"{before}{MARKDOWN_START}\n{markdown(json.loads((Path(sys.argv[2]) / 'bench.json').read_text()))}", encoding="utf-8")
        return
    build = Path(sys.argv[1])
    run = collect(build)
    (build / "bench.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    (build / "bench.html").write_text(page(run), encoding="utf-8")
    print(f"The page is {build / 'bench.html'}.")


main()
