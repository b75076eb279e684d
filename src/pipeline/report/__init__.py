"""The HTML report of a study: one self-contained page made from the study's tables and a few samples.

The page is a function of its arguments alone: no clock, no network, no random number, so equal input gives equal bytes.
"""

from pipeline.report.depth import depth_png
from pipeline.report.figures import figure_png
from pipeline.report.further import Further
from pipeline.report.page import Exhibits, render
from pipeline.report.strips import Strip

__all__ = ["Exhibits", "Further", "Strip", "depth_png", "figure_png", "render"]
