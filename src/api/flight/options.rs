//! What SQL has no words for: which dataset and purpose, what a statement may cost, how accurate it is to be, how its answer is shown.
//!
//! A connection has options in its session ([`super::session`]), and each call may have some of its own as headers, `undertone-epsilon` for `epsilon`, which go before
//! the session's. Both have the same names and values; what is not known is refused, so that nothing that was meant is left out.

use crate::algebra::{Accuracy, Mechanism};
use crate::error::{Code, Error, Result};
use crate::governance::Ask;
use crate::num::Amount;
use crate::sql::DATA_SCHEMA;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tonic::metadata::{KeyRef, MetadataMap};

/// Names of options, as they stand in a session; each is the name of what it sets in a question of the gRPC interface, where it is there.
pub const CATALOG: &str = "catalog";
const DATASET: &str = "dataset";
const SCHEMA: &str = "schema";
const INTERVALS: &str = "intervals";
const ALLOW_BURSTS: &str = "allow_bursts";

/// Of headers.
const PREFIX: &str = "undertone-";
/// Longest value.
const MAX_VALUE: usize = 256;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    Amount,
    Number,
    Count,
    Mechanism,
    Flag,
}

const OPTIONS: [(&str, Kind); 16] = [
    (CATALOG, Kind::Name),
    (SCHEMA, Kind::Name),
    ("purpose", Kind::Name),
    ("epsilon", Kind::Amount),
    ("delta", Kind::Amount),
    ("error", Kind::Number),
    ("relative_error", Kind::Number),
    ("magnitude", Kind::Number),
    ("confidence", Kind::Number),
    ("mechanism", Kind::Mechanism),
    ("max_groups_contributed", Kind::Count),
    ("max_rows_contributed", Kind::Count),
    ("non_negative", Kind::Flag),
    ("consistent", Kind::Flag),
    (INTERVALS, Kind::Flag),
    (ALLOW_BURSTS, Kind::Flag),
];

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidRequest, message)
}

/// Values by name, each of its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Sets an option, or takes it back where it has no value.
    ///
    /// Errors: `INVALID_REQUEST` where the name or the value is none, and what would be.
    pub fn set(&mut self, name: &str, value: Option<String>) -> Result<()> {
        let wanted = if name == DATASET { CATALOG } else { name };
        let Some((known, kind)) = OPTIONS.iter().find(|(known, _)| *known == wanted) else {
            let name: String = name.chars().take(64).collect();
            let known: Vec<&str> = OPTIONS.iter().map(|(name, _)| *name).collect();
            return Err(invalid(format!("there is no option '{name}': there are {}, {DATASET}", known.join(", "))));
        };
        match value {
            None => drop(self.0.remove(*known)),
            Some(value) => {
                let value = match kind {
                    Kind::Mechanism | Kind::Flag => value.trim().to_lowercase(),
                    _ => value.trim().to_owned(),
                };
                if let Some(wanted) = wrong(known, *kind, &value) {
                    let value: String = value.chars().take(64).collect();
                    return Err(invalid(format!("option {name} is '{value}', and must be {wanted}")));
                }
                self.0.insert((*known).to_owned(), value);
            }
        }
        Ok(())
    }

    /// These, with what the headers of a call say.
    ///
    /// Errors: `INVALID_REQUEST`, as for [`Options::set`].
    pub fn with_headers(mut self, headers: &MetadataMap) -> Result<Options> {
        let mut found = Vec::new();
        for key in headers.keys() {
            let (name, values) = match key {
                KeyRef::Ascii(key) => (key.as_str(), headers.get_all(key).iter().collect()),
                KeyRef::Binary(key) => (key.as_str(), vec![]),
            };
            let Some(option) = name.strip_prefix(PREFIX) else { continue };
            let value = match values.as_slice() {
                [] => None,
                [value, others @ ..] => Some(value).filter(|value| others.iter().all(|other| other == *value)),
            };
            let value = value.and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                invalid(format!(
                    "header {name} must be one text: set it for the connection, or for the statement, or leave it out"
                ))
            })?;
            found.push((option.replace('-', "_"), value.to_owned()));
        }
        check_names(found.iter().map(|(name, _)| name.as_str()))?;
        for (name, value) in found {
            self.set(&name, Some(value))?;
        }
        Ok(self)
    }

    /// Whether what these say is what others say too, but for what may be allowed at any time.
    ///
    /// Errors: `INVALID_REQUEST` with the first one that is not.
    pub fn agree_with(&self, others: &Options) -> Result<()> {
        let differs = |(name, value): &(&String, &String)| *name != ALLOW_BURSTS && others.0.get(*name) != Some(*value);
        match self.0.iter().find(differs) {
            None => Ok(()),
            Some((name, value)) => Err(invalid(format!(
                "option {name} is {value} here, and was not when this ticket was priced: ask for the flight information again"
            ))),
        }
    }

    /// All that are set: name and value, and whether it is a flag.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let is_flag = |name: &str| {
            let mut known = OPTIONS.iter();
            known.any(|(known, kind)| *known == name && *kind == Kind::Flag)
        };
        self.0.iter().map(move |(name, value)| (name.as_str(), value.as_str(), is_flag(name)))
    }

    fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.parse().ok()
    }

    fn flag(&self, name: &str) -> bool {
        self.number(name).unwrap_or(false)
    }

    /// The dataset; empty where it is not said.
    pub fn dataset(&self) -> String {
        self.text(CATALOG)
    }

    /// Whether answers show the ends of intervals as columns of their own.
    pub fn intervals(&self) -> bool {
        self.flag(INTERVALS)
    }

    /// Whether many statements at once may take what they cost.
    pub fn allows_bursts(&self) -> bool {
        self.flag(ALLOW_BURSTS)
    }

    /// The question of a statement, about a dataset.
    ///
    /// Errors: `INVALID_REQUEST` where the options of its accuracy do not go together.
    pub fn ask(&self, sql: String, dataset: String) -> Result<Ask> {
        let [error, relative, magnitude, confidence] =
            ["error", "relative_error", "magnitude", "confidence"].map(|name| self.number(name));
        let mechanism = self.0.get("mechanism").and_then(|name| mechanism(name));
        Ok(Ask {
            sql,
            dataset,
            purpose: self.text("purpose"),
            parameters: vec![],
            epsilon: self.text("epsilon"),
            delta: self.text("delta"),
            max_groups: self.number("max_groups_contributed").unwrap_or_default(),
            max_rows: self.number("max_rows_contributed").unwrap_or_default(),
            mechanism,
            accuracy: Accuracy::new(error, relative, magnitude, confidence).map_err(invalid)?,
            non_negative: self.flag("non_negative"),
            consistent: self.flag("consistent"),
        })
    }
}

