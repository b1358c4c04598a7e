//! Files: formats, compression, columns in paths, and what is refused when they are opened.

use crate::world::{ANA, Caller, Recipe, World, batch, rows};
use async_compression::tokio::write::{BzEncoder, GzipEncoder, XzEncoder, ZstdEncoder};
use datafusion::prelude::{CsvReadOptions, SessionContext};
use std::collections::BTreeSet;
use tokio::io::AsyncWriteExt;
use undertone::catalog::{self, ReaderOptions, session};

const ITEMS: &str =
    "SELECT count(*) AS n, sum(i.price) AS s FROM items i JOIN visits v ON i.visit_id = v.visit_id WHERE i.item_id > 3";

/// Declares the items, which are `items.csv`, in another way.
fn declare(world: &World, with: &str) {
    let declaration = std::fs::read_to_string(world.path("good.toml")).unwrap_or_else(|_| {
        std::fs::copy(world.path("clinic.toml"), world.path("good.toml")).unwrap();
        std::fs::read_to_string(world.path("good.toml")).unwrap()
    });
    let declared = declaration.replacen("path = \"items.csv\"\nformat = \"csv\"", with, 1);
    std::fs::write(world.path("clinic.toml"), declared).unwrap();
}

/// The answer to a question that every way of keeping the items must give.
async fn answer(world: &World, sql: &str) -> Vec<Vec<String>> {
    let running = world.serve().await;
    let answer = Caller::to(&running, ANA).await.ask(sql, "1e9").await.unwrap();
    running.stop().await.unwrap();
    rows(&batch(&answer.table))
}

/// Why the dataset cannot be opened.
async fn refusal(world: &World) -> String {
    let state = session(&ReaderOptions::default()).unwrap();
    catalog::load(&world.path("clinic.toml"), &state).await.err().expect("accepted").message
}

async fn compressed(text: &[u8], how: &str) -> Vec<u8> {
    macro_rules! with {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(text).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match how {
        "gz" => with!(GzipEncoder),
        "bz2" => with!(BzEncoder),
        "xz" => with!(XzEncoder),
        _ => with!(ZstdEncoder),
    }
}

/// Files that a lenient reader would make something of are refused when they are opened, by line and without their content.
#[tokio::test]
async fn files_are_read_through_when_they_are_opened() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let state = session(&ReaderOptions::default()).unwrap();
    let file = world.path("clinic.toml");
    let load = || catalog::load(&file, &state);
    let good = std::fs::read_to_string(world.path("items.csv")).unwrap();
    for (bad, words) in [
        (format!("{good}1,2,3,4444\n"), "more or fewer fields"),
        (format!("{good}1,2\n"), "more or fewer fields"),
        (format!("{good}1,2,\"4444\n"), "goes on in the next line"),
        (format!("{good}1,2,\"4444"), "not closed"),
        (format!("{good}1,2,\"4444\"x\n"), "after its closing quote"),
    ] {
        std::fs::write(world.path("items.csv"), &bad).unwrap();
        let e = load().await.err().unwrap_or_else(|| panic!("accepted: {words}"));
        assert!(e.message.contains(words) && e.message.contains("items.csv: line "), "{e}");
        assert!(!e.message.contains("4444"), "{e}");
    }
    std::fs::write(world.path("items.csv"), [good.as_bytes(), b"1,2,\xff\n"].concat()).unwrap();
    assert!(load().await.err().unwrap().message.contains("not UTF-8"));
    // A field that is no number is NULL, not an error; and a quoted line end is fine where it is declared.
    std::fs::write(world.path("items.csv"), format!("{good}1,\"x\n\",3\n")).unwrap();
    let declaration = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    let declared = declaration.replacen("path = \"items.csv\"", "path = \"items.csv\"\nnewlines_in_values = true", 1);
    std::fs::write(world.path("clinic.toml"), declared).unwrap();
    assert!(load().await.is_ok());

    // But where no value fits, the declaration is about another file.
    let words = good.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned() + ",secret\n").collect::<String>();
    std::fs::write(world.path("items.csv"), words.replacen(",secret", ",price", 1)).unwrap();
    let e = load().await.err().unwrap();
    assert!(e.message.contains("table 'items': column 'price': none of its values") && !e.message.contains("secret"));
    std::fs::write(world.path("items.csv"), &good).unwrap();

    // Readers hold thousands of values at once, so none may be huge.
    std::fs::write(world.path("hospitals.csv"), format!("hospital,city,beds\nA,{},1\n", "u".repeat(70_000))).unwrap();
    let e = load().await.err().unwrap();
    assert!(e.message.contains("table 'hospitals': a value of 'city' has more than 65536 bytes"), "{e}");
    std::fs::write(world.path("hospitals.csv"), "hospital,city,beds\nA,Ulm,1\n").unwrap();

    // A page of a Parquet file that cannot be decoded is found now, not by a question.
    let path = world.path("patients.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..40].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let e = load().await.err().unwrap();
    assert!(e.message.contains("table 'patients': cannot be read"), "{e}");
    // Nor a footer, whatever it makes of the reader.
    for footer in
        [&b"PAR1 this is none PAR1"[..], b"PAR1\xff\xff\xff\xffPAR1", b"PAR1\x00\x00\x00\x00PAR1", b"PAR1", b""]
    {
        std::fs::write(&path, footer).unwrap();
        let e = load().await.err().unwrap();
        assert!(e.message.contains("patients.parquet: cannot be read"), "{e}");
    }
}

