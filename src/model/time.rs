//! Instants in 100 ns ticks, as Azure DevOps writes them, and UTC dates.

use std::fmt;

/// An instant: 100 ns ticks since 1970-01-01T00:00:00Z, the resolution of .NET's `DateTime`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A UTC calendar day: days since 1970-01-01. Its text form is `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// A length of time in 100 ns ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub i64);

const TICKS_PER_SECOND: i64 = 10_000_000;
const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// .NET ticks (since year 1) at the Unix epoch.
const NET_TICKS_AT_EPOCH: i64 = 621_355_968_000_000_000;
/// `DateTime.MaxValue.Ticks`, which an inverted row key counts down from.
const NET_MAX_TICKS: i64 = 3_155_378_975_999_999_999;

impl Ticks {
    pub const fn seconds(n: i64) -> Ticks {
        Ticks(n * TICKS_PER_SECOND)
    }

    pub const fn days(n: i64) -> Ticks {
        Ticks(n * TICKS_PER_DAY)
    }
}

impl std::ops::Add<Ticks> for Time {
    type Output = Time;
    fn add(self, rhs: Ticks) -> Time {
        Time(self.0.saturating_add(rhs.0))
    }
}

impl std::ops::Sub<Ticks> for Time {
    type Output = Time;
    fn sub(self, rhs: Ticks) -> Time {
        Time(self.0.saturating_sub(rhs.0))
    }
}
impl Time {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`, the form of HTTP dates that is sent.
    pub fn parse_http(text: &str) -> Option<Time> {
        let mut words = text.split_once(", ")?.1.split(' ');
        let mut word = || words.next();
        let (day, month, year, time) = (word()?, word()?, word()?, word()?);
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = names.iter().position(|name| *name == month)? + 1;
        Time::parse(&format!("{year}-{month:02}-{day}T{time}Z"))
    }

    /// Reads an RFC 3339 instant: any number of fraction digits (those past 100 ns are cut), `Z`,
    /// a numeric offset, or no offset at all, which Azure means as UTC. A blank may stand for the
    /// `T`. `None` when the text is anything else.
    pub fn parse(text: &str) -> Option<Time> {
        let b = text.trim().as_bytes();
        if b.len() < 19 || b[4] != b'-' || b[7] != b'-' || b[13] != b':' || b[16] != b':' {
            return None;
        }
        if !matches!(b[10], b'T' | b't' | b' ') {
            return None;
        }
        let year = digits(&b[0..4])?;
        let month = digits(&b[5..7])?;
        let day = digits(&b[8..10])?;
        let (hour, minute, second) = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
        let date = Date::from_civil(year, month, day)?;
        // A leap second is written as :60; it is folded into the next minute.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = &b[19..];
        let mut fraction = 0i64;
        if let Some((b'.' | b',', tail)) = rest.split_first() {
            let n = tail.iter().take_while(|c| c.is_ascii_digit()).count();
            if n == 0 {
                return None;
            }
            for i in 0..7 {
                fraction = fraction * 10 + tail.get(i).filter(|_| i < n).map_or(0, |c| i64::from(c - b'0'));
            }
            rest = &tail[n..];
        }
        let offset_minutes = match rest {
            [] | [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), h1, h2, tail @ ..] => {
                let minutes = match tail {
                    [] => 0,
                    [b':', m1, m2] | [m1, m2] => digits(&[*m1, *m2])?,
                    _ => return None,
                };
                let total = digits(&[*h1, *h2])? * 60 + minutes;
                if total > 24 * 60 {
                    return None;
                }
                if *sign == b'-' { -total } else { total }
            }
            _ => return None,
        };
        let seconds = (hour * 60 + minute - offset_minutes) * 60 + second;
        Some(Time(i64::from(date.0) * TICKS_PER_DAY + seconds * TICKS_PER_SECOND + fraction))
    }

    /// The instant hidden in the first part of a REST audit id, which counts .NET ticks down from
    /// `DateTime.MaxValue` so that newer rows sort first.
    pub fn from_inverted_ticks(ticks: i64) -> Option<Time> {
        NET_MAX_TICKS.checked_sub(ticks)?.checked_sub(NET_TICKS_AT_EPOCH).map(Time)
    }

    /// The first part of the REST audit id of a record with this instant.
    pub fn to_inverted_ticks(self) -> i64 {
        NET_MAX_TICKS - (self.0 + NET_TICKS_AT_EPOCH)
    }

    pub const fn from_unix_micros(micros: i64) -> Time {
        Time(micros.saturating_mul(10))
    }

    pub const fn from_unix_millis(millis: i64) -> Time {
        Time(millis.saturating_mul(10_000))
    }

    /// Microseconds since the epoch, rounded down: what a Delta timestamp holds.
    pub const fn unix_micros(self) -> i64 {
        self.0.div_euclid(10)
    }

    /// The instant as a table holds it, so that what is read back is what was told.
    pub const fn to_micros(self) -> Time {
        Time(self.unix_micros() * 10)
    }

    /// For people: RFC 3339 in UTC without the zeros at the end of its fraction.
    pub fn brief(self) -> String {
        let text = self.to_string();
        let cut = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        if text.contains('.') { format!("{cut}Z") } else { text }
    }

    /// The UTC day this instant falls in.
    pub const fn date(self) -> Date {
        Date(self.0.div_euclid(TICKS_PER_DAY) as i32)
    }
}

/// RFC 3339 in UTC with seven fraction digits, the form of the audit stream. Evidence tells many
/// times, so the digits are laid out by hand.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_day = self.0.rem_euclid(TICKS_PER_DAY);
        let (seconds, fraction) = (in_day / TICKS_PER_SECOND, in_day % TICKS_PER_SECOND);
        let (year, month, day) = self.date().civil();
        if !(0..=9999).contains(&year) {
            return write!(f, "{}T{seconds}.{fraction:07}Z", self.date());
        }
        let mut text = *b"0000-00-00T00:00:00.0000000Z";
        let mut put = |at: std::ops::Range<usize>, mut n: i64| {
            for digit in text[at].iter_mut().rev() {
                *digit = b'0' + (n % 10) as u8;
                n /= 10;
            }
        };
        put(0..4, year);
        put(5..7, month);
        put(8..10, day);
        put(11..13, seconds / 3600);
        put(14..16, seconds / 60 % 60);
        put(17..19, seconds % 60);
        put(20..27, fraction);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl Date {
    /// The day with this year, month (1-12) and day of month; `None` if there is no such day.
    pub fn from_civil(year: i64, month: i64, day: i64) -> Option<Date> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if day < 1 || day > length || !(1..=9999).contains(&year) {
            return None;
        }
        // Howard Hinnant, "chrono-compatible low-level date algorithms": days_from_civil.
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Date((era * 146_097 + day_of_era - 719_468) as i32))
    }

    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Date> {
        let b = text.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return None;
        }
        Date::from_civil(digits(&b[0..4])?, digits(&b[5..7])?, digits(&b[8..10])?)
    }

    /// Year, month and day of month.
    pub fn civil(self) -> (i64, i64, i64) {
        let z = i64::from(self.0) + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
    }

    /// Midnight at the start of this day.
    pub const fn start(self) -> Time {
        Time(self.0 as i64 * TICKS_PER_DAY)
    }

    pub const fn plus_days(self, days: i32) -> Date {
        Date(self.0 + days)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

fn digits(b: &[u8]) -> Option<i64> {
    b.iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling_of_one_instant() {
        let want = Time::parse("2019-03-05T14:05:02.1460838Z").unwrap();
        for text in [
            "2019-03-05T14:05:02.1460838+00:00",
            "2019-03-05T15:05:02.1460838+01:00",
            "2019-03-05T09:35:02.14608389-0430",
            "2019-03-05 14:05:02.1460838",
        ] {
            assert_eq!(Time::parse(text), Some(want), "{text}");
        }
        assert_eq!(want.to_string(), "2019-03-05T14:05:02.1460838Z");
    }

    #[test]
    fn the_rest_id_holds_the_instant_to_the_last_digit() {
        let at = Time::parse("2019-03-05T14:05:02.1460838Z").unwrap();
        assert_eq!(Time::from_inverted_ticks(2_518_505_060_978_539_161), Some(at));
        assert_eq!(at.to_inverted_ticks(), 2_518_505_060_978_539_161);
    }

    #[test]
    fn refuses_what_is_not_an_instant() {
        for text in [
            "",
            "2019-03-05",
            "2019-02-29T00:00:00Z",
            "2019-03-05T24:00:00Z",
            "2019-03-05T14:05:02.Z",
            "2019-03-05T14:05:02+1",
            "2019-03-05T14:05:02Zx",
            "\u{e9}019-03-05T14:05:02Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn dates_go_there_and_back() {
        for days in (-800_000..2_900_000).step_by(97) {
            let date = Date(days);
            let (y, m, d) = date.civil();
            if (1..=9999).contains(&y) {
                assert_eq!(Date::from_civil(y, m, d), Some(date));
                assert_eq!(Date::parse(&date.to_string()), Some(date));
            }
        }
    }
}
