"""Numbers and names as a reader sees them."""

import math
from html import escape

from pipeline.report.results import Interval

MISSING = "\u2013"
MINUS = "\u2212"
TIMES = "\u00d7"


def number(value: float, digits: int = 0) -> str:
    """Return a rounded number with a true minus sign and no negative zero; a dash for NaN, a sign for infinity."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", MINUS)


def interval(value: Interval, digits: int = 2) -> str:
    """Return `0.74 [0.70, 0.78]`; only the point where there is no interval."""
    point = number(value.value, digits)
    if value.side is None or math.isnan(value.value):
        return point
    return f"{point} [{number(value.low, digits)}, {number(value.high, digits)}]"


def p_value(value: float) -> str:
    """Return a p value as HTML, with three digits that count; a small one as a power of ten."""
    if math.isnan(value):
        return MISSING
    mantissa, exponent = f"{value:.1e}".split("e")
    if int(exponent) >= -4:
        return f"{value:.{max(2, 2 - int(exponent))}f}"
    return f"{mantissa} {TIMES} 10<sup>{MINUS}{-int(exponent)}</sup>"


def metric_name(metric: str) -> str:
    """Return a metric as it stands in a sentence."""
    names = {"mcc": "MCC", "auroc": "AUROC", "f1": "F1"}
    return names.get(metric, metric.replace("_", " "))


def listing(names: list[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def item(dataset: str, sentence: str) -> str:
    """Return a list item about one data set, by which the page can be filtered; the sentence is HTML."""
    return f"<li{of(dataset)}>{sentence}</li>\n"


def of(dataset: str) -> str:
    """Return the attribute of an element that is about one data set, by which the page can be filtered."""
    return f' data-dataset="{html(dataset)}"'


def shape(latent_shape: str) -> str:
    """Return `8x16x16` with signs of multiplication."""
    return latent_shape.replace("x", f" {TIMES} ") or MISSING


def html(text: str) -> str:
    """Return text that is safe as the content and as a quoted attribute of an element."""
    return escape(text, quote=True)