/// The same rows in every format are the same table.
#[tokio::test(flavor = "multi_thread")]
async fn every_format_holds_the_same_table() {
    let world = World::new(&Recipe { groups: 100, rows: 1000, ..Recipe::default() });
    let context = SessionContext::new();
    let items = world.path("items.csv");
    let table = context.read_csv(items.to_str().unwrap(), CsvReadOptions::default()).await.unwrap();
    let batches = table.collect().await.unwrap();
    let schema = batches[0].schema();
    std::fs::create_dir(world.path("items")).unwrap();
    let file = |name: &str| std::fs::File::create(world.path(name)).unwrap();
    let mut json = arrow_json::LineDelimitedWriter::new(file("items/a.ndjson"));
    json.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    json.finish().unwrap();
    let mut stream = arrow::ipc::writer::StreamWriter::try_new(file("stream.arrow"), &schema).unwrap();
    let mut whole = arrow::ipc::writer::FileWriter::try_new(file("file.arrow"), &schema).unwrap();
    for batch in &batches {
        stream.write(batch).unwrap();
        whole.write(batch).unwrap();
    }
    stream.finish().unwrap();
    whole.finish().unwrap();
    let mut answers = BTreeSet::new();
    for (path, format) in
        [("items.csv", "csv"), ("items", "ndjson"), ("stream.arrow", "arrow"), ("file.arrow", "arrow")]
    {
        declare(&world, &format!("path = \"{path}\"\nformat = \"{format}\""));
        answers.insert(answer(&world, ITEMS).await);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");

    // A stream that was cut between two messages, or is followed by another, would be read in part.
    declare(&world, "path = \"stream.arrow\"\nformat = \"arrow\"");
    let stream = std::fs::read(world.path("stream.arrow")).unwrap();
    for (bad, words) in [
        (stream[..stream.len() - 8].to_vec(), "cut off"),
        (stream[..stream.len() / 2].to_vec(), "cut off"),
        (stream.repeat(2), "goes on after the end"),
        (b"item_id,visit_id,price\n1,2,3\n".to_vec(), "is no Arrow IPC"),
    ] {
        std::fs::write(world.path("stream.arrow"), bad).unwrap();
        let e = refusal(&world).await;
        assert!(e.contains("stream.arrow: ") && e.contains(words), "{e}");
    }
    let file = std::fs::read(world.path("file.arrow")).unwrap();
    std::fs::write(world.path("file.arrow"), &file[..file.len() - 100]).unwrap();
    declare(&world, "path = \"file.arrow\"\nformat = \"arrow\"");
    assert!(refusal(&world).await.contains("file.arrow: cannot be read"));

    // A line of another type is found when the dataset is opened, and not quoted.
    declare(&world, "path = \"items\"\nformat = \"ndjson\"");
    let good = std::fs::read_to_string(world.path("items/a.ndjson")).unwrap();
    for bad in ["{\"item_id\": \"secret\", \"visit_id\": 1, \"price\": 1}", "{\"item_id\": {\"secret\": 1}}", "secret"]
    {
        std::fs::write(world.path("items/a.ndjson"), format!("{good}{bad}\n")).unwrap();
        let e = refusal(&world).await;
        assert!(e.contains("table 'items'") && !e.contains("secret"), "{bad}: {e}");
    }
}

/// Compression is found by name or declared; what a reader could see only in part is refused.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_hold_the_same_table() {
    let world = World::new(&Recipe { groups: 100, rows: 1000, ..Recipe::default() });
    declare(&world, "path = \"items.csv\"\nformat = \"csv\"");
    let expected = answer(&world, ITEMS).await;
    let text = std::fs::read(world.path("items.csv")).unwrap();
    let half = text.iter().rposition(|b| *b == b'\n').unwrap() / 2;
    let half = half + text[half..].iter().position(|b| *b == b'\n').unwrap() + 1;
    for how in ["gz", "bz2", "xz", "zst"] {
        let bytes = compressed(&text, how).await;
        let name = format!("items.csv.{how}");
        std::fs::write(world.path(&name), &bytes).unwrap();
        declare(&world, &format!("path = \"{name}\"\nformat = \"csv\""));
        assert_eq!(answer(&world, ITEMS).await, expected, "{how}");

        std::fs::write(world.path(&name), &bytes[..bytes.len() / 2]).unwrap();
        let e = refusal(&world).await;
        assert!(e.contains(&format!("{name}: cannot be decompressed")), "{how}: {e}");

        // Readers of the cloud's streams stop after the first one, but for gzip.
        let two = [compressed(&text[..half], how).await, compressed(&text[half..], how).await].concat();
        std::fs::write(world.path(&name), two).unwrap();
        match how {
            "gz" => assert_eq!(answer(&world, ITEMS).await, expected),
            _ => assert!(refusal(&world).await.contains("several compressed streams"), "{how}"),
        }
    }
    // Names that say nothing, and names that differ.
    std::fs::write(world.path("items.bin"), compressed(&text, "zst").await).unwrap();
    declare(&world, "path = \"items.bin\"\nformat = \"csv\"\ncompression = \"zstd\"");
    assert_eq!(answer(&world, ITEMS).await, expected);
    std::fs::create_dir(world.path("mixed")).unwrap();
    std::fs::write(world.path("mixed/a.csv"), &text).unwrap();
    std::fs::write(world.path("mixed/b.csv.gz"), compressed(&text, "gz").await).unwrap();
    declare(&world, "path = \"mixed\"\nformat = \"csv\"");
    assert!(refusal(&world).await.contains("not all compressed in the same way"));
    declare(&world, "path = \"items.bin\"\nformat = \"parquet\"\ncompression = \"zstd\"");
    assert!(refusal(&world).await.contains("compression is for CSV and NDJSON"));
}

