//! The parser, and syntax that DataFusion would read and silently ignore.

use super::clause::{Written, cut};
use super::constant::fold_decimals;
use super::functions::check_function;
use super::limits::{MAX_BYTES, MAX_DEPTH, MAX_OPERATORS, MAX_TOKENS, depth, too_deep};
use super::locate::{Locator, position};
use super::marks::{Asked, mark};
use super::parameters::{Parameters, number};
use crate::error::{Code, Error, Position, Result};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, Function, GroupByExpr, NamedWindowDefinition, NamedWindowExpr, Query, Select,
    SetExpr, SetOperator, SetQuantifier, Spanned, Statement, TableFactor, Visit, Visitor, WindowType,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// One SELECT and the places of its words.
pub struct Fenced {
    pub query: Box<Query>,
    pub locator: Locator,
    pub asked: Asked,
}

/// Parses exactly one query within the limits, and puts the values of its parameters in their places.
pub fn parse(text: &str, parameters: &Parameters) -> Result<Fenced> {
    let (mut query, locator, clauses) = read(text, parameters)?;
    parameters.bind(&mut query);
    fold_decimals(&mut query);
    let asked = mark(&mut query, clauses, parameters)?;
    Ok(Fenced { query, locator, asked })
}

/// The same with its parameters in their places, each as `$1`, `$2`, ...; `parameters` are as many as it has.
pub fn read(text: &str, parameters: &Parameters) -> Result<(Box<Query>, Locator, Vec<Written>)> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(Code::SqlTooLong, format!("the statement has more than {MAX_BYTES} bytes")));
    }
    let dialect = GenericDialect {};
    let mut tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|e| Error::new(Code::Syntax, sentence(&e.message)).or_at(position(e.location)))?;
    let count = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).count();
    if count > MAX_TOKENS {
        let message = format!(
            "the statement has {count} tokens, more than {MAX_TOKENS}; use IN (...) or a join in place of long conditions"
        );
        return Err(Error::new(Code::SqlTooLong, message));
    }
    let mut locator = Locator::new(&tokens);
    if depth(&tokens) > MAX_DEPTH {
        return Err(too_deep());
    }
    number(&mut tokens, parameters)?;
    let (tokens, clauses) = cut(tokens, MAX_DEPTH)?;
    let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_DEPTH).with_tokens_with_locations(tokens);
    let mut statements = parser.parse_statements().map_err(syntax_error)?;
    match (statements.pop(), statements.pop()) {
        (None, _) => Err(Error::new(Code::Syntax, "the statement is empty; write one SELECT")),
        (Some(second), Some(_)) => {
            Err(Error::new(Code::UnsupportedSql, "one statement at a time: send each SELECT as its own question")
                .or_at(position(second.span().start)))
        }
        (Some(Statement::Query(query)), None) => {
            locator.outer = position(query.body.span().start);
            check(&query, &locator)?;
            Ok((query, locator, clauses))
        }
        (Some(other), None) => {
            let word = other.to_string().split_whitespace().next().unwrap_or_default().to_uppercase();
            let message =
                format!("{word} is not a question: only SELECT is answered, and nothing can be changed through SQL");
            Err(Error::new(Code::UnsupportedSql, message).or_at(locator.find(&word)))
        }
    }
}

fn syntax_error(e: ParserError) -> Error {
    match e {
        ParserError::RecursionLimitExceeded => too_deep(),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let (message, at) = split_position(&message);
            Error::new(Code::Syntax, sentence(message)).or_at(at)
        }
    }
}

/// The parser ends its messages with " at Line: 1, Column: 8".
fn split_position(message: &str) -> (&str, Option<Position>) {
    let parsed = message.rsplit_once(" at Line: ").and_then(|(rest, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((rest, Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? }))
    });
    match parsed {
        Some((rest, at)) => (rest, Some(at)),
        None => (message, None),
    }
}

