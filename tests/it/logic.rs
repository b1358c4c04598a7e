//! The files of `tests/sql`, in the format of sqllogictest: statements with their exact answers, at an epsilon so large that there is no
//! noise, and statements that are refused, with the whole message.
//!
//! Each answer is compared with the file twice: as the server gives it, and as plain DataFusion gives it on the same files, but for
//! records marked `skipif datafusion`, whose answers were worked out by hand. `UPDATE_SQL=1` writes what plain DataFusion answers, and
//! the refusals as they are. (The crate `sqllogictest` would do, but its features would have the engine built twice.)

use crate::world::{ANA, Caller, Recipe, World, batch, code, plain, rows, same};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// So large that what is left of the noise is beyond the sixth digit.
const EPSILON: &str = "3e9";

/// One statement of a file.
struct Record {
    /// Comments and conditions above it.
    above: Vec<String>,
    /// `query` with the types of its columns, or `statement error`.
    head: String,
    sql: String,
    expected: Vec<String>,
}

impl Record {
    fn is_refused(&self) -> bool {
        self.head.starts_with("statement error")
    }

    fn skips(&self, engine: &str) -> bool {
        self.above.iter().any(|line| *line == format!("skipif {engine}"))
    }
}

/// The records of a file, and what stands after the last one.
fn read(path: &Path) -> (Vec<Record>, Vec<String>) {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut records, mut above) = (Vec::new(), Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with("query") && !line.starts_with("statement") {
            above.push(line.to_owned());
            continue;
        }
        let mut sql = Vec::new();
        for line in lines.by_ref() {
            if line == "----" {
                break;
            }
            sql.push(line);
        }
        let mut expected = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.is_empty()) {
            expected.push(line.to_owned());
        }
        let above = std::mem::take(&mut above);
        records.push(Record { above, head: line.to_owned(), sql: sql.join("\n"), expected });
    }
    (records, above)
}

