"""The constants of the trust estimator."""

from __future__ import annotations

CHI2_ROOT_MEAN = 7 / 9  # mean of the cube root of chi-square with one degree of freedom
CHI2_ROOT_STD = (2 / 9) ** 0.5  # its standard deviation (Wilson and Hilferty 1931)
NORMAL_LOW = 2.3263  # the 1% quantile of the standard normal distribution, without its sign

MAX_RUN = 200.0  # longest run of exact repeats that counts, in readings
MIN_RUN = 4.0  # a run of up to this many repeats is never "stuck"
LONG_RUN = 3.0  # a run this many times the longest healthy one may be "stuck"
LONGEST_FORGETTING = 0.9995
REPEAT_FORGETTING = 0.999
MIN_MOVES = 8.0  # readings that differ from the one before, before a source can be "stuck"
REPEAT_ODDS = 1e-3  # a run of exact repeats less probable than this is evidence of "stuck"

NOISE_FORGETTING = 0.995
NOISE_WARMUP = 48  # judged readings before the normal size of an innovation is known
MIN_EXPLAINED = 0.5  # share of a source's variance that the others must explain to be evidence against it
REJECTED_NIS = 6.635  # the 99% quantile of chi-square with one degree of freedom
REJECTED_FORGETTING = 0.8  # of a source's share of readings beyond it
REJECTED_SHARE = 0.5  # a source with a larger share contradicts the prediction
MIN_REJECTED = 3  # sources, and more than half of those explained: then the world has changed
SHIFT_FORGETTING = 0.8  # of the evidence so far, for each reading during such a change
SHIFT_TICKS = 24  # that a change lasts after most sources contradicted the prediction
SHIFT_RATE = 0.1  # of what a reading changes in the normal size of innovations after such a change
MIN_NOISE_RATE = 0.02  # share of the learning rate that an outlier keeps, so that a lasting change is learned
BAD_RECORD = 0.5  # share of right readings in a context; a source with less there was wrong before
CONTEXT_RELIEF = 32  # readings after a change of context in which a record spans both contexts
RESTED_DOUBT = 0.1  # a reading with less doubt by its source's own record is evidence for the source
