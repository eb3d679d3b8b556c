"""What decides about warnings, ready to reckon with: nanoseconds and the tag's own words."""

from dataclasses import dataclass, field

from bridge.config.schema import PatternName, WarningSection
from protocols.ble.smart_tag import WarnLevel, WarnPattern

RETRY_LAST_NS = 60_000_000_000
"""Longest wait before a lost warning is asked again. Reason: she must not stay unwarned for longer than a minute once
the tag takes writes again; each attempt is three messages to the provider, so hours of trying stay readable."""

PATTERNS: dict[PatternName, WarnPattern] = {
    "silent": WarnPattern.SILENT,
    "vibrate": WarnPattern.VIBRATE,
    "sound": WarnPattern.SOUND,
    "both": WarnPattern.BOTH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningPolicy:
    """``[warning]`` of the configuration, in nanoseconds; what each value means stands there."""

    confirm_limit_ns: int
    acknowledge_limit_ns: int
    repeat_ns: int
    max_repeats: int
    retry_ns: int
    start_grace_ns: int
    cover_settle_ns: int
    beacon_hold_ns: int
    forged_hold_ns: int
    patterns: dict[WarnLevel, WarnPattern] = field(hash=False)
    sos_pattern: WarnPattern
    cover_pattern: WarnPattern

    @classmethod
    def of(cls, section: WarningSection) -> "WarningPolicy":
        """Take the values of a configuration."""
        return cls(
            confirm_limit_ns=_ns(section.confirm_limit_s),
            acknowledge_limit_ns=_ns(section.acknowledge_limit_s),
            repeat_ns=_ns(section.repeat_s),
            max_repeats=section.max_repeats,
            retry_ns=_ns(section.retry_s),
            start_grace_ns=_ns(section.start_grace_s),
            cover_settle_ns=_ns(section.cover_settle_s),
            beacon_hold_ns=_ns(section.beacon_hold_s),
            forged_hold_ns=_ns(section.forged_hold_s),
            patterns={
                WarnLevel.STAND_DOWN: PATTERNS[section.stand_down_pattern],
                WarnLevel.NOTICE: PATTERNS[section.notice_pattern],
                WarnLevel.ALARM: PATTERNS[section.alarm_pattern],
                WarnLevel.CONTACT: PATTERNS[section.contact_pattern],
            },
            sos_pattern=PATTERNS[section.sos_pattern],
            cover_pattern=PATTERNS[section.cover_pattern],
        )


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
