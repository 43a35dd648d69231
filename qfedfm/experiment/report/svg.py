"""The few pieces every chart is made of: escaped elements, scales, round ticks, a frame with axes.

Charts are inline SVG without style attributes (the page's content security policy allows none): colours
are classes ``s0`` to ``s7`` of the page's style sheet, so that they change in dark mode. One unit is
about one CSS pixel on a desktop and two thirds of one on a phone; the style sheet enlarges the text
there, and margins here leave room for it.
"""

from __future__ import annotations

import hashlib
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

SERIES = 8
"""How many colours there are before they repeat."""
WIDTH, HEIGHT = 480.0, 280.0
LETTER = 8.3
"""Width of one letter at the largest text size, in units."""


def escape(words: object) -> str:
    """Returns text that is safe in an element and in a quoted attribute."""
    return html.escape(str(words), quote=True)


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """Returns an element; attributes are escaped, ``content`` is markup already.

    Args:
        name: The element's name.
        content: Its inner markup.
        **attributes: A trailing underscore is dropped, other underscores become dashes, None is left out,
            floats are rounded to 0.01.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    return f"<{' '.join(parts)}>{content}</{name}>" if content else f"<{' '.join(parts)}/>"


def text(x: float, y: float, words: object, class_: str | None = None, anchor: str | None = None) -> str:
    """Returns a text element with escaped words."""
    return tag("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor)


def shorten(words: str, letters: int) -> str:
    """Returns at most so many letters, with an ellipsis where some are missing."""
    return words if len(words) <= letters else words[: max(1, letters - 1)].rstrip() + "…"


def drawing(title: str, description: str, body: str, width: float = WIDTH, height: float = HEIGHT) -> str:
    """Returns a complete SVG with a title and a description for those who cannot see it."""
    name = "c" + hashlib.sha256(f"{title}|{description}|{len(body)}".encode()).hexdigest()[:10]
    head = tag("title", escape(title), id=f"{name}t") + tag("desc", escape(description), id=f"{name}d")
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-labelledby="{name}t {name}d" xmlns="http://www.w3.org/2000/svg">{head}{body}</svg>'
    )


@dataclass(frozen=True)
class Scale:
    """A straight line from data to units.

    Args:
        low: Data at ``start``.
        high: Data at ``stop``; equal to ``low`` puts everything in the middle.
        start: Units.
        stop: Units.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Returns where ``value`` lies."""
        if self.high == self.low:
            return (self.start + self.stop) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Returns round values (1, 2, 2.5 or 5 times a power of ten) inside ``[low, high]``."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(values: Sequence[float], zero: bool = False) -> tuple[float, float]:
    """Returns a range that holds the values with some air; from zero where bars are drawn."""
    low, high = min(values), max(values)
    if zero:
        return 0.0, (high * 1.06 if high > 0 else 1.0)
    air = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - air, high + air


def tick_label(value: float, step: float) -> str:
    """Returns a tick's number with as many digits as its step needs."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    if digits and round(step, digits) != round(step, 12):
        digits += 1
    return f"{value:.{digits}f}".replace("-", "\u2212")


@dataclass(frozen=True)
class Frame:
    """The plotting area of a chart and its axes, in units."""

    left: float = 52.0
    right: float = 14.0
    top: float = 24.0
    bottom: float = 44.0
    width: float = WIDTH
    height: float = HEIGHT

    def x(self, low: float, high: float) -> Scale:
        """Returns the horizontal scale."""
        return Scale(low, high, self.left, self.width - self.right)

    def y(self, low: float, high: float) -> Scale:
        """Returns the vertical scale (upwards)."""
        return Scale(low, high, self.height - self.bottom, self.top)

    def horizontal_grid(self, y: Scale, values: Sequence[float], labels: Sequence[str]) -> str:
        """Returns grid lines with numbers at the left."""
        return "".join(
            tag("line", x1=self.left, x2=self.width - self.right, y1=y(v), y2=y(v), class_="grid")
            + text(self.left - 8, y(v) + 4.5, label, "tick", "end")
            for v, label in zip(values, labels, strict=True)
        )

    def whole_ticks(self, x: Scale, low: int, high: int) -> str:
        """Returns whole numbers under the horizontal axis."""
        values = sorted({round(v) for v in ticks(low, high, 6)} & set(range(low, high + 1))) or [low]
        return "".join(text(x(v), self.height - self.bottom + 19, f"{v}", "tick", "middle") for v in values)

    def captions(self, below: str, above: str) -> str:
        """Returns the names of the axes: below in the middle, above at the left."""
        return text(
            (self.left + self.width - self.right) / 2, self.height - 6, below, "axis", "middle"
        ) + text(2.0, 13.0, above, "axis")

    def reference(self, y: Scale, value: float, words: str) -> str:
        """Returns a dashed horizontal line, named in the top right corner where nothing is in its way."""
        line = tag(
            "line", x1=self.left, x2=self.width - self.right, y1=y(value), y2=y(value), class_="reference"
        )
        start = self.width - 34 - LETTER * len(words)
        sample = tag("line", x1=start, x2=start + 22, y1=9.0, y2=9.0, class_="reference")
        return line + sample + text(self.width - 2, 13.0, words, "note", "end")
