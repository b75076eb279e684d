"""The sections about the gap table itself: what makes it doubtful, its ranking, and its figures."""

from pipeline.report import headline, tables, text
from pipeline.report.drawing import inline_svg, plot
from pipeline.report.figures import MEASURES, fidelity_figure, gap_figure, unplotted
from pipeline.report.results import Results

NO_HEADLINE = (
    "<h2>Which latents can a classifier learn from?</h2>\n<p>No head of this study gives every space the same chances "
    "(protocol <em>matched</em>), so there is no headline. What the other heads score stands below.</p>\n"
)


def cautions(results: Results) -> str:
    """Return what a reader must know before trusting the page; nothing where there is nothing."""
    found = "".join(f"<li>{text.html(caution)}</li>" for caution in headline.cautions(results))
    return f'<div class="caution" role="note"><ul>{found}</ul></div>\n' if found else ""


def ranking(results: Results) -> str:
    """Return what the first matched head says of each data set, in words and as a table."""
    head, metric = results.heads[0], results.metrics[0]
    if not results.is_matched(head):
        return NO_HEADLINE
    summary = f"<h2>Which latents can a classifier learn from?</h2>\n<p>{headline.summary(results, head, metric)}</p>\n"
    candidates = {row.dataset for row in results.select(head, metric) if not row.is_control}
    if not candidates:
        return summary
    datasets = [dataset for dataset in results.datasets if dataset in candidates]
    sentences = "".join(text.item(name, headline.sentence(results, head, metric, name)) for name in datasets)
    return (
        f"{summary}<ul>\n{sentences}</ul>\n{tables.ranking(results, head, metric)}"
        "<p>Bold: the interval excludes zero. The order is that of point estimates; neighbours with overlapping "
        "intervals are not shown to differ, and intervals are not adjusted for the number of comparisons.</p>\n"
    )


def gap_figures(results: Results) -> str:
    """Return Figure 1 of every head, the first and second of them open."""
    metric = results.metrics[0]
    name = text.metric_name(metric)
    parts = []
    for index, head in enumerate(head for head in results.heads if results.select(head, metric)):
        alt = f"Information loss and learnability gap in {name} with head {head}, by dataset; values: tables below"
        caption = (
            f"<strong>Figure 1{_letter(results, index)}.</strong> Head {text.html(results.label(head))}: information "
            f"loss and learnability gap in {text.html(name)}, point estimates with 95&nbsp;% intervals. All panels and "
            "heads have one scale. Autoencoders stand in the order of their mean gap with the first head; controls, "
            "with a known answer, on grey."
        )
        parts.append(plot(inline_svg(gap_figure(results, head, metric), f"gap{index}", alt), caption))
    return "<h2>Where the score is lost</h2>\n" + "".join(parts)


def _letter(results: Results, index: int) -> str:
    return "" if len(results.heads) == 1 else "abcdefghijklmnopqrstuvwxyz"[index] if index < 26 else f" ({index + 1})"


def fidelity_figures(results: Results) -> str:
    """Return Figure 2 of every head, the first open, by each measure of fidelity that there is."""
    parts: list[str] = []
    for index, head in enumerate(results.heads):
        drawn = "".join(_fidelity_figure(results, index, head, measure) for measure in MEASURES)
        if drawn:
            summary = f"<summary>Head {text.html(results.label(head))}</summary>"
            parts.append(f"<details>{summary}\n{drawn}</details>\n" if parts else drawn)
    return "<h2>Fidelity and learnability</h2>\n" + "".join(parts) if parts else ""


def _fidelity_figure(results: Results, index: int, head: str, measure: str) -> str:
    metric = results.metrics[0]
    name, called = text.metric_name(metric), measure.upper()
    figure = fidelity_figure(results, head, metric, measure)
    if figure is None:
        return ""
    alt = f"{called} against the learnability gap in {name} with head {head}, by dataset; values: tables below"
    left_out = text.listing(unplotted(results, head, metric, measure))
    band = "Positions inside the lossless band (infinite PSNR) only keep points apart. " if measure == "psnr" else ""
    caption = (
        f"<strong>Figure 2{_letter(results, index)}, {called}.</strong> Head {text.html(results.label(head))}: "
        f"fidelity of the reconstructions against the learnability gap in {text.html(name)}, with 95&nbsp;% intervals. "
        f"Open grey: controls. {band}"
        + (f"Not drawn for want of a measure or a gap: {text.html(left_out)}." if left_out else "")
    )
    return plot(inline_svg(figure, f"{measure}{index}", alt), caption)
