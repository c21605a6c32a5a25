"""An alarm when nights are due and none takes place."""

from __future__ import annotations

from sage.runtime.config import SleepConfig

#: Intervals between nights without one, until the alarm.
PATIENCE = 2.0


class NightAlarm:
    """`check` returns a message once for each PATIENCE intervals without a night while nights are enabled.

    A night that was skipped or failed, for whatever reason, did not take place. While one is in progress
    there is no alarm: where it fails, the alarm comes then.
    """

    def __init__(self, now_ns: int) -> None:
        self._since_ns = self._last_ns = now_ns
        self._reason = ""

    def note_night(self, now_ns: int) -> None:
        """A night took place, whatever its verdict."""
        self._since_ns = self._last_ns = now_ns
        self._reason = ""

    def note_skipped(self, reason: str) -> None:
        self._reason = f"the last one was skipped: {reason}"

    def note_failed(self, reason: str) -> None:
        self._reason = f"the last one failed: {reason}"

    def check(self, config: SleepConfig, now_ns: int, *, is_asleep: bool = False) -> str:
        """The alarm, or "". is_asleep: a night is in progress."""
        if not config.enabled:
            self._since_ns = self._last_ns = now_ns
        interval_ns = max(config.every_secs, config.first_after_secs) * 1e9
        if is_asleep or now_ns - self._last_ns < PATIENCE * interval_ns:
            return ""
        self._last_ns = now_ns
        secs = (now_ns - self._since_ns) / 1e9
        reason = self._reason or "none was started"
        return f"no night for {secs:,.0f} s, one is due every {config.every_secs:,.0f} s: {reason}"