/// Hive's directories: `year=2024/shop=a%2Fb/part.csv`.
#[tokio::test(flavor = "multi_thread")]
async fn columns_are_read_from_paths() {
    let world = World::new(&Recipe { groups: 100, rows: 1000, ..Recipe::default() });
    let text = std::fs::read_to_string(world.path("items.csv")).unwrap();
    let (header, body) = text.split_once('\n').unwrap();
    for (at, lines) in body.lines().collect::<Vec<_>>().chunks(body.lines().count().div_ceil(3)).enumerate() {
        let directory =
            ["year=2023/kind=a%2Fb", "year=2024/kind=a%2Fb", "year=2024/kind=__HIVE_DEFAULT_PARTITION__"][at];
        std::fs::create_dir_all(world.path(&format!("items/{directory}"))).unwrap();
        std::fs::write(
            world.path(&format!("items/{directory}/p [1].csv")),
            format!("{header}\n{}\n", lines.join("\n")),
        )
        .unwrap();
    }
    std::fs::write(world.path("items/_SUCCESS"), "").unwrap();
    let partitioned = "path = \"items\"\nformat = \"csv\"\npath_columns = [\"year\", \"kind\"]";
    declare(&world, partitioned);
    let declaration = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    let columns = "{ name = \"item_id\", type = \"BIGINT\" },";
    let more = format!(
        "{columns}\n{{ name = \"year\", type = \"BIGINT\", domain = [2023, 2024, 2025] }},\n{{ name = \"kind\", domain = [\"a/b\"], nullable = true }},"
    );
    let declaration = declaration.replacen(columns, &more, 1);
    std::fs::write(world.path("clinic.toml"), &declaration).unwrap();
    let found =
        answer(&world, "SELECT year, kind, count(*) AS n FROM items GROUP BY year, kind ORDER BY year, kind").await;
    let keys: Vec<String> = found.iter().map(|row| row[..2].join(" ")).collect();
    assert_eq!(keys, ["2023 a/b", "2023 NULL", "2024 a/b", "2024 NULL", "2025 a/b", "2025 NULL"]);
    let filled: Vec<bool> = found.iter().map(|row| row[2].parse::<f64>().unwrap() > 0.5).collect();
    assert_eq!(filled, [true, false, true, true, false, false]);
    let whole = answer(&world, ITEMS).await;
    std::fs::write(
        world.path("clinic.toml"),
        declaration.replacen(partitioned, "path = \"items.csv\"\nformat = \"csv\"", 1).replacen(&more, columns, 1),
    )
    .unwrap();
    assert_eq!(answer(&world, ITEMS).await, whole);

    for (path, words) in [
        ("path = \"items.csv\"\nformat = \"csv\"\npath_columns = [\"year\"]", "for a path that is a directory"),
        ("path = \"items\"\nformat = \"csv\"\npath_columns = [\"year\"]", "outside of directories year=.../"),
        ("path = \"items\"\nformat = \"csv\"", "no file matches 'items'"),
    ] {
        declare(&world, path);
        let e = refusal(&world).await;
        assert!(e.contains("table 'items'") && e.contains(words), "{path}: {e}");
    }
    declare(&world, partitioned);
    let named = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    let named = named.replace("name = \"visit_id\", type", "name = \"visit_id\", source = \"kind\", type");
    std::fs::write(world.path("clinic.toml"), named).unwrap();
    assert!(refusal(&world).await.contains("must not stand in paths"));
    // A column cannot come from both.
    std::fs::create_dir_all(world.path("twice/price=1")).unwrap();
    std::fs::copy(world.path("items.csv"), world.path("twice/price=1/a.csv")).unwrap();
    declare(&world, "path = \"twice\"\nformat = \"csv\"\npath_columns = [\"price\"]");
    assert!(refusal(&world).await.contains("column 'price' is in the files and in their paths"));
}