/// The parser's own words, which quote the text and never data, as the start of a sentence in lower case.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn check(query: &Query, locator: &Locator) -> Result<()> {
    match query.visit(&mut Fence::new(locator)) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Fence<'a> {
    locator: &'a Locator,
    /// Expressions that are open, runs of AND and OR aside: those become flat, other runs cost planning time.
    depth: usize,
    /// Subqueries in expressions that are open.
    subqueries: usize,
    /// Window functions so far.
    windows: usize,
    /// SELECTs, VALUES lists and tables so far, as written.
    written: usize,
    /// The same with each WITH query counted at its uses, and not where it is defined.
    parts: usize,
    /// Parts before each open query.
    before: Vec<usize>,
    /// The WITH queries of open queries, by address, with their names.
    defined: Vec<(*const Query, String)>,
    /// Parts of each WITH query; of several with one name the largest.
    weights: HashMap<String, usize>,
}

/// Most SELECTs, VALUES lists and tables of one statement, as written and with WITH queries written out: planning costs their square,
/// and a short chain of WITH queries that each use the one before twice could become anything.
pub const MAX_PARTS: usize = 100;

/// Deepest nesting of subqueries in expressions: making joins of them costs 2^n where they nest n deep.
const MAX_SUBQUERIES: usize = 6;

/// The planner drops the window that another one names.
const BUILDS_ON_ANOTHER: &str = "a window that builds on another one is not supported: write all of it out";

/// Most window functions: each is a sort, and planning costs their square.
const MAX_WINDOWS: usize = 64;

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. })
}

