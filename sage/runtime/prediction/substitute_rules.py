"""The constants of what is predicted in place of a faulty source's readings. Lengths are in readings."""

from __future__ import annotations

NONE, STEP, FROZEN = 0, 1, 2  # why a source's readings are replaced

MIN_READINGS = 192  # before a source's largest innovations so far are a record
FIRST_READING = 16  # earlier innovations are not part of it
MIN_JUMP = 2.0  # times the record, root of the mean square over a source's channels: a jump
MOST_JUMP = 4.0  # bound of one channel's share in it
MAX_CREST = 8.0  # record over the usual innovation: beyond it innovations are heavy-tailed
SHARED_JUMP = 1.0  # another source that reaches its own record at the same time: the world has changed
SHARED_TICKS = 3  # apart, at most
NIGHT_TICKS = 40  # after a night in which no jump is found: its process gives memory and processor time back
MIN_MOVES = 48  # readings that differ from the one before, before a source is tested or a witness
MIN_OTHERS = 2  # other tested sources with a record, without which nothing is replaced
RECORD_FORGETTING = 0.9999
LONG_GAP = 2.0  # times the usual time between readings: the prediction is too old for a test
GAP_MEMORY = 128.0
MEMORY = 2000.0  # of running means
SLOW = 32.0  # memory of the slow mean, from which the correlation time is taken; a longer one: no level
MAX_STEP = 128  # readings after which an offset is accepted as a change of the world
MAX_FROZEN = 512  # readings after which standing still is
MIN_RUN = 3  # equal readings in a row, at least, of a frozen source
MAX_REPEATS = 0.02  # share of equal readings of a source that can be found frozen
FROZEN_ODDS = 1e-6  # a run of equal readings less probable than this is frozen
MAX_CHANNELS = 16  # of a source: larger ones are images, in which a real change has no record
HELD_DOUBT = 0.9  # about a source while its readings are replaced