/// Names of files are no patterns, and a directory holds one schema.
#[tokio::test]
async fn names_are_taken_as_they_are() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let directory = world.path("a[b]*%20 ü?");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(world.path("items.csv"), directory.join("x y%2F#.csv")).unwrap();
    declare(&world, "path = \"a[b]*%20 ü?\"\nformat = \"csv\"");
    let state = session(&ReaderOptions::default()).unwrap();
    assert!(catalog::load(&world.path("clinic.toml"), &state).await.is_ok());
    std::fs::write(directory.join("y.csv"), "item_id,visit_id,cost\n1,1,1\n").unwrap();
    let e = refusal(&world).await;
    assert!(e.contains("y.csv: has other columns or types than") && e.contains("x y%2F#.csv"), "{e}");
    for (path, words) in [
        ("s3:/bucket/key", "no file matches"),
        ("ftp://host/key", "must begin with s3://"),
        ("http://data.example/items.csv", "clear text"),
        ("https://ana:secret@data.example/items.csv", "credentials do not belong into paths"),
    ] {
        declare(&world, &format!("path = \"{path}\"\nformat = \"csv\""));
        let e = refusal(&world).await;
        assert!(e.contains("table 'items'") && e.contains(words) && !e.contains("secret"), "{path}: {e}");
    }
}
