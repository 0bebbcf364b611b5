"""Shading beneath the traces of an ECG, and its scale."""

import numpy as np

from ecgsk.inspection._plots.style import AGAINST, FOR, INK, MINUS

# Traces and the paper's lines have to be seen through the deepest shade.
_OPACITY = 0.6
_NOTHING = 1e-12
_BAR_WIDTH, _BAR_HEIGHT = 30, 3  # mm


class Shading:
    """Spans beneath traces, red where values are above 0 and blue where they are below.

    Parameters
    ----------
    values : Saliency, or array-like of shape (n_samples,) or (n_leads, n_samples)
        Log-odds.
    shape : tuple of (int, int)
        Of the recording.
    """

    def __init__(self, values, shape):
        values = np.asarray(getattr(values, "values", values), dtype=float)
        if values.shape not in (shape, shape[1:]):
            raise ValueError(
                f"saliency has shape {values.shape}; expected {shape[1:]} for all leads or {shape} "
                "for each, as saliency() returns it for this recording."
            )
        if not np.isfinite(values).all():
            raise ValueError("saliency holds NaN or infinite values; expected log-odds.")
        self.values = np.broadcast_to(values, shape)
        self.limit = max(float(np.abs(values).max()), _NOTHING)

    def draw(self, ax, lead: int, samples, left: float, right: float, middle: float, height: float):
        """Shade a lead's samples from ``left`` to ``right``, mm."""
        extent = (left, right, middle - height / 2, middle + height / 2)
        self._image(ax, self.values[lead, samples], extent)

    def draw_scale(self, ax, x: float, y: float, write) -> None:
        """Draw what the colors mean, from ``x`` on to the right."""
        limit = f"{self.limit:.2g}" if self.limit > _NOTHING else "0"
        write(ax, x, y, f"against, {MINUS}{limit}")
        # At 8 points the words are about so many mm wide.
        x += 28
        extent = (x, x + _BAR_WIDTH, y - _BAR_HEIGHT / 2, y + _BAR_HEIGHT / 2)
        self._image(ax, np.linspace(-self.limit, self.limit, 101), extent)
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
        frame = corners * (_BAR_WIDTH, _BAR_HEIGHT) + (extent[0], extent[2])
        ax.plot(*frame.T, color=INK, linewidth=0.4, zorder=3)
        write(ax, x + _BAR_WIDTH + 2, y, f"for, +{limit} log-odds")

    def _image(self, ax, values, extent) -> None:
        # Wherever the axes' limits are set beforehand, an image leaves them alone.
        ax.imshow(
            values[np.newaxis], cmap=_colors(), vmin=-self.limit, vmax=self.limit,
            extent=extent, aspect=ax.get_aspect(), interpolation="nearest", zorder=1.5,
        )  # fmt: skip


def _colors():
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    # Clear in the middle, so that the paper's lines show where nothing speaks.
    ends = [(*to_rgba(color)[:3], _OPACITY) for color in (AGAINST, FOR)]
    clear = [(*end[:3], 0.0) for end in ends]
    steps = [(0, ends[0]), (0.5, clear[0]), (0.5, clear[1]), (1, ends[1])]
    return LinearSegmentedColormap.from_list("for and against", steps)
