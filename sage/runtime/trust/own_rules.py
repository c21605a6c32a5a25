"""The constants of the tests of a source against its own record. Lengths are in readings of the source."""

from __future__ import annotations

BLOCK = 16  # a record keeps the largest value of each block
KEPT = 8  # blocks, the largest ones
MIN_BLOCKS = 12  # before a record is used
MIN_HELD = 4  # blocks above 0, before the record of a size is used
RECORD_FORGETTING = 0.9995  # for each block
SPAN, LAG = 10, 16  # the lowest and highest of the last SPAN readings, against those LAG before
WINDOW = 24  # in which large and steady changes are counted
JUMP_DEVIATIONS = 2.0  # a change larger than this many standard deviations of the level is large
STEADY_SHARE = 0.25  # a change that differs by less than this share from the one before is steady
USUAL_READINGS = 5000.0  # memory of the level, and in changes of the frequent values
NUM_VALUES = 4  # candidates for a channel's frequent values
FREQUENT = 0.2  # share of a channel's changes that lead to a value
RING = 32  # readings kept: at least LAG + SPAN
MAX_LAG = 19  # of a repetition

#: Statistics of a channel: rise, fall, rise of the lowest, fall of the highest; then counts in the window, of
#: large and of steady changes.
NUM_BY_CHANNEL, FIRST_COUNT = 6, 4
#: Statistics of a source: the run of equal readings, and of readings equal to those of some lag before.
NUM_BY_SOURCE = 2
MIN_FREEZE = 4  # a run of up to this many repeats is never "frozen"
MIN_MOVES = 24  # to a value that is not frequent, before a run of repeats is unusual
COUNT_OFFSET = 2.0  # added to counts, so that a record of 0 is no certainty
MIN_TAIL, MAX_TAIL = 0.25, 0.6  # bounds of the tail index

ALARM = 1.25  # severity from which a reading counts against its source, then with a doubt of at least 1/2
MAX_SEVERITY = 8.0  # of a reading beyond the record
BEYOND_RANGE = 9.0  # severity of a reading beyond the declared range
RELIEF = 0.8  # of the doubt, for each reading without an alarm
MIN_ALARMED = 3  # sources, and more than half of those tested: then the world has changed
TOLERANCE = 1e-6  # of the ends of a declared range
MIN_BOTH_WAYS = 2  # rises and falls beyond the record in one block, each: noise, which is not learned
MAX_HELD = 100  # such blocks in a row, after which they are
