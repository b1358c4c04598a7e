//! Wrong configuration and dataset files: what is said, and that it names file, table and column.

use crate::world::{Recipe, World};
use undertone::catalog::{self, ReaderOptions, session};
use undertone::server;

#[tokio::test]
async fn dataset_files_are_checked() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let good = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    let state = session(ReaderOptions::default()).unwrap();
    for (from, to, words) in [
        ("name = \"clinic\"", "name = \"Clinic\"", "plain SQL name"),
        ("privacy_unit =", "privacy_units =", "unknown field `privacy_units`"),
        ("default_epsilon = \"0.1\"", "default_epsilon = \"-1\"", "is negative"),
        ("default_epsilon = \"0.1\"", "default_epsilon = 0", "default_epsilon must be above 0"),
        (
            "default_delta = \"0\"",
            "default_delta = \"1e-5\"\nmax_delta = \"1e-6\"",
            "default_delta must be at most max_delta",
        ),
        ("default_delta = \"0\"", "default_delta = \"1\"", "below 1"),
        ("max_groups_contributed = 4", "max_groups_contributed = 0", "max_groups_contributed must be from 1"),
        ("path = \"patients.parquet\"", "path = \"patient.parquet\"", "table 'patients': no file matches"),
        ("path = \"patients.parquet\"", "path = \"hospitals.csv\"", "table 'patients': file"),
        ("bounds = [0, 5000]", "bounds = [5000, 0]", "column 'cost': bounds must be"),
        (
            "{ name = \"diagnosis\", tier",
            "{ name = \"diagnosis\", bounds = [0, 1], tier",
            "column 'diagnosis': bounds are for",
        ),
        ("[\"2019-04-01\", ", "[\"2019-04-31\", ", "column 'visit_date': bounds must be"),
        ("[\"2019-04-01\", ", "[1, ", "column 'visit_date': bounds must be"),
        ("bounds = [0, 120]", "bounds = [\"0\", \"120\"]", "column 'age': bounds must be"),
        ("{ name = \"birth_year\"", "{ name = \"birth_yeer\"", "column 'birth_yeer': the file has no column"),
        (
            "{ name = \"visit_date\",",
            "{ name = \"age\" },\n    { name = \"visit_date\",",
            "column 'age': is declared twice",
        ),
        ("[\"north\", \"south\", \"moon\"]", "[\"north\", \"north\"]", "lists a value twice"),
        ("[\"north\", \"south\", \"moon\"]", "[1, 2]", "column 'region': domain values must be"),
        ("column = \"hospital\" }", "column = \"name\" }", "'name' of table 'hospitals' is not declared"),
        ("table = \"hospitals\", column", "table = \"patients\", column", "which is not a public table"),
        ("public = true", "", "table 'hospitals': needs `unit = ...`"),
        ("public = true", "public = true\nunit = \"city\"", "only be one of the two"),
        ("references = \"visits.visit_id\"", "references = \"visits.age\"", "'visits' is not unique"),
        ("references = \"visits.visit_id\"", "references = \"hospitals.beds\"", "public table 'hospitals'"),
        ("references = \"visits.visit_id\"", "references = \"items.item_id\"", "circle"),
        ("unit = \"patient_id\"", "unit = \"cost\"", "must be BIGINT or VARCHAR, not DOUBLE"),
        ("type = \"BIGINT\", bounds", "type = \"NUMBER\", bounds", "column 'price': type 'NUMBER'"),
        (
            "path = \"visits\"",
            "path = \"visits\"\nretention = { column = \"visit_date\", days = 30 }",
            "not enforced yet",
        ),
        ("tier = \"health\"", "tier = \"health\", permissions = { roles = [\"doctor\"] }", "not enforced yet"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(world.path("clinic.toml"), good.replacen(from, to, 1)).unwrap();
        let e =
            catalog::load(&world.path("clinic.toml"), &state).await.err().unwrap_or_else(|| panic!("accepted: {to}"));
        assert!(e.message.contains(words) && e.message.contains("clinic.toml"), "{to}: {e}");
    }
}

/// Files that a lenient reader would make something of are refused when they are opened, by line and without their content.
#[tokio::test]
async fn files_are_read_through_when_they_are_opened() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let state = session(ReaderOptions::default()).unwrap();
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
}

