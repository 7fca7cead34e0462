//! The ids of workspaces and principals: 64 bits, more than a JSON number read as a float can hold.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// An id that the API sends as a number, and in some places as a string of digits. It is sent as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Int64(pub i64);

impl fmt::Display for Int64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Int64 {
    type Err = &'static str;

    /// Reads only the form that is written, so that an id has one spelling.
    fn from_str(text: &str) -> Result<Int64, Self::Err> {
        let number = text.parse().ok().map(Int64).filter(|number| number.to_string() == text);
        number.ok_or("it must be a 64-bit number in plain digits")
    }
}

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Int64, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = Int64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 64-bit integer or a string of its digits")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Int64, E> {
        Ok(Int64(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Int64, E> {
        i64::try_from(value).map(Int64).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Int64, E> {
        let number = value.parse().ok().filter(|_| !value.starts_with('+'));
        number.map(Int64).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_digits_are_read_exactly_and_written_as_numbers() {
        for (text, number) in
            [("1", 1), ("\"2\"", 2), ("9007199254740993", 9_007_199_254_740_993), ("\"-3\"", -3)]
        {
            let read: Int64 = serde_json::from_str(text).unwrap();
            assert_eq!(read, Int64(number));
            assert_eq!(serde_json::to_string(&read).unwrap(), number.to_string());
        }
        for text in
            ["9223372036854775808", "1.5", "1e3", "\"\"", "\" 1\"", "\"+1\"", "\"1x\"", "null", "true"]
        {
            assert!(serde_json::from_str::<Int64>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!("9007199254740993".parse(), Ok(Int64(9_007_199_254_740_993)));
        for text in ["", "+1", "01", " 1", "1 ", "1.0", "x", "9223372036854775808"] {
            assert!(text.parse::<Int64>().is_err(), "{text}");
        }
    }
}
