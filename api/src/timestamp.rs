//! Points in time: seconds since 1970 in UTC, and their one written form (RFC 3339, `Z`).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time in whole seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Written as `YYYY-MM-DDTHH:MM:SSZ`, the only form Cluster API's annotation may have
/// (Go's `time.RFC3339`). Years outside 0 to 9999 cannot occur in a certificate (RFC 5280,
/// section 4.1.2.5) and are clamped when written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From seconds since 1970; negative before it.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970; negative before it.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, with any offset; a fraction of a second is dropped.
    ///
    /// # Errors
    /// Says that the text is not such a date, and shows one that is.
    pub fn parse(text: &str) -> Result<Self, String> {
        // RFC 3339 lets these letters be small ones, or a space; Go, and so Cluster API, does not.
        let is_strict = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z');
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| is_strict);
        parsed.map(|time| Self(time.unix_timestamp())).ok_or_else(|| {
            format!("{text:?} is not a date; write it as RFC 3339, such as 2027-03-09T09:00:00Z")
        })
    }

    /// Seconds from `earlier` to `self`, negative when `self` is the earlier one.
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// How long until then, for a person: in the largest unit of which there are at least two, as
    /// `kubectl get` does.
    pub fn time_left(self, now: Self) -> String {
        let left = self.seconds_since(now);
        let seconds = left.unsigned_abs();
        let amount = match seconds {
            0..120 => format!("{seconds}s"),
            120..7_200 => format!("{}m", seconds / 60),
            7_200..172_800 => format!("{}h", seconds / 3_600),
            _ => format!("{}d", seconds / 86_400),
        };
        if left < 0 { format!("ended {amount} ago") } else { amount }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIRST: i64 = -62_167_219_200; // 0000-01-01T00:00:00Z
        const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z
        let t = OffsetDateTime::from_unix_timestamp(self.0.clamp(FIRST, LAST))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        // Every year of four digits can be written so.
        f.write_str(&t.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_in_rfc_3339_to_the_second() {
        assert_eq!(Timestamp::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix(1_801_461_600).to_string(), "2027-02-01T06:00:00Z");
    }

    #[test]
    fn the_first_and_the_last_year_of_a_certificate_are_written_with_four_digits() {
        assert_eq!(Timestamp::from_unix(253_402_300_799).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_unix(-62_167_219_200).to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_unix(i64::MIN).to_string(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_written_can_be_read() {
        for seconds in [-1, 0, 951_782_400, 4_102_444_800, 253_402_300_799] {
            let t = Timestamp::from_unix(seconds);
            assert_eq!(Timestamp::parse(&t.to_string()), Ok(t));
        }
        assert!(Timestamp::parse("tomorrow").is_err_and(|m| m.contains("2027-03-09T09:00:00Z")));
    }

    #[test]
    fn time_left_is_shown_in_the_largest_unit_of_which_there_are_two() {
        let left = |seconds| Timestamp::from_unix(seconds).time_left(Timestamp::from_unix(0));
        assert_eq!(left(0), "0s");
        assert_eq!(left(119), "119s");
        assert_eq!(left(7_199), "119m");
        assert_eq!(left(172_799), "47h");
        assert_eq!(left(364 * 86_400 + 5), "364d");
        assert_eq!(left(-3 * 86_400), "ended 3d ago");
    }
}
