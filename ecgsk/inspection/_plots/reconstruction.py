"""Masked parts of a recording and what a masked autoencoder fills in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS, lead_indices, lead_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_INK, _HIDDEN, _FILLING, _SHADE = "#1a1a1a", "#9a9a9a", "#c8401e", "#e9eef5"
_WIDTH, _ROW_HEIGHT, _AROUND = 11.0, 1.6, 1.1  # inches


@public("ecgsk.inspection")
class ReconstructionDisplay:
    """One recording with parts masked, and what a network filled them with.

    Each lead has a row. The recording is black where the network saw it and gray where it did
    not; masked spans are shaded, and the network's filling is drawn in color in them alone.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples)
        One recording, mV. NaN and infinite samples are drawn as gaps.
    filled : array-like of shape (n_leads, n_samples)
        The recording with its masked spans filled, mV, as ``MTECGPretrainer.reconstruct`` returns
        it. It is drawn in masked spans only.
    mask : array-like of bool of shape (n_samples,)
        True where all leads were masked.
    sampling_rate : float, default=500
        Of the arrays, Hz: with shipped weights, ``filled`` comes at the rate of the weights.
    leads : sequence of str or None, default=None
        Names of the leads of ``record``, in their order. None: `STANDARD_LEADS`, for twelve leads.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, of shape (n_shown,)
        With the drawing, s against mV.
    figure_ : matplotlib Figure
        That holds the axes.

    See Also
    --------
    ecgsk.MTECGPretrainer : ``reconstruct(X, return_mask=True)`` returns ``filled`` and ``mask``
        of many recordings.

    Notes
    -----
    With weights that have preprocessing of their own, ``filled`` is after it: give ``record``
    after the same steps, or the two do not compare.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from ecgsk import make_ecg
    >>> from ecgsk.inspection import ReconstructionDisplay
    >>> record = make_ecg(sampling_rate=100, random_state=0)[0]
    >>> mask = np.repeat(np.arange(50) % 3 == 0, 20)  # a third of the segments of 0.2 s
    >>> filled = np.where(mask, 0, record)  # an untrained network
    >>> display = ReconstructionDisplay.from_result(
    ...     record, filled, mask, sampling_rate=100, seconds=5
    ... )
    >>> [ax.get_ylabel() for ax in display.axes_]
    ['II, mV', 'V2, mV', 'V5, mV']
    >>> matplotlib.pyplot.close(display.figure_)
    """

    def __init__(self, record, filled, mask, *, sampling_rate=500, leads=None):
        self.record = record
        self.filled = filled
        self.mask = mask
        self.sampling_rate = sampling_rate
        self.leads = leads

    @classmethod
    def from_result(
        cls, record, filled, mask, *, sampling_rate=500, leads=None, **plot_params
    ) -> "Self":
        """Draw what ``MTECGPretrainer.reconstruct`` returned for one recording.

        Parameters
        ----------
        record, filled, mask, sampling_rate, leads : object
            As in `ReconstructionDisplay`.
        **plot_params
            As in `plot`.

        Returns
        -------
        ReconstructionDisplay
            The display, drawn.
        """
        display = cls(record, filled, mask, sampling_rate=sampling_rate, leads=leads)
        return display.plot(**plot_params)

    def plot(
        self,
        ax: "Sequence[Axes] | None" = None,
        *,
        shown: Sequence[str] | None = ("II", "V2", "V5"),
        seconds: float | None = None,
        title: str | None = None,
    ) -> "Self":
        """Draw the recording.

        Parameters
        ----------
        ax : sequence of matplotlib Axes or None, default=None
            To draw on, one for each lead shown; None makes a figure.
        shown : sequence of str or None, default=("II", "V2", "V5")
            Leads to draw, from the top. None draws all.
        seconds : float or None, default=None
            How much to draw from the start of the recording, s. None draws all of it.
        title : str or None, default=None
            Written above.

        Returns
        -------
        ReconstructionDisplay
            The display itself.

        Raises
        ------
        ValueError
            When shapes do not match, ``mask`` is not of bool, a lead shown is not in the recording,
            a number is not positive, or there are not as many axes as leads shown.
        """
        record, filled, mask = _check_arrays(self.record, self.filled, self.mask)
        names = _names(self.leads, len(record))
        rows = _rows(shown, names)
        rate = self.sampling_rate
        for name, value in (("sampling_rate", rate), ("seconds", seconds)):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name}={value!r} must be a positive number.")
        axes = _check_axes(ax, [names[row] for row in rows])

        n_drawn = len(mask)
        if seconds is not None:
            n_drawn = min(n_drawn, max(1, round(seconds * rate)))
        mask = mask[:n_drawn]
        time = np.arange(n_drawn) / rate
        spans = _spans(mask) / rate
        # A sample more at either end, so that gray and black meet.
        hidden = mask.copy()
        hidden[1:] |= mask[:-1]
        hidden[:-1] |= mask[1:]
        if axes is None:
            axes = _new_axes(len(rows))
        for panel, row in zip(axes, rows, strict=True):
            recorded = record[row, :n_drawn]
            for start, stop in spans:
                panel.axvspan(start, stop, facecolor=_SHADE, linewidth=0, zorder=0)
            style = {"linewidth": 1.0, "solid_joinstyle": "round"}
            panel.plot(time, np.where(hidden, recorded, np.nan), color=_HIDDEN, zorder=2,
                       label="recorded, hidden from the network", **style)  # fmt: skip
            panel.plot(time, np.where(mask, np.nan, recorded), color=_INK, zorder=3,
                       label="recorded, seen by the network", **style)  # fmt: skip
            filling = np.where(mask, filled[row, :n_drawn], np.nan)
            panel.plot(time, filling, color=_FILLING, zorder=4,
                       label="filled in by the network", **{**style, "linewidth": 1.5})  # fmt: skip
            panel.set(xlim=(0, n_drawn / rate), ylabel=f"{names[row]}, mV")
            panel.spines[["top", "right"]].set_visible(False)
            panel.label_outer()
        axes[-1].set_xlabel("Time, s")
        _label(axes[0], title)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


def _check_arrays(record, filled, mask):
    record = np.asarray(on_host(record, "record"))
    filled, mask = np.asarray(on_host(filled, "filled")), np.asarray(on_host(mask, "mask"))
    for name, array in (("record", record), ("filled", filled)):
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} has dtype {array.dtype}; expected real numbers, mV.")
    if record.ndim != 2 or 0 in record.shape:
        raise ValueError(
            f"record has shape {record.shape}; expected (n_leads, n_samples). Draw one recording "
            "at a time: X[0], filled[0], mask[0]."
        )
    if filled.shape != record.shape:
        raise ValueError(
            f"filled has shape {filled.shape}; expected that of record, {record.shape}. Draw one "
            "recording at a time; where weights resampled it, give record at their rate as well."
        )
    if mask.dtype != bool:
        raise ValueError(
            f"mask has dtype {mask.dtype}; expected bool, True where masked. Take it from "
            "reconstruct(X, return_mask=True), or convert it: mask.astype(bool)."
        )
    if mask.shape != record.shape[1:]:
        raise ValueError(
            f"mask has shape {mask.shape}; expected {record.shape[1:]}, one value for each sample "
            "of record. Give the row of this recording: mask[0]."
        )
    return *(np.where(np.isfinite(array), array, np.nan) for array in (record, filled)), mask


def _names(leads, n_leads) -> list[str]:
    names = [lead_name(name) for name in (STANDARD_LEADS if leads is None else leads)]
    if len(names) != n_leads:
        named = f"leads={leads!r} means twelve" if leads is None else f"leads names {len(names)}"
        raise ValueError(
            f"record has {n_leads} leads, but {named}. Give leads the name of each row of record."
        )
    return names


def _rows(shown, names) -> list[int]:
    """Return where the leads to draw stand in the recording."""
    if shown is None:
        return list(range(len(names)))
    wanted = [lead_name(name) for name in ([shown] if isinstance(shown, str) else shown)]
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise ValueError(
            f"shown={shown!r} names {', '.join(unknown) or 'no lead'}; the recording has "
            f"{', '.join(names)}. Choose among those, or shown=None for all."
        )
    return lead_indices(names, wanted)


def _check_axes(axes, shown):
    if axes is None:
        return None
    axes = np.array(axes, dtype=object).ravel()
    if len(axes) != len(shown):
        raise ValueError(
            f"ax holds {len(axes)} axes, but {len(shown)} leads are shown ({', '.join(shown)}). "
            "Give one for each, or None for a new figure."
        )
    return axes


def _spans(mask) -> np.ndarray:
    """Return the first sample of each masked run and the one after its last, of shape (n, 2)."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def _new_axes(n_rows) -> np.ndarray:
    import matplotlib.pyplot as plt

    size = (_WIDTH, _ROW_HEIGHT * n_rows + _AROUND)
    figure, axes = plt.subplots(
        n_rows, sharex=True, squeeze=False, figsize=size, layout="constrained"
    )
    figure.align_ylabels(axes)
    return axes[:, 0]


def _label(ax, title) -> None:
    """Write the legend above the rows, where it covers no wave, and the title above that."""
    from matplotlib.patches import Patch

    hidden, seen, filling = ax.get_lines()[-3:]
    ax.legend(
        handles=[seen, Patch(facecolor=_SHADE, label="masked"), hidden, filling],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=4,
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
        borderpad=0.2,
        handlelength=1.6,
    )
    if title is not None:
        ax.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=26)
