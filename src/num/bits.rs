//! Doubles in JSON by their bits, as `#[serde(with = "crate::num::bits")]`: they come back as they were, whatever prints and reads them. Those that
//! were written as decimals are read too.

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};
use std::fmt;

pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(value.to_bits())
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Double)
}

struct Double;

impl Visitor<'_> for Double {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a double, or its bits")
    }

    fn visit_u64<E: Error>(self, bits: u64) -> Result<f64, E> {
        Ok(f64::from_bits(bits))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct One(#[serde(with = "super")] f64);

    #[test]
    fn doubles_come_back_as_they_were() {
        for value in [0.1 + 0.2, -1e-310, 3.0, f64::MAX, 9_007_199_254_740_993.0] {
            let json = serde_json::to_string(&One(value)).unwrap();
            assert_eq!(serde_json::from_str::<One>(&json).unwrap().0, value);
        }
        assert_eq!(serde_json::from_str::<One>("2.5").unwrap().0, 2.5);
    }
}
