//! Scalar functions: each is one definition, from which come its name in SQL, its types, what it computes, the bounds of its results and its
//! entry in the reference (`docs/functions.md`).
//!
//! All are *total*: there is a result, or NULL, for every argument, in time and memory that its length and [`MAX_TEXT_BYTES`] bound.
//! None depends on anything but its arguments. NULL among the arguments makes the result NULL.

mod bits;
mod digest;
mod math;
mod text;
mod time;

pub use time::is_format;

use super::{Bounds, Literal, MAX_TEXT_BYTES, Type};
use std::borrow::Cow;
use std::fmt;

/// An argument or a result that is not NULL. It may be a private one, so it cannot be printed.
#[derive(Clone, PartialEq)]
pub enum Value<'a> {
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bool(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00.
    Timestamp(i64),
}

impl<'a> Value<'a> {
    /// None is NULL.
    pub fn of(literal: &'a Literal) -> Option<Value<'a>> {
        match literal {
            Literal::Null(_) => None,
            Literal::Int(v) => Some(Value::Int(*v)),
            Literal::Float(v) => Some(Value::Float(*v)),
            Literal::Text(v) => Some(Value::Text(Cow::Borrowed(v))),
            Literal::Bool(v) => Some(Value::Bool(*v)),
            Literal::Date(v) => Some(Value::Date(*v)),
            Literal::Timestamp(v) => Some(Value::Timestamp(*v)),
        }
    }

    pub fn literal(self) -> Literal {
        match self {
            Value::Int(v) => Literal::Int(v),
            Value::Float(v) => Literal::float(v),
            Value::Text(v) => Literal::Text(v.into_owned()),
            Value::Bool(v) => Literal::Bool(v),
            Value::Date(v) => Literal::Date(v),
            Value::Timestamp(v) => Literal::Timestamp(v),
        }
    }
}

/// A function, with its meaning for people.
pub struct Scalar {
    pub name: &'static str,
    /// Other names of the same.
    pub aliases: &'static [&'static str],
    pub overloads: &'static [Overload],
    /// What it gives, and what it does at its edges.
    pub about: &'static str,
    /// How it is written, for example `lpad(text, length [, fill])`.
    pub form: &'static str,
}

/// A function on arguments of these types.
pub struct Overload {
    pub takes: &'static [Type],
    pub gives: Type,
    /// None is NULL. The arguments are of the types of `takes`.
    pub of: fn(&[Value]) -> Option<Value<'static>>,
    /// Bounds of all results that are not NULL or NaN, where they follow from those of the arguments. Texts and Booleans have none.
    pub bounds: fn(&[Option<Bounds>]) -> Option<Bounds>,
}

impl Scalar {
    /// By any of its names.
    pub fn find(name: &str) -> Option<&'static Scalar> {
        Scalar::all().find(|scalar| scalar.name == name || scalar.aliases.contains(&name))
    }

    /// All functions, by kind.
    pub fn kinds() -> [(&'static str, &'static [Scalar]); 5] {
        [
            ("Numbers", math::ALL),
            ("Bits", bits::ALL),
            ("Texts", text::ALL),
            ("Digests", digest::ALL),
            ("Dates and timestamps", time::ALL),
        ]
    }

    pub fn all() -> impl Iterator<Item = &'static Scalar> + Clone {
        Scalar::kinds().into_iter().flat_map(|(_, scalars)| scalars)
    }

    /// The first overload that takes arguments of these types (None is any), exactly or after what loses nothing: whole numbers as fractions,
    /// dates as the moments at which they begin.
    pub fn overload(&'static self, types: &[Option<Type>]) -> Option<ScalarCall> {
        let fits = |widened: bool| {
            let fit = |(wanted, given): (&Type, &Option<Type>)| match given {
                None => true,
                Some(given) if given == wanted => true,
                Some(given) => {
                    widened && matches!((given, wanted), (Type::Int, Type::Float) | (Type::Date, Type::Timestamp))
                }
            };
            let takes =
                |overload: &Overload| overload.takes.len() == types.len() && overload.takes.iter().zip(types).all(fit);
            self.overloads.iter().position(takes)
        };
        fits(false).or_else(|| fits(true)).map(|at| ScalarCall { scalar: self, at })
    }
}

/// A function on arguments of certain types.
#[derive(Clone, Copy)]
pub struct ScalarCall {
    scalar: &'static Scalar,
    at: usize,
}

impl ScalarCall {
    pub fn name(self) -> &'static str {
        self.scalar.name
    }

    pub fn overload(self) -> &'static Overload {
        &self.scalar.overloads[self.at]
    }

    /// Whether it may take time for each pair of characters of two texts.
    pub fn is_slow(self) -> bool {
        let overload = self.overload();
        overload.gives == Type::Int && overload.takes.iter().filter(|ty| **ty == Type::Text).count() > 1
    }

    /// Of constants.
    pub fn of_literals(self, arguments: &[&Literal]) -> Literal {
        let overload = self.overload();
        let values = arguments.iter().map(|literal| Value::of(literal)).collect::<Option<Vec<_>>>();
        values.and_then(|values| (overload.of)(&values)).map_or(Literal::Null(overload.gives), Value::literal)
    }
}

impl fmt::Debug for ScalarCall {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.scalar.name, self.at)
    }
}

impl PartialEq for ScalarCall {
    fn eq(&self, other: &ScalarCall) -> bool {
        (self.scalar.name, self.at) == (other.scalar.name, other.at)
    }
}

impl Eq for ScalarCall {}

impl std::hash::Hash for ScalarCall {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.scalar.name, self.at).hash(state);
    }
}

/// A finite number: what a function of finite numbers gives that is not finite is NULL. Of arguments that are not finite any result is as IEEE
/// 754 has it.
fn number(result: f64, arguments: &[f64]) -> Option<Value<'static>> {
    (result.is_finite() || arguments.iter().any(|x| !x.is_finite())).then_some(Value::Float(result))
}

/// A text that is not too long.
pub(super) fn short(text: String) -> Option<Value<'static>> {
    (text.len() <= MAX_TEXT_BYTES).then_some(Value::Text(Cow::Owned(text)))
}

/// No bounds.
fn unknown(_: &[Option<Bounds>]) -> Option<Bounds> {
    None
}
