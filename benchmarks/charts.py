"""Charts: bars, a panel for each column of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def draw(rows: Sequence[tuple[str, Mapping[str, float]]], path: str) -> None:
    """Draws a table as bars; as SVG, PNG or PDF, as the path says.

    Args:
        rows: the label of each, and what stands in its columns.
        path: of the picture.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    # The same bytes for the same figures, and letters as letters.
    settings = {"svg.hashsalt": "parazip", "svg.fonttype": "none", "font.size": 9}
    columns = tuple(rows[0][1])
    labels = [label for label, _ in rows]
    colors = ["#2a7f62" if label.startswith("parazip") else "#a9b4c2" for label in labels]
    with pyplot.rc_context(settings):
        figure, panels = pyplot.subplots(
            1, len(columns), sharey=True, figsize=(10, 0.4 * len(rows) + 0.7), layout="constrained"
        )
        for panel, column in zip(panels, columns, strict=True):
            values = [cells[column] for _, cells in rows]
            bars = panel.barh(labels, values, color=colors)
            panel.bar_label(bars, [show_number(value) for value in values], padding=3)
            panel.set_title(column, fontsize=10, loc="left")
            panel.set_xlim(0, max(values) * 1.3)
            panel.xaxis.set_visible(False)
            panel.tick_params(left=False)
            panel.spines[:].set_visible(False)
        panels[0].invert_yaxis()
        figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
        pyplot.close(figure)


def show_number(value: float) -> str:
    """A number with as many digits as people need."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
