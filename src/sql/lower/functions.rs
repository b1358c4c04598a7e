//! Scalar functions, patterns and moments: their arguments are checked here, and what they mean is in [`crate::algebra::Function`].

use super::NODES_PER_SLOW;
use super::expr::{Scalars, Typed, interval, is_null, not};
use crate::algebra::calendar::DAY;
use crate::algebra::{
    Buckets, DatePart, DateUnit, Expr, Find, Function, Literal, Pattern, Scalar, Search, Type, is_format, replacement,
};
use crate::error::{Error, Result};
use crate::sql::analyse::wrong_arguments;
use datafusion::arrow::array::StringArray;
use datafusion::arrow::compute::kernels::comparison;
use datafusion::logical_expr::{Expr as DfExpr, Operator};

impl Scalars<'_> {
    /// A function by its name.
    pub fn function(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        match (name, args.len()) {
            ("coalesce", 1..) => {
                let mut args = args;
                let last = args.pop();
                args.iter().try_for_each(|(arg, _)| self.copies(arg, 1))?;
                let branches = args.into_iter().map(|arg| (not(is_null(arg.0.clone())), arg)).collect::<Vec<_>>();
                match (branches.is_empty(), last) {
                    (true, Some(only)) => Ok(only),
                    (_, last) => self.case(branches, last),
                }
            }
            ("greatest", 1..) => self.extreme(args, Operator::GtEq),
            ("least", 1..) => self.extreme(args, Operator::LtEq),
            ("nullif", 2) => {
                self.copies(&args[0].0, 2)?;
                let (value, ty) = args[0].clone();
                let equal = self.binary(args[0].clone(), Operator::Eq, args[1].clone())?.0;
                self.case(vec![(equal, (Expr::Literal(Literal::Null(ty)), ty))], Some((value, ty)))
            }
            ("concat", 1..) => {
                let texts = args.into_iter().map(|arg| self.or_empty(arg)).collect::<Result<Vec<_>>>()?;
                self.joined(texts)
            }
            ("concat_ws", 2..) => self.concat_with(args),
            ("regexp_like" | "regexp_count" | "regexp_instr" | "regexp_substr", 2 | 3) | ("regexp_replace", 3 | 4) => {
                self.regular(name, args)
            }
            (part @ ("year" | "quarter" | "month" | "day" | "hour" | "minute"), 1) => {
                let of = args.into_iter().next().ok_or_else(|| Error::internal("a field of nothing"))?;
                let known = DatePart::parse(part).ok_or_else(|| Error::internal("a field without a name"))?;
                Ok(applied(Function::Part(known), self.moment(part, of)?))
            }
            ("date_part", 2) if matches!(&args[0].0, Expr::Literal(Literal::Text(field)) if field.eq_ignore_ascii_case("epoch")) => {
                self.called("to_unixtime", args.into_iter().skip(1).collect())
            }
            ("to_char" | "date_format" | "strftime" | "to_date" | "strptime", 2)
                if matches!(&args[1].0, Expr::Literal(Literal::Text(format)) if !is_format(name, format)) =>
            {
                Err(self.unsupported(name, format!("the format of {name} has fields such as '%Y-%m-%d %H:%M:%S', and this one has none, or others than it knows")))
            }
            ("date_part", 2) => {
                let (part, of) = self.calendar(
                    name,
                    &args,
                    DatePart::parse,
                    "year, quarter, month, week, day, dow, isodow, doy, hour, minute, second or epoch",
                )?;
                Ok(applied(Function::Part(part), of))
            }
            ("date_trunc", 2) => {
                let (unit, of) = self.calendar(
                    name,
                    &args,
                    DateUnit::parse,
                    "year, quarter, month, week, day, hour, minute or second",
                )?;
                Ok(applied(Function::Start(unit), of))
            }
            ("width_bucket", 4) => {
                let number = |arg: &Typed| match &arg.0 {
                    Expr::Literal(Literal::Int(v)) => Some(*v as f64),
                    Expr::Literal(Literal::Float(v)) => Some(*v),
                    _ => None,
                };
                let count = match &args[3].0 {
                    Expr::Literal(Literal::Int(count)) => *count,
                    _ => 0,
                };
                let ends = number(&args[1]).zip(number(&args[2]));
                let buckets = ends.and_then(|(from, to)| Buckets::new(from, to, count)).ok_or_else(|| {
                    self.unsupported(name, "width_bucket(x, low, high, count) takes two different numbers and a whole number above 0, as literals")
                })?;
                match args.into_iter().next() {
                    Some((of, Type::Float)) => Ok(applied(Function::Bucket(buckets), of)),
                    Some((of, Type::Int)) => Ok(applied(Function::Bucket(buckets), of.cast(Type::Float))),
                    _ => Err(self.unsupported(name, "width_bucket needs a number")),
                }
            }
            _ => match Scalar::find(name) {
                Some(scalar) => self.scalar(scalar, args),
                None => Err(self.unsupported(name, format!("function {name} is not supported"))),
            },
        }
    }

    /// A function of the table, on arguments that it takes as they are or that lose nothing by being made so. Of constants it is one.
    pub fn scalar(&self, scalar: &'static Scalar, args: Vec<Typed>) -> Result<Typed> {
        let is_null = |e: &Expr| matches!(e, Expr::Literal(l) if l.is_null());
        let types: Vec<_> = args.iter().map(|(e, ty)| (!is_null(e)).then_some(*ty)).collect();
        let call = scalar.overload(&types).ok_or_else(|| self.unsupported(scalar.name, wrong_arguments(scalar)))?;
        if call.is_slow() {
            self.lowering.spend(NODES_PER_SLOW)?;
        }
        let fit = |((e, from), to): (Typed, &Type)| match e {
            Expr::Literal(literal) => Expr::Literal(widened(literal, *to)),
            e if from == *to => e,
            e => e.cast(*to),
        };
        let overload = call.overload();
        let args: Vec<Expr> = args.into_iter().zip(overload.takes).map(fit).collect();
        let literals = args.iter().map(|arg| if let Expr::Literal(l) = arg { Some(l) } else { None });
        Ok(match literals.collect::<Option<Vec<_>>>() {
            Some(literals) => (Expr::Literal(call.of_literals(&literals)), overload.gives),
            None => (Expr::Call(call, args), overload.gives),
        })
    }

    /// The function of this name.
    pub fn called(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let scalar = Scalar::find(name).ok_or_else(|| Error::internal(format!("no function {name}")))?;
        self.scalar(scalar, args)
    }

    /// A value as a text.
    pub fn text(&self, (value, ty): Typed) -> Result<Typed> {
        match (value, ty) {
            (value, Type::Text) => Ok((value, ty)),
            (Expr::Literal(l), _) if l.is_null() => Ok((Expr::Literal(Literal::Null(Type::Text)), Type::Text)),
            (value, Type::Date) => self.called("date_text", vec![(value, ty)]),
            (value, Type::Timestamp) => self.called("timestamp_text", vec![(value, ty)]),
            (value, _) => Ok((value.cast(Type::Text), Type::Text)),
        }
    }

    /// A value as a text, of which NULL is an empty one.
    fn or_empty(&self, value: Typed) -> Result<Typed> {
        let empty = (Expr::Literal(Literal::Text(String::new())), Type::Text);
        match self.text(value)? {
            (Expr::Literal(literal), _) if literal.is_null() => Ok(empty),
            (Expr::Literal(literal), ty) => Ok((Expr::Literal(literal), ty)),
            text => self.function("coalesce", vec![text, empty]),
        }
    }

    /// Texts one after the other.
    fn joined(&self, texts: Vec<Typed>) -> Result<Typed> {
        let mut texts = texts.into_iter();
        let first = texts.next().ok_or_else(|| Error::internal("nothing is joined"))?;
        texts.try_fold(first, |before, text| self.called("text_concat", vec![before, text]))
    }

    /// Texts with a separator between those that are not NULL: what begins with one loses it.
    fn concat_with(&self, args: Vec<Typed>) -> Result<Typed> {
        let mut args = args.into_iter();
        let separator = match args.next() {
            Some((Expr::Literal(Literal::Text(separator)), _)) => (Expr::Literal(Literal::Text(separator)), Type::Text),
            _ => return Err(self.unsupported("concat_ws", "the separator of concat_ws must be a literal")),
        };
        let parts = args.map(|arg| {
            let text = self.text(arg)?;
            self.or_empty(self.called("text_concat", vec![separator.clone(), text])?)
        });
        let all = self.joined(parts.collect::<Result<Vec<_>>>()?)?;
        let length = self.called("length", vec![separator])?;
        let after = self.binary(length, Operator::Plus, (Expr::Literal(Literal::Int(1)), Type::Int))?;
        self.called("substr", vec![all, after])
    }

    /// The functions of regular expressions, which are constants.
    fn regular(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let constant = |at: usize| match args.get(at).map(|(e, _)| e) {
            None => Ok(String::new()),
            Some(Expr::Literal(Literal::Text(text))) => Ok(text.clone()),
            Some(_) => Err(self.unsupported(
                name,
                format!("the expression, flags and replacement of {name} must be texts, as literals"),
            )),
        };
        let (pattern, flags) = (constant(1)?, constant(if name == "regexp_replace" { 3 } else { 2 })?);
        let (find, flags) = match name {
            "regexp_count" => (Find::Count, flags),
            "regexp_instr" => (Find::Position, flags),
            "regexp_substr" => (Find::First, flags),
            "regexp_replace" => {
                (Find::Replaced { with: replacement(&constant(2)?), all: flags.contains('g') }, flags.replace('g', ""))
            }
            _ => (Find::Any, flags),
        };
        let of = args.first().cloned().ok_or_else(|| Error::internal("a search in nothing"))?;
        self.search(name, of, || Search::new(&pattern, &flags, find))
    }

    /// What an expression finds in a text.
    fn search(
        &self,
        word: &str,
        (of, ty): Typed,
        search: impl FnOnce() -> std::result::Result<Search, &'static str>,
    ) -> Result<Typed> {
        self.lowering.spend(NODES_PER_SLOW)?;
        let search = search().map_err(|why| self.unsupported(word, why))?;
        if ty != Type::Text {
            return Err(self.unsupported(word, format!("{word} needs a VARCHAR, not {}: add a CAST", ty.sql())));
        }
        Ok(applied(Function::Search(search), of))
    }

    /// `text SIMILAR TO pattern`, and PostgreSQL's `text ~ expression`, with constants.
    pub fn matches(&self, word: &str, text: Typed, pattern: Typed) -> Result<Expr> {
        let pattern = match pattern.0 {
            Expr::Literal(Literal::Text(pattern)) => pattern,
            Expr::Literal(l) if l.is_null() => return Ok(Expr::Literal(Literal::Null(Type::Bool))),
            _ => return Err(self.unsupported(word, "the pattern must be a literal")),
        };
        let search = || match word {
            "similar" => Search::similar(&pattern),
            _ => Search::new(&pattern, if word.contains('*') { "i" } else { "" }, Find::Any),
        };
        Ok(self.search(word, text, search)?.0)
    }

    /// The first argument that is not NULL and of which `beats` holds against each other one that is not; NULL where all are.
    fn extreme(&self, args: Vec<Typed>, beats: Operator) -> Result<Typed> {
        args.iter().try_for_each(|(arg, _)| self.copies(arg, 3 * args.len()))?;
        let wins = |(at, arg): (usize, &Typed)| {
            let mut condition = vec![not(is_null(arg.0.clone()))];
            for other in args.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other) {
                let beaten = self.binary(arg.clone(), beats, other.clone())?.0;
                condition.push(Expr::or(vec![is_null(other.0.clone()), beaten]));
            }
            Ok((Expr::and(condition), arg.clone()))
        };
        let branches = args.iter().enumerate().map(wins).collect::<Result<Vec<_>>>()?;
        self.case(branches, None)
    }

    /// A moment plus or minus an interval: first its months, then its days, then the rest.
    pub fn shifted(&self, left: &DfExpr, op: Operator, right: &DfExpr, depth: usize) -> Result<Typed> {
        let refuse = |message: &str| self.unsupported("interval", message);
        let (moment, step, sign) = match (op, interval(left), interval(right)) {
            (Operator::Plus, _, Some(step)) => (left, step, 1),
            (Operator::Minus, _, Some(step)) => (left, step, -1),
            (Operator::Plus, Some(step), None) => (right, step, 1),
            _ => return Err(refuse("an INTERVAL is added to a date or timestamp, or taken from one")),
        };
        let (months, days, nanos) = (i64::from(step.months), i64::from(step.days), step.nanoseconds);
        if nanos % 1000 != 0 {
            return Err(refuse("a timestamp has microseconds: an INTERVAL of less is lost"));
        }
        let mut moved = self.expr(moment, depth + 1)?;
        // With a time, a date is its first moment.
        if nanos != 0 && moved.1 == Type::Date {
            moved = (self.moment("interval", moved)?, Type::Timestamp);
        }
        if !matches!(moved.1, Type::Date | Type::Timestamp) {
            return Err(refuse("an INTERVAL goes with a date or timestamp, as in x - INTERVAL '90 days'"));
        }
        for (name, count) in [("add_months", months), ("add_days", days), ("add_micros", nanos / 1000)] {
            if count != 0 {
                moved = self.called(name, vec![moved, (Expr::Literal(Literal::Int(sign * count)), Type::Int)])?;
            }
        }
        match moved {
            (Expr::Literal(literal), _) if literal.is_null() => {
                Err(refuse("this moment is outside of the years 1 to 9999"))
            }
            moved => Ok(moved),
        }
    }

    /// A constant pattern with backslashes in the place of another character that takes the meaning of the next one away.
    pub fn with_backslashes(
        &self,
        pattern: Typed,
        escape: Option<char>,
        has_meaning: impl Fn(char) -> bool,
    ) -> Result<Typed> {
        let (escape, text) = match (escape, pattern) {
            (Some(escape), (Expr::Literal(Literal::Text(text)), _)) => (escape, text),
            (_, pattern) => return Ok(pattern),
        };
        let (mut written, mut characters) = (String::new(), text.chars());
        while let Some(character) = characters.next() {
            if character == escape {
                let next = characters.next().ok_or_else(|| {
                    self.unsupported("escape", "the pattern ends with the ESCAPE character, which stands for nothing")
                })?;
                if has_meaning(next) {
                    written.push('\\');
                }
                written.push(next);
            } else if character == '\\' {
                written += "\\\\";
            } else {
                written.push(character);
            }
        }
        Ok((Expr::Literal(Literal::Text(written)), Type::Text))
    }

    /// LIKE with a constant pattern.
    pub fn like(&self, text: Typed, pattern: Typed, ignore_case: bool) -> Result<Expr> {
        let word = if ignore_case { "ilike" } else { "like" };
        let (of, pattern) = match (text, pattern) {
            ((_, Type::Text), (Expr::Literal(pattern), _)) if pattern.is_null() => {
                return Ok(Expr::Literal(Literal::Null(Type::Bool)));
            }
            ((of, Type::Text), (Expr::Literal(Literal::Text(text)), _)) => (of, Pattern { text, ignore_case }),
            ((_, Type::Text), _) => return Err(self.unsupported(word, "the pattern of LIKE must be a literal")),
            ((_, other), _) => return Err(self.unsupported(word, format!("LIKE needs a VARCHAR, not {}", other.sql()))),
        };
        // What the kernel has against a pattern does not depend on texts.
        let (empty, scalar) = (StringArray::from_iter_values([""]), StringArray::new_scalar(&pattern.text));
        if comparison::ilike(&empty, &scalar).is_err() || comparison::like(&empty, &scalar).is_err() {
            return Err(self.unsupported(word, "this pattern of LIKE is not valid or too long"));
        }
        Ok(applied(Function::Like(pattern), of).0)
    }

    /// date_bin(INTERVAL '15 minutes', x [, origin]): the start of the step that holds x, counted from the origin (1970-01-01).
    pub fn date_bin(&self, step: &DfExpr, rest: Vec<Typed>) -> Result<Typed> {
        let length = match interval(step) {
            Some(step) if step.months == 0 => {
                let length = i128::from(step.days) * i128::from(DAY) + i128::from(step.nanoseconds) / 1000;
                i64::try_from(length).ok().filter(|length| *length > 0 && step.nanoseconds % 1000 == 0)
            }
            _ => None,
        };
        let length = length.ok_or_else(|| {
            self.unsupported("date_bin", "date_bin takes an INTERVAL of days and shorter parts as a literal, above 0: months differ in length, so use date_trunc for them")
        })?;
        let mut rest = rest.into_iter();
        let of = rest.next().ok_or_else(|| Error::internal("date_bin without a value"))?;
        let origin = match rest.next() {
            None => 0,
            Some((Expr::Literal(Literal::Timestamp(micros)), _)) => micros,
            Some((Expr::Literal(Literal::Date(days)), _)) => i64::from(days) * DAY,
            Some(_) => {
                return Err(self.unsupported(
                    "date_bin",
                    "the origin of date_bin must be a literal such as TIMESTAMP '2026-01-01 00:00:00'",
                ));
            }
        };
        let of = self.moment("date_bin", of)?;
        Ok(applied(Function::Start(DateUnit::Steps { length, origin }), of))
    }

    /// A date is the moment at which it begins.
    fn moment(&self, name: &str, value: Typed) -> Result<Expr> {
        match value {
            (of, Type::Timestamp) => Ok(of),
            (Expr::Literal(literal), Type::Date) => Ok(Expr::Literal(widened(literal, Type::Timestamp))),
            (of, Type::Date) => Ok(of.cast(Type::Timestamp)),
            (_, other) => {
                Err(self.unsupported(name, format!("{name} needs a DATE or a TIMESTAMP, not {}", other.sql())))
            }
        }
    }

    /// The named field or unit, and the timestamp that it is asked of.
    fn calendar<T>(&self, name: &str, args: &[Typed], parse: fn(&str) -> Option<T>, known: &str) -> Result<(T, Expr)> {
        let named = match &args[0].0 {
            Expr::Literal(Literal::Text(text)) => parse(text),
            _ => None,
        };
        let named =
            named.ok_or_else(|| self.unsupported(name, format!("{name} takes one of {known}, as a literal")))?;
        Ok((named, self.moment(name, args[1].clone())?))
    }
}

fn applied(function: Function, to: Expr) -> Typed {
    let ty = function.result();
    (Expr::Apply(function, Box::new(to)), ty)
}

/// A constant as one of a type that it loses nothing in.
fn widened(literal: Literal, to: Type) -> Literal {
    match literal {
        Literal::Null(_) => Literal::Null(to),
        Literal::Int(v) if to == Type::Float => Literal::float(v as f64),
        Literal::Date(days) if to == Type::Timestamp => Literal::Timestamp(i64::from(days) * DAY),
        same => same,
    }
}
