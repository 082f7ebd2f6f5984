"""A page of HTML that needs nothing else: text escaped, pictures inside.

Every text goes through `escape`: ids and class names come from files, and a file may hold a script.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from matplotlib.figure import Figure

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:70rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;font-size:13px;margin:.6rem 0}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e6e6e6;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{white-space:normal;vertical-align:bottom}
img{max-width:100%;height:auto}figure{margin:1rem 0}figcaption,.note{color:#555;font-size:13px}
.verdict{font-size:1.05rem;background:#f2f6fa;border-left:4px solid #0072B2;padding:.6rem 1rem}
.warning{background:#fdf3e3;border-left:4px solid #E69F00;padding:.6rem 1rem}
.scroll{overflow-x:auto}
"""


def escape(text: object) -> str:
    """Text that a browser shows and does not run."""
    return html.escape(str(text), quote=True)


def paragraph(text: object, *, style: str | None = None) -> str:
    """A paragraph of plain text; `style` is one of the page's classes."""
    return f'<p class="{escape(style)}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


def heading(text: object) -> str:
    """A heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def bullets(texts: Sequence[object]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A table; the first column is text, the others are numbers."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def picture(figure: Figure, *, what: str, caption: str = "", dpi: int = 110) -> str:
    """A figure as PNG inside the page.

    Parameters
    ----------
    figure : Figure
    what : str
        For those who cannot see it.
    caption : str
    dpi : int
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{escape(what)}" src="data:image/png;base64,{data}">{note}</figure>'


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page.

    Parameters
    ----------
    title : str
    parts : sequence of str
        HTML of the functions of this file.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