fn write(path: &Path, records: &[Record], rest: &[String]) {
    let mut text = String::new();
    for Record { above, head, sql, expected } in records {
        let above: String = above.iter().map(|line| format!("{line}\n")).collect();
        let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
        text += &format!("{above}{head}\n{sql}\n----\n{expected}");
    }
    text += &rest.iter().map(|line| format!("{line}\n")).collect::<String>();
    std::fs::write(path, text).unwrap();
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql").join(folder);
    let found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = found.filter(|path| path.extension().is_some_and(|e| e == "slt")).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// I, R, T or ? for each column.
fn types(batch: &RecordBatch) -> String {
    let letter = |ty: &DataType| match ty {
        ty if ty.is_integer() => 'I',
        ty if ty.is_floating() => 'R',
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 'T',
        _ => '?',
    };
    batch.schema().fields().iter().map(|field| letter(field.data_type())).collect()
}

fn lines(rows: Vec<Vec<String>>) -> Vec<String> {
    let cell = |cell: &String| if cell.is_empty() { "(empty)".into() } else { cell.clone() };
    rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
}

/// Equal, with numbers up to what is left of the noise.
fn alike(got: &[String], expected: &[String]) -> bool {
    let split = |lines: &[String]| -> Vec<Vec<String>> {
        lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    };
    same(&split(got), &split(expected), 1e-6)
}

async fn plainly(context: &SessionContext, sql: &str) -> (String, Vec<String>) {
    let found = async || -> datafusion::error::Result<_> {
        let frame = context.sql(sql).await?;
        let schema = frame.schema().inner().clone();
        Ok((schema, frame.collect().await?))
    };
    match found().await {
        Ok((schema, batches)) => {
            let batch = arrow::compute::concat_batches(&schema, &batches).unwrap();
            (types(&batch), lines(rows(&batch)))
        }
        Err(e) => (String::new(), vec![e.to_string().lines().next().unwrap_or_default().to_owned()]),
    }
}

/// A refusal on one line: its code, its place where it has one, and its message.
fn refusal(status: &tonic::Status) -> String {
    format!("{}: {}", code(status), status.message())
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_answered_exactly() {
    // Limits that do not bind, and no wider than that: the grant holds a few hundred such questions.
    let world = World::new(&Recipe { groups: 20, rows: 60, max_epsilon: EPSILON, ..Recipe::default() });
    let (running, context) = (world.serve().await, plain(&world).await);
    let ana = Caller::to(&running, ANA).await;
    let update = std::env::var_os("UPDATE_SQL").is_some();
    let mut wrong = Vec::new();
    for path in files(".") {
        let (mut records, rest) = read(&path);
        for record in &mut records {
            let sql = &record.sql;
            let by_hand = record.skips("datafusion");
            if update && !by_hand {
                let (types, lines) = plainly(&context, sql).await;
                if types.is_empty() {
                    wrong.push(format!("plain DataFusion: {sql}\n {lines:?}"));
                    continue;
                }
                (record.head, record.expected) = (format!("query {types}"), lines);
            }
            if !by_hand && !update {
                let (types, got) = plainly(&context, sql).await;
                if record.head != format!("query {types}") || !alike(&got, &record.expected) {
                    wrong.push(format!("plain DataFusion: {sql}\n got {types} {got:?}"));
                }
            }
            match ana.ask(sql, EPSILON).await {
                Err(e) => wrong.push(format!("{sql}\n {}", refusal(&e))),
                Ok(answer) => {
                    let got = lines(rows(&batch(&answer.table)));
                    if update && by_hand {
                        record.head = format!("query {}", types(&batch(&answer.table)));
                    }
                    if !alike(&got, &record.expected) {
                        wrong.push(format!("{sql}\n got {got:?}\n not {:?}", record.expected));
                    }
                }
            }
        }
        if update {
            write(&path, &records, &rest);
        }
    }
    running.stop().await.unwrap();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_what_they_say() {
    let world = World::new(&Recipe { patients: 20, max_epsilon: "100", ..Recipe::default() });
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let update = std::env::var_os("UPDATE_SQL").is_some();
    let mut wrong = Vec::new();
    for path in files("refused") {
        let (mut records, rest) = read(&path);
        for record in &mut records {
            match ana.quote(&record.sql, "1").await {
                Ok(_) => wrong.push(format!("accepted: {}", record.sql)),
                Err(e) if update => record.expected = vec![refusal(&e)],
                Err(e) if record.expected == [refusal(&e)] => {}
                Err(e) => wrong.push(format!("{}\n got {}\n not {:?}", record.sql, refusal(&e), record.expected)),
            }
        }
        if update {
            write(&path, &records, &rest);
        }
    }
    running.stop().await.unwrap();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// A statement without its names and literals: words that are neither keywords nor functions are one name.
fn shape(sql: &str) -> String {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let Ok(tokens) = tokens else { return sql.to_owned() };
    let tokens: Vec<Token> = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let word = |at: usize| match &tokens[at] {
        Token::Word(word) if word.keyword == Keyword::NoKeyword && tokens.get(at + 1) != Some(&Token::LParen) => {
            "name".into()
        }
        Token::Number(..) => "0".into(),
        Token::SingleQuotedString(_) => "'text'".into(),
        other => other.to_string().to_lowercase(),
    };
    (0..tokens.len()).map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn no_two_statements_differ_in_names_or_literals_alone() {
    let shapes = |folder: &str| {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in files(folder).iter().flat_map(|path| read(path).0) {
            assert_eq!(record.is_refused(), folder == "refused", "{}", record.sql);
            found.entry(shape(&record.sql)).or_default().push(record.sql);
        }
        found
    };
    let (answered, refused) = (shapes("."), shapes("refused"));
    let texts: BTreeSet<&String> = answered.values().chain(refused.values()).flatten().collect();
    let all: usize = answered.values().chain(refused.values()).map(Vec::len).sum();
    assert_eq!(texts.len(), all, "a statement stands twice");
    assert!(answered.len() >= 200 && refused.len() >= 120, "{} and {}", answered.len(), refused.len());
}