/// The same rows in every format are the same table.
#[tokio::test(flavor = "multi_thread")]
async fn every_format_holds_the_same_table() {
    use crate::world::{ANA, Caller, batch, rows};
    use datafusion::prelude::{CsvReadOptions, SessionContext};
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
    let declaration = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    let declare = |path: &str, format: &str| {
        let wanted = format!("path = \"{path}\"\nformat = \"{format}\"");
        let declared = declaration.replacen("path = \"items.csv\"\nformat = \"csv\"", &wanted, 1);
        assert!(format == "csv" || declared != declaration);
        std::fs::write(world.path("clinic.toml"), declared).unwrap();
    };
    let sql = "SELECT count(*) AS n, sum(i.price) AS s FROM items i JOIN visits v ON i.visit_id = v.visit_id WHERE i.item_id > 3";
    let mut answers = std::collections::BTreeSet::new();
    for (path, format) in
        [("items.csv", "csv"), ("items", "ndjson"), ("stream.arrow", "arrow"), ("file.arrow", "arrow")]
    {
        declare(path, format);
        let running = world.serve().await;
        let answer = Caller::to(&running, ANA).await.ask(sql, "1e9").await.unwrap();
        answers.insert(rows(&batch(&answer.table)));
        running.stop().await.unwrap();
    }
    assert_eq!(answers.len(), 1, "{answers:?}");

    // A line of another type is found when the dataset is opened, and not quoted.
    declare("items", "ndjson");
    let good = std::fs::read_to_string(world.path("items/a.ndjson")).unwrap();
    for bad in ["{\"item_id\": \"secret\", \"visit_id\": 1, \"price\": 1}", "{\"item_id\": {\"secret\": 1}}", "secret"]
    {
        std::fs::write(world.path("items/a.ndjson"), format!("{good}{bad}\n")).unwrap();
        let e = catalog::load(&world.path("clinic.toml"), &session(ReaderOptions::default()).unwrap()).await.err();
        let e = e.unwrap_or_else(|| panic!("accepted: {bad}"));
        assert!(e.message.contains("table 'items'") && !e.message.contains("secret"), "{e}");
    }
}

#[test]
fn server_files_are_checked() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let path = world.path("undertone.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("[ledger]", "[ledgers]", "unknown field `ledgers`"),
        ("deadline_seconds = 20", "deadline_seconds = 0", "must be above 0"),
        ("deadline_seconds = 20", "time_bucket_millis = 0", "must be above 0"),
        ("deadline_seconds = 20", "listen = \"0.0.0.0:1\"", "clear text"),
        ("name = \"ben\"", "name = \"ana\"", "'ana' is declared twice"),
        ("name = \"ben\"", "name = \"Ben\"", "principal 'Ben' must be"),
        ("name = \"ben\"", "name = \"carl\"", "grant names principal 'ben', which is not declared"),
        ("principal = \"ben\"", "principal = \"ana\"", "two grants"),
        ("token_sha256 = \"", "token_sha256 = \"x", "64 hexadecimal digits"),
        ("epsilon = \"0.5\"", "epsilon = \"0\"", "epsilon must be above 0"),
        ("delta = \"1e-6\"", "delta = \"1\"", "delta must be below 1"),
        ("pool_epsilon = \"1e12\"", "pool_epsilon = \"many\"", "is not a decimal number"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let e = server::load(&path).err().unwrap_or_else(|| panic!("accepted: {to}"));
        assert!(e.message.contains(words) && e.message.contains("undertone.toml"), "{to}: {e}");
    }
}

/// The examples are what the demo serves; they must always load.
#[tokio::test]
async fn the_examples_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let shop = dir.path().join("shop");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_undertone"))
        .args(["demo", "--prepare", "--customers", "200", "--dir"])
        .arg(&shop)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut config = server::load(&shop.join("undertone.toml")).unwrap();
    config.listen_at("127.0.0.1:0".parse().unwrap()).unwrap();
    server::start(&config).await.unwrap().stop().await.unwrap();
    // A second demo does not overwrite the first one's ledger.
    let again = std::process::Command::new(env!("CARGO_BIN_EXE_undertone"))
        .args(["demo", "--prepare", "--customers", "200", "--dir"])
        .arg(&shop)
        .output()
        .unwrap();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a demo already"));
}