fn is_flat(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

impl Fence<'_> {
    fn refuse(&self, word: &str, message: &str) -> ControlFlow<Error> {
        ControlFlow::Break(Error::new(Code::UnsupportedSql, message).or_at(self.locator.find(word)))
    }

    fn new(locator: &Locator) -> Fence<'_> {
        let (before, defined, weights) = (Vec::new(), Vec::new(), HashMap::new());
        Fence { locator, depth: 0, subqueries: 0, windows: 0, written: 0, parts: 0, before, defined, weights }
    }

    /// Counts one more part, and what it stands for.
    fn part(&mut self, written_out: usize) -> ControlFlow<Error> {
        self.written += 1;
        self.parts = self.parts.saturating_add(1 + written_out);
        if self.written.max(self.parts) > MAX_PARTS {
            let message = format!(
                "the statement has more than {MAX_PARTS} SELECTs and tables, each WITH query counted wherever it is used: split the question"
            );
            return ControlFlow::Break(Error::new(Code::SqlTooLong, message));
        }
        ControlFlow::Continue(())
    }

    /// A query's body. Those of subqueries in brackets are visited by themselves.
    fn body(&mut self, body: &SetExpr) -> ControlFlow<Error> {
        match body {
            SetExpr::Select(select) => {
                self.part(0)?;
                self.select(select)
            }
            SetExpr::SetOperation { op, left, right, set_quantifier } => {
                if !matches!(set_quantifier, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None) {
                    return self.refuse("by", "UNION BY NAME is not supported: name the columns in the same order");
                }
                if *op != SetOperator::Union && *set_quantifier == SetQuantifier::All {
                    let message = format!("{op} ALL is not supported: {op} compares distinct rows");
                    return self.refuse(&op.to_string(), &message);
                }
                self.body(left)?;
                self.body(right)
            }
            SetExpr::Query(_) => ControlFlow::Continue(()),
            SetExpr::Values(_) => self.part(0),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => {
                self.refuse("with", "only SELECT is answered, and nothing can be changed through SQL")
            }
        }
    }

    fn select(&self, select: &Select) -> ControlFlow<Error> {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection: _,
            exclude,
            into,
            from: _,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor: _,
        } = select;
        if matches!(distinct, Some(Distinct::On(_))) {
            return self.refuse("on", "DISTINCT ON is not supported: use GROUP BY");
        }
        if into.is_some() {
            return self.refuse("into", "SELECT INTO is not supported: nothing can be written through SQL");
        }
        if top.is_some() {
            return self.refuse("top", "TOP is not supported: write LIMIT at the end");
        }
        if matches!(group_by, GroupByExpr::All(_)) {
            return self.refuse("all", "GROUP BY ALL is not supported: name the keys");
        }
        if let GroupByExpr::Expressions(_, modifiers) = group_by
            && !modifiers.is_empty()
        {
            return self.refuse("with", "GROUP BY ... WITH is not supported: write ROLLUP (...) or CUBE (...)");
        }
        let builds_on_another = |definition: &NamedWindowDefinition| match &definition.1 {
            NamedWindowExpr::NamedWindow(_) => true,
            NamedWindowExpr::WindowSpec(spec) => spec.window_name.is_some(),
        };
        if named_window.iter().any(builds_on_another) {
            return self.refuse("window", BUILDS_ON_ANOTHER);
        }
        let ignored = !optimizer_hints.is_empty()
            || select_modifiers.is_some()
            || exclude.is_some()
            || !lateral_views.is_empty()
            || prewhere.is_some()
            || !connect_by.is_empty()
            || !cluster_by.is_empty()
            || !distribute_by.is_empty()
            || !sort_by.is_empty()
            || value_table_mode.is_some();
        if ignored {
            return self.refuse("select", "this SELECT has a clause of another dialect that is not supported");
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Fence<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let Query {
            with,
            body,
            order_by: _,
            limit_clause: _,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if with.as_ref().is_some_and(|w| w.recursive) {
            return self.refuse("recursive", "WITH RECURSIVE is not supported: write the levels out as joins");
        }
        if fetch.is_some() {
            return self.refuse("fetch", "FETCH is not supported: write LIMIT");
        }
        if !locks.is_empty() || for_clause.is_some() {
            return self.refuse("for", "FOR ... is not supported: a question changes nothing and locks nothing");
        }
        if settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty() {
            return self.refuse("select", "SETTINGS, FORMAT and pipe operators are not supported");
        }
        self.before.push(self.parts);
        for cte in with.iter().flat_map(|w| &w.cte_tables) {
            self.defined.push((cte.query.as_ref(), cte.alias.name.value.to_lowercase()));
        }
        self.body(body)
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let before = self.before.pop().unwrap_or(0);
        if let Some(at) = self.defined.iter().rposition(|(defined, _)| std::ptr::eq(*defined, query)) {
            let (_, name) = self.defined.swap_remove(at);
            let weight = self.weights.entry(name).or_insert(0);
            *weight = (*weight).max(self.parts - before);
            self.parts = before;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let written_out = match factor {
            TableFactor::Table { name, .. } => self.weights.get(&name.to_string().to_lowercase()).copied().unwrap_or(0),
            _ => 0,
        };
        self.part(written_out)?;
        match factor {
            TableFactor::Table {
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                if sample.is_some() {
                    return self.refuse(
                        "tablesample",
                        "TABLESAMPLE is not supported: all rows are read, and bounds sample what is needed",
                    );
                }
                if args.is_some() {
                    return self.refuse("from", "table functions are not supported: name a table of the dataset");
                }
                if version.is_some() {
                    return self.refuse("for", "reading an older version of a table is not supported");
                }
                if !with_hints.is_empty()
                    || *with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || !index_hints.is_empty()
                {
                    return self.refuse("from", "table hints and partitions are not supported: name the table alone");
                }
                ControlFlow::Continue(())
            }
            TableFactor::Derived { lateral: false, sample: None, .. } | TableFactor::NestedJoin { .. } => {
                ControlFlow::Continue(())
            }
            TableFactor::Derived { lateral: true, .. } => {
                self.refuse("lateral", "LATERAL is not supported: join on the privacy unit")
            }
            _ => self.refuse("from", "only tables, subqueries and joins can stand in FROM"),
        }
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.depth -= usize::from(!is_flat(expr));
        self.subqueries -= usize::from(is_subquery(expr));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.depth += usize::from(!is_flat(expr));
        if self.depth > MAX_OPERATORS {
            return ControlFlow::Break(too_deep().or_at(position(expr.span().start)));
        }
        let at = |e: Error| ControlFlow::Break(e.or_at(position(expr.span().start)));
        self.subqueries += usize::from(is_subquery(expr));
        if self.subqueries > MAX_SUBQUERIES {
            let message = format!("subqueries in expressions nest deeper than {MAX_SUBQUERIES} levels: use WITH");
            return at(Error::new(Code::SqlTooDeep, message));
        }
        self.windows += usize::from(matches!(expr, Expr::Function(function) if function.over.is_some()));
        if self.windows > MAX_WINDOWS {
            return at(Error::new(
                Code::SqlTooLong,
                format!("the question has more than {MAX_WINDOWS} window functions: split it"),
            ));
        }
        let refuse = |message: &str| at(Error::new(Code::UnsupportedSql, message));
        match expr {
            Expr::Function(Function { over: Some(WindowType::WindowSpec(spec)), .. }) if spec.window_name.is_some() => {
                refuse(BUILDS_ON_ANOTHER)
            }
            Expr::Function(function) => match check_function(function) {
                Some(message) => at(Error::new(Code::UnsupportedSql, message)),
                None => ControlFlow::Continue(()),
            },
            Expr::AnyOp { .. } | Expr::AllOp { .. } => refuse("ANY and ALL are not supported: use a join or IN (...)"),
            Expr::Interval(interval)
                if !matches!(interval.value.as_ref(), Expr::Value(_))
                    || interval.leading_precision.is_some()
                    || interval.last_field.is_some()
                    || interval.fractional_seconds_precision.is_some() =>
            {
                refuse(
                    "INTERVAL takes a literal and one unit, as in INTERVAL '90' DAY, or both in one text, INTERVAL '1 day 12 hours'",
                )
            }
            Expr::RLike { .. } => refuse("RLIKE is not supported: write regexp_like(x, '...') or x LIKE '...'"),
            Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => {
                refuse("LIKE ANY is not supported: write x LIKE ... OR x LIKE ...")
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::TRIED_TWICE;
    use super::*;

    fn parse(text: &str) -> Result<Fenced> {
        super::parse(text, &Parameters(&[]))
    }

    fn refused(text: &str) -> Error {
        parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"))
    }

    #[test]
    fn limits_hold_before_anything_recurses() {
        let nested = format!("SELECT {}1{}", "(".repeat(4_000), ")".repeat(4_000));
        assert_eq!(refused(&nested).code, Code::SqlTooDeep);
        assert_eq!(refused(&format!("SELECT {} true", "NOT ".repeat(5_000))).code, Code::SqlTooDeep);
        let or = format!("SELECT count(*) FROM t WHERE {}", vec!["x = 1"; 20_000].join(" OR "));
        assert_eq!(refused(&or).code, Code::SqlTooLong);
        assert_eq!(refused(&format!("SELECT '{}'", "x".repeat(MAX_BYTES))).code, Code::SqlTooLong);
    }

    /// Every word that the parser knows, and every operator, over and over: a refusal, within a share of a question's stack that is as
    /// large as the text's share of the most tokens.
    #[test]
    fn no_word_repeated_overflows_a_stack() {
        let words = datafusion::sql::sqlparser::keywords::ALL_KEYWORDS.iter().copied();
        let operators = [
            "-", "+", "~", "!", "@", "!!", "|/", "||/", "<", ">", "::", ":", "->", "=>", ".", "?", "[", "{", "(",
            "<a ", "#",
        ];
        let shapes: [fn(&str) -> String; 6] = [
            |word| format!("SELECT {} 1", format!("{word} ").repeat(1_600)),
            |word| format!("SELECT {} 1", format!("{word} a ").repeat(800)),
            |word| format!("SELECT CAST(1 AS {}", format!("{word}<a ").repeat(530)),
            |word| format!("SELECT CAST(1 AS {}", format!("{word}<").repeat(800)),
            |word| format!("SELECT 1 FROM t {}", format!("{word} t ").repeat(800)),
            |word| format!("SELECT 1 {} 1", format!("{word} 1 ").repeat(800)),
        ];
        let all: Vec<String> = words.chain(operators).map(str::to_owned).collect();
        let work = move || {
            for word in &all {
                for shape in shapes {
                    // Whatever is said: what matters is that something is.
                    let _ = parse(&shape(word));
                }
            }
        };
        std::thread::Builder::new().stack_size(10 << 20).spawn(work).unwrap().join().unwrap();
    }

    /// Words that the parser tries twice cost 2^n where they nest n deep, so they may not nest deep; the same text with a mistake in it is
    /// refused as fast as any.
    #[test]
    fn what_is_tried_twice_does_not_nest_deep() {
        for word in TRIED_TWICE.map(|word| format!("{word:?}")) {
            for text in [format!("{word}(").repeat(10), format!("{word}(").repeat(40)] {
                assert_eq!(refused(&format!("SELECT {text}1")).code, Code::SqlTooDeep, "{word}");
            }
        }
        let cases = "CASE end WHEN 1 THEN ".repeat(40);
        assert_eq!(refused(&format!("SELECT {cases} 1")).code, Code::SqlTooDeep);
        let types = "STRUCT<end ".repeat(2_400);
        assert_eq!(refused(&format!("SELECT CAST(v AS {types}")).code, Code::SqlTooDeep);
        // What people write nests less.
        let casts = "CAST(".repeat(7) + "a" + &" AS BIGINT)".repeat(7);
        assert!(parse(&format!("SELECT {casts} FROM t WHERE NOT (a = 1 AND NOT (b = 2 OR NOT (c = 3)))")).is_ok());
        let case = "CASE WHEN a > 1 THEN 1 ELSE ".repeat(12) + "0" + &" END".repeat(12);
        assert!(parse(&format!("SELECT {case} FROM t")).is_ok());
    }

    #[test]
    fn subqueries_in_expressions_do_not_nest_deep() {
        let nested =
            |depth| format!("SELECT 1 WHERE {}1 = 1{}", "EXISTS (SELECT 1 WHERE ".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(6)).is_ok());
        assert_eq!(refused(&nested(7)).code, Code::SqlTooDeep);
        let windows = |count| vec!["rank() OVER (ORDER BY x)"; count].join(", ");
        assert!(parse(&format!("SELECT {} FROM t", windows(64))).is_ok());
        assert_eq!(refused(&format!("SELECT {} FROM t", windows(65))).code, Code::SqlTooLong);
    }

    #[test]
    fn errors_have_places() {
        for (text, code, at) in [
            ("SELEC 1", Code::Syntax, Some((1, 1))),
            ("SELECT count(*)\nFROM t WHERE", Code::Syntax, None),
            ("SELECT 'abc", Code::Syntax, Some((1, 8))),
            ("", Code::Syntax, None),
            ("SELECT 1; SELECT 2", Code::UnsupportedSql, Some((1, 11))),
            ("DROP TABLE t", Code::UnsupportedSql, Some((1, 1))),
            ("SELECT count(*) FROM t FOR UPDATE", Code::UnsupportedSql, Some((1, 24))),
            ("SELECT\n  array_agg(x) FROM t", Code::UnsupportedSql, Some((2, 3))),
            ("SELECT count(*) FROM t TABLESAMPLE (10 PERCENT)", Code::UnsupportedSql, Some((1, 24))),
        ] {
            let e = refused(text);
            assert_eq!((e.code, e.at.map(|p| (p.line, p.column))), (code, at), "{text}: {e}");
        }
    }
}
