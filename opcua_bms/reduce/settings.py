"""What the reduction may be told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StatisticsSettings:
    """When a cell is an outlier, for how long trends look back, and what noise is.

    `enabled`: without it extremes, averages and deviations are all; the other columns keep what the image has there.
    `outlier_score`: robust standard deviations from the median of the cluster, averaged over `outlier_time_s`.
    `least_deviation_*`: the standard deviation is never taken for smaller, in V and °C. `hysteresis_*`: a cell stays
    the weakest or strongest until another is beyond it by more, in V and °C. `open_wire_v`: two neighbours of a pack
    are this far off, one up and one down, with a mean within a tenth of that of the cluster's median.
    """

    enabled: bool = True
    outlier_score: float = 8.0
    outlier_time_s: float = 60.0
    change_window_s: float = 60.0
    least_deviation_v: float = 0.0025
    least_deviation_degc: float = 0.5
    hysteresis_v: float = 0.003
    hysteresis_degc: float = 0.5
    open_wire_v: float = 0.1


@dataclass(frozen=True, slots=True)
class ReduceSettings:
    """When an aggregate over fewer readings is still good (share of all) and when it is bad."""

    required_share: float = 1.0
    least_share: float = 0.0
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
