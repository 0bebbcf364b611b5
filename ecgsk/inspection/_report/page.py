"""One HTML file that needs no network, no script and no other file."""

import base64
import html
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk._core.files import expanded, write_file

_STYLE = """\
:root { --ink: #1a1a1a; --soft: #5b6470; --line: #d9dee5; --blue: #1f5a99; --warn: #8a3b12; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: #fff; line-height: 1.5;
  font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .5rem;
  border-top: 2px solid var(--blue); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.warning { border-left: 4px solid var(--warn); background: #fdf3ee; padding: .6rem .9rem;
  margin: .6rem 0; }
.answer { font-size: 1.25rem; margin: .5rem 0; }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; margin: .8rem 0; }
.wide:focus-visible { outline: 2px solid var(--blue); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line);
  text-align: right; white-space: nowrap; vertical-align: top; }
th { font-weight: 600; }
th:first-child, td:first-child, .text { text-align: left; }
td.long { white-space: normal; min-width: 12rem; }
figure { margin: .8rem 0; }
img { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem; }
.call { color: var(--soft); font-size: .8rem; }
code { font: .95em ui-monospace, SFMono-Regular, Consolas, monospace; overflow-wrap: anywhere; }
pre { background: #f5f7fa; padding: .7rem; overflow-x: auto; font-size: .8rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
nav ul { margin: .5rem 0; padding-left: 1.2rem; columns: 2; }
a { color: var(--blue); }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  nav ul { columns: 1; }
  .wide > img { width: auto; max-width: none; min-width: var(--least); }
}
@page { size: A4; margin: 14mm 12mm; }
@media print {
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, table, .warning, .keep { break-inside: avoid; }
  .page { break-before: page; }
  .wide { overflow: visible; }
  .wide table { font-size: 7.5pt; }
  .wide img { max-height: var(--most); object-fit: contain; object-position: left; }
  th, td { padding-right: .35rem; }
  a { color: inherit; text-decoration: none; }
}
"""

_LONG = 30


class Page:
    """Collects the parts of a report, everything escaped."""

    def __init__(self, title: str):
        self.title = title
        self._parts: list[str] = []
        self._sections: list[str] = []

    def section(self, title: str, *, new_page: bool = False) -> None:
        """Begin a section that the contents list."""
        self._sections.append(title)
        kind = ' class="page"' if new_page else ""
        self._parts.append(f'<h2 id="s{len(self._sections)}"{kind}>{_safe(title)}</h2>')

    def heading(self, title: str) -> None:
        """Begin a part of a section."""
        self._parts.append(f"<h3>{_safe(title)}</h3>")

    def text(self, text: str, *, kind: str = "") -> None:
        """Add a paragraph: plain, a "warning" or an "answer"."""
        kind = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{kind}>{_safe(text)}</p>")

    def code(self, text: str) -> None:
        """Add text as it stands."""
        self._parts.append(f"<pre>{_safe(text)}</pre>")

    def call(self, *texts: str) -> None:
        """Name the calls that gave the results above."""
        self._parts += [f'<p class="call">By <code>{_safe(text)}</code></p>' for text in texts]

    def table(self, table: pd.DataFrame, *, caption: str | None = None, digits: int = 3) -> None:
        """Add a table; its index stands in the first columns."""
        named = [name is not None for name in table.index.names]
        table = table.reset_index() if any(named) else table
        text = [column for column in table if not _is_number(table[column])]
        head = "".join(
            f"<th{_kind(column in text)} scope='col'>{_safe(str(column))}</th>" for column in table
        )
        rows = []
        for row in table.itertuples(index=False):
            cells = "".join(
                f"<td{_kind(column in text, value)}>{_safe(_shown(value, digits))}</td>"
                for column, value in zip(table, row, strict=True)
            )
            rows.append(f"<tr>{cells}</tr>")
        title = f"<caption>{_safe(caption)}</caption>" if caption else ""
        self._parts.append(
            f'<div class="wide" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )

    def figure(
        self, display, *, alt: str, caption: str = "", least: int = 640, most: int = 230
    ) -> None:
        """Add the figure of a drawn display as SVG, and close it; ``alt`` describes it.

        ``least`` is the width in pixels below which it scrolls instead of shrinking on a telephone,
        ``most`` its height on paper in mm.
        """
        import matplotlib.pyplot as plt

        figure = display.figure_
        _take_letters_as_they_stand(figure)
        file = io.BytesIO()
        # As paths: the letters look alike wherever the file is opened.
        with plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "ecgsk"}):
            figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
        data = base64.b64encode(file.getvalue()).decode()
        beneath = f"<figcaption>{_safe(caption)}</figcaption>" if caption else ""
        self._parts.append(
            f'<figure><div class="wide" tabindex="0" style="--least: {least}px; --most: {most}mm">'
            f'<img alt="{_safe(alt)}" src="data:image/svg+xml;base64,{data}"></div>{beneath}'
            "</figure>"
        )

    def write(self, path: str | os.PathLike, *, opening: list[str], footer: str) -> Path:
        """Write the file, whole or not at all, with warnings ``opening`` it; return its path."""
        contents = "".join(
            f'<li><a href="#s{number}">{_safe(title)}</a></li>'
            for number, title in enumerate(self._sections, 1)
        )
        warnings = "".join(f'<p class="warning">{_safe(text)}</p>' for text in opening)
        document = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="icon" href="data:,">'
            # Nothing in the file may load or run, even from the name of a record.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "img-src data:; style-src 'unsafe-inline'\">"
            f"<title>{_safe(self.title)}</title><style>{_STYLE}</style></head><body><main>"
            f"<h1>{_safe(self.title)}</h1>{warnings}<nav><ul>{contents}</ul></nav>"
            f"{''.join(self._parts)}<footer>{_safe(footer)}</footer></main></body></html>\n"
        )
        path = expanded(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, document.encode())
        return path


def check_writable(path: str | os.PathLike) -> None:
    """Raise where a file cannot be written, before minutes go into what it should hold."""
    path = expanded(path)
    if path.is_dir():
        raise IsADirectoryError(f"path={str(path)!r} is a folder; give the name of a file in it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise type(error)(
            f"path={str(path)!r} cannot be written ({error.strerror or error}). Give a file in a "
            "folder that you may write to."
        ) from None


def _take_letters_as_they_stand(figure) -> None:
    """Draw "$" in names: what stands between two would be read as a formula, or refused."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        # Ticks of matplotlib's own are formulas of this form.
        if "$" in text.get_text() and "\\mathdefault" not in text.get_text():
            text.set_parse_math(False)


def _safe(text: str) -> str:
    # Names of files may hold bytes that no text has; a file of UTF-8 cannot hold them.
    text = str(text).encode("utf-8", "replace").decode("utf-8")
    return html.escape(text, quote=True)


def _kind(is_text: bool, value: object = "") -> str:
    if not is_text:
        return ""
    # Only long text may break: an interval on two lines is hard to read.
    return ' class="text long"' if len(str(value)) > _LONG else ' class="text"'


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _shown(value, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        # A width that does not change keeps a column readable.
        return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return str(value)
