from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from sample import document, effects, plan

from regauge.report.charts import break_even_plots, memory_charts, ratio_plot, spread_plots, start_charts
from regauge.report.scales import PADDING, amount_axis, ratio_axis, spread_axis


def test_ratio_axis_is_symmetric_about_one() -> None:
    axis = ratio_axis([0.5, 2.0], str)
    assert axis.at(1.0) == pytest.approx(50.0)
    assert axis.at(2.0) - axis.at(1.0) == pytest.approx(axis.at(1.0) - axis.at(0.5), abs=0.02)


@pytest.mark.parametrize("values", [[1.0], [0.999, 1.001], [0.01, 90.0], [1e-3], [3.0, math.inf], []])
def test_every_axis_has_readable_ticks_inside(values: list[float]) -> None:
    for axis in (ratio_axis(values, str), amount_axis(values, str), spread_axis(values, str)):
        assert 1 <= len(axis.ticks) <= 12
        places = [tick.at for tick in axis.ticks]
        assert places == sorted(places)
        assert all(PADDING <= at <= 100 - PADDING for at in places)


def test_axis_holds_values_at_its_ends() -> None:
    axis = amount_axis([10.0], str)
    assert axis.at(-5.0) == PADDING
    assert axis.at(50.0) == 100 - PADDING
    assert not axis.contains(50.0)


def test_wide_interval_is_drawn_wide() -> None:
    narrow, wide = effects()[3], dataclasses.replace(effects()[3], low=0.6, high=1.7)
    plot = ratio_plot([narrow, wide], plan())
    assert plot is not None
    widths = [row.right - row.left for row in plot.rows]
    expected = math.log(1.7 / 0.6) / math.log(narrow.high / narrow.low)
    assert widths[1] / widths[0] == pytest.approx(expected, rel=0.02)
    for row in plot.rows:
        assert row.left < row.left90 < row.point < row.right90 < row.right


def test_ratio_plot_leaves_out_what_has_no_ratio() -> None:
    nothing = dataclasses.replace(effects()[0], verdict="not comparable", ratio=math.nan)
    assert ratio_plot([nothing], plan()) is None
    plot = ratio_plot([nothing, effects()[1]], plan())
    assert plot is not None
    assert len(plot.rows) == 1


def test_interval_without_an_end_reaches_the_edge() -> None:
    open_ended = dataclasses.replace(effects()[0], low=0.0, high=math.inf)
    plot = ratio_plot([open_ended], plan())
    assert plot is not None
    assert (plot.rows[0].left, plot.rows[0].right) == (PADDING, 100 - PADDING)


def test_bars_are_as_long_as_their_amounts(tmp_path: Path) -> None:
    shown = document(tmp_path)
    for chart in (*start_charts(shown), *memory_charts(shown)):
        scale = (100 - 2 * PADDING) / chart.axis.high
        for bar in chart.bars:
            assert bar.segments[0].start == PADDING
            for before, after in zip(bar.segments, bar.segments[1:], strict=False):
                assert after.start == pytest.approx(before.start + before.width, abs=0.02)
            assert scale > 0
    cold = {bar.label: bar for bar in start_charts(shown)[0].bars if bar.purpose == "compile-cold"}
    lengths = {name: sum(part.width for part in bar.segments) for name, bar in cold.items()}
    assert lengths["torch compile"] / lengths["jax jit"] == pytest.approx(33.2 / 7.8, rel=0.01)


def test_every_launch_is_drawn_and_the_failed_one_too(tmp_path: Path) -> None:
    plots = spread_plots(document(tmp_path))
    assert [plot.task for plot in plots] == ["train", "infer"]
    assert [len(row.marks) for plot in plots for row in plot.rows] == [10] * 6
    marks = [mark for plot in plots for row in plot.rows for mark in row.marks]
    assert sum(mark.launch.failed for mark in marks) == 1
    for mark in marks:
        if not mark.launch.failed:
            assert mark.whisker[0] <= mark.box[0] <= mark.median <= mark.box[1] <= mark.whisker[1]


def test_lines_cross_where_break_even_is_marked(tmp_path: Path) -> None:
    (plot, _infer) = break_even_plots(document(tmp_path))
    lines = {line.variant: line for line in plot.lines}
    for at, variant in plot.crossings:
        share = (at - PADDING) / (100 - 2 * PADDING)
        heights = [
            lines[name].start + share * (lines[name].end - lines[name].start) for name in (variant, "torch eager")
        ]
        assert heights[0] == pytest.approx(heights[1], abs=0.1)