fn mechanism(name: &str) -> Option<Mechanism> {
    match name {
        "automatic" => Some(Mechanism::Automatic),
        "laplace" => Some(Mechanism::Laplace),
        "gaussian" => Some(Mechanism::Gaussian),
        _ => None,
    }
}

/// Two names of one option, at the same time, would each mean it.
pub fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    match names.filter(|name| [CATALOG, DATASET].contains(name)).count() {
        0 | 1 => Ok(()),
        _ => Err(invalid(format!("{CATALOG} and {DATASET} are two names of one option: give one of them"))),
    }
}

/// What a value must be, where it is not.
fn wrong(name: &str, kind: Kind, value: &str) -> Option<&'static str> {
    let (right, wanted) = match kind {
        Kind::Name if name == SCHEMA => (value == DATA_SCHEMA, "main; name tables of the schema undertone with it"),
        Kind::Name => ((1..=MAX_VALUE).contains(&value.len()), "a name"),
        Kind::Amount => {
            let positive = value.parse().is_ok_and(|amount: Amount| !amount.is_zero());
            (positive && value.len() <= MAX_VALUE, "a number above 0, as 0.1")
        }
        Kind::Number => (value.parse().is_ok_and(|number: f64| number > 0.0 && number.is_finite()), "a number above 0"),
        Kind::Count => (value.parse().is_ok_and(|count: u64| count > 0), "a whole number above 0"),
        Kind::Mechanism => (mechanism(value).is_some(), "automatic, laplace or gaussian"),
        Kind::Flag => (value.parse::<bool>().is_ok(), "true or false"),
    };
    (!right).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataValue;

    #[test]
    fn options_are_known_and_of_their_kinds() {
        let mut options = Options::default();
        for (name, wrong, words, right) in [
            ("epsilon", "much", "above 0, as 0.1", "0.25"),
            ("epsilon", "0", "above 0", "1e-3"),
            ("error", "-1", "above 0", "5.5"),
            ("schema", "public", "must be main", "main"),
            ("mechanism", "uniform", "laplace", "gaussian"),
            ("max_groups_contributed", "1.5", "whole number", "4"),
            ("intervals", "yes", "true or false", "true"),
            ("purpose", "", "a name", "research"),
        ] {
            let e = options.set(name, Some(wrong.to_owned())).unwrap_err();
            assert!(e.message.contains(words) && e.message.contains(name), "{e}");
            options.set(name, Some(right.to_owned())).unwrap();
        }
        assert!(options.set("espilon", None).unwrap_err().message.contains("there is no option 'espilon'"));
        let ask = options.ask("SELECT 1".into(), "shop".into()).unwrap();
        assert_eq!((ask.epsilon.as_str(), ask.purpose.as_str(), ask.max_groups), ("1e-3", "research", 4));
        assert_eq!(ask.mechanism, Some(Mechanism::Gaussian));
        assert!(ask.accuracy.is_some() && options.intervals() && !options.allows_bursts());
        options.set("epsilon", None).unwrap();
        assert_eq!(options.ask(String::new(), String::new()).unwrap().epsilon, "");
    }

    #[test]
    fn a_header_goes_before_the_session() {
        let mut options = Options::default();
        options.set("dataset", Some("shop".into())).unwrap();
        options.set("epsilon", Some("0.5".into())).unwrap();
        let mut headers = MetadataMap::new();
        headers.insert("undertone-epsilon", "0.1".parse().unwrap());
        headers.insert("undertone-max-rows-contributed", "3".parse().unwrap());
        let both = options.clone().with_headers(&headers).unwrap();
        let ask = both.ask(String::new(), both.dataset()).unwrap();
        assert_eq!((ask.epsilon.as_str(), ask.max_rows, ask.dataset.as_str()), ("0.1", 3, "shop"));
        // What a ticket was priced with is what it is read with.
        let alone = Options::default().with_headers(&headers).unwrap();
        alone.agree_with(&both).unwrap();
        assert!(alone.agree_with(&options).unwrap_err().message.contains("epsilon is 0.1 here"));
        headers.append("undertone-epsilon", "0.2".parse().unwrap());
        assert!(options.clone().with_headers(&headers).unwrap_err().message.contains("must be one text"));
        headers.remove("undertone-epsilon");
        for (name, value) in [("undertone-budget", "9"), ("undertone-epsilon", ""), ("undertone-catalog", "shop")] {
            let mut wrong = headers.clone();
            wrong.insert("undertone-dataset", "shop".parse().unwrap());
            wrong.insert(name, value.parse().unwrap());
            assert!(options.clone().with_headers(&wrong).is_err(), "{name}");
        }
        headers.insert_bin("undertone-epsilon-bin", MetadataValue::from_bytes(b"1"));
        assert!(options.with_headers(&headers).is_err());
    }
}
