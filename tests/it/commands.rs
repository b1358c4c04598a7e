//! The command line as a person and as a script meet it.

use crate::world::{ANA, BEN, Recipe, World};
use expect_test::expect;
use std::path::Path;
use std::process::{Command, Output};

/// The program with nothing of this machine's environment, a home of its own, and these arguments.
fn undertone(home: &Path, variables: &[(&str, &str)], args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_undertone"))
        .env_clear()
        .env("HOME", home)
        .envs(variables.iter().copied())
        .args(args)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_as_tables_and_as_data() {
    let world = World::new(&Recipe { groups: 100, rows: 1000, ..Recipe::default() });
    let running = world.serve().await;
    let url = format!("http://{}", running.address);
    let variables = [("UNDERTONE_URL", url.as_str()), ("UNDERTONE_TOKEN", ANA), ("UNDERTONE_DATASET", "clinic")];
    let run = |args: &[&str]| out(&undertone(world.dir.path(), &variables, args));
    let sql = "SELECT hospital, count(*) AS n FROM visits WHERE hospital = 'A' GROUP BY hospital ORDER BY hospital";
    let query = |format: &str| run(&["query", sql, "--epsilon", "1e9", "--query-id", "q", "--format", format]);
    expect![[r#"
        hospital        n
        --------  -------
        A         236 ± 0
        B           0 ± 0
        C           0 ± 0
        D           0 ± 0
        ± at 95 % confidence for each value
        cost epsilon 1000000000, 0.100 % of the grant; 999000000000 of epsilon 1000000000000 left (query id q)
    "#]]
    .assert_eq(&query("table"));
    expect![[r#"
        hospital,n,n_lower,n_upper
        A,236,236,236
        B,0,0,0
        C,0,0,0
        D,0,0,0
    "#]]
    .assert_eq(&query("csv"));
    expect![[r#"
        [{"hospital":"A","n":236,"n_lower":236,"n_upper":236},{"hospital":"B","n":0,"n_lower":0,"n_upper":0},{"hospital":"C","n":0,"n_lower":0,"n_upper":0},{"hospital":"D","n":0,"n_lower":0,"n_upper":0}]
    "#]].assert_eq(&query("json"));
    expect![[r#"
        hospital        n
        --------  -------
        A         236 ± 0
        B           0 ± 0
        C           0 ± 0
        D           0 ± 0
        ± at 95 % confidence for each value
        answered before at epsilon 1000000000, 0.100 % of the grant; this time it cost nothing; 999000000000 of epsilon 1000000000000 left (query id q)
    "#]].assert_eq(&run(&["answer", "q"]));
    let receipt: serde_json::Value = serde_json::from_str(&run(&["receipt", "q", "--format", "json"])).unwrap();
    assert_eq!((&receipt["query_id"], &receipt["price"]["delta"]), (&"q".into(), &"0".into()));
    assert_eq!(receipt["balance_after"]["account"]["charges"], 1);

    // Binary formats go to a file, with the receipt in their metadata.
    let (arrow, parquet) = (world.path("answer.arrow"), world.path("answer.parquet"));
    run(&["answer", "q", "--format", "arrow", "--output", arrow.to_str().unwrap()]);
    run(&["answer", "q", "--format", "parquet", "-o", parquet.to_str().unwrap()]);
    let stream = arrow::ipc::reader::StreamReader::try_new(std::fs::File::open(arrow).unwrap(), None).unwrap();
    let names: Vec<String> = stream.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["hospital", "n", "n_lower", "n_upper"]);
    let kept: serde_json::Value = serde_json::from_str(&stream.schema().metadata()["undertone.receipt"]).unwrap();
    assert_eq!(kept, receipt);
    let file = std::fs::File::open(parquet).unwrap();
    let reader = datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(reader.schema().metadata()["undertone.receipt"], stream.schema().metadata()["undertone.receipt"]);
    assert_eq!(reader.metadata().file_metadata().num_rows(), 4);

    expect![[r#"
        would cost epsilon 0.5, 0.000000 % of the grant; 999000000000 of epsilon 1000000000000 left
        column  noise, ± at 95 %
        ------  -------------------------------------------------------------------------------------------------------------------------------------
        c       ratio of a discrete Laplace sum and count, ± differs by row, each row within [0, 5000], rows' weight per unit and group: at most 1000
        public keys: every combination of their declared values, empty groups too; rows with other values are in no group; 4 groups

        release 1
          keys   public keys: every combination of their declared values, empty groups too; rows with other values are in no group; 4 groups
            hospital: 4 public values
          noise
            count of cost, of which one unit adds within [0, 1000] to a group: discrete Laplace noise of scale 19537.9966, within 58531 of the exact one 95 % of the time; 41 % of the price
            sum of cost less the middle of its bounds, of which one unit adds within [-2500000, 2500000] to a group: discrete Laplace noise of scale 33867225.4871, within 101457140.3058 of the exact one 95 % of the time; 59 % of the price
          choice Laplace noise, as the question or the dataset's policy asks
          limits one unit is in at most 4 groups, with at most 1000 rows in each
          price  epsilon 0.5, rho 0.015785824940379638, delta 0

        free     answer: hospital; c = noisy mean of cost
        RELEASE  └─ release 1: count of cost, sum of cost less the middle of its bounds for each hospital, with noise
        private     └─ protected table visits (hospital, cost), each row of one patient

        private rows are read for the noisy tables alone; whatever the question does with those is free
    "#]].assert_eq(&run(&[
        "explain",
        "SELECT hospital, avg(cost) AS c FROM visits GROUP BY hospital",
        "--epsilon",
        "0.5",
    ]));
    let datasets: serde_json::Value = serde_json::from_str(&run(&["datasets", "--format", "json"])).unwrap();
    assert_eq!(
        (&datasets[0]["name"], &datasets[0]["default_mechanism"]),
        (&"clinic".into(), &"MECHANISM_LAPLACE".into())
    );
    let budget: serde_json::Value = serde_json::from_str(&run(&["budget", "--format", "json"])).unwrap();
    assert_eq!(budget[0]["account"]["spent_epsilon"], "1000000000");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_went_wrong() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let running = world.serve().await;
    let url = format!("http://{}", running.address);
    let ask = |token: &str, url: &str, args: &[&str]| {
        let variables = [("UNDERTONE_URL", url), ("UNDERTONE_TOKEN", token), ("UNDERTONE_DATASET", "clinic")];
        let output = undertone(world.dir.path(), &variables, args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (token, url, args, code, words) in [
        (ANA, url.as_str(), &["query", "SELECT count(*) FROM visits"][..], 0, ""),
        (ANA, &url, &["query"], 2, "required"),
        (ANA, &url, &["query", "SELECT * FROM visits"], 3, "PRIVATE_ROWS"),
        (ANA, &url, &["receipt", "never"], 3, "UNKNOWN_QUERY_ID"),
        (BEN, &url, &["query", "SELECT count(*) FROM visits", "--epsilon", "1"], 4, "BUDGET_EXHAUSTED"),
        (BEN, &url, &["query", "SELECT 1", "--purpose", "ads"], 4, "NO_GRANT"),
        ("wrong", &url, &["budget"], 5, "UNAUTHENTICATED"),
        (ANA, "http://127.0.0.1:1", &["budget"], 6, "no server answers at http://127.0.0.1:1"),
        (ANA, &url, &["check", "/nowhere.toml"], 7, "cannot read /nowhere.toml"),
        (ANA, &url, &["budget", "--profile", "none"], 7, "there is no profile 'none'"),
    ] {
        let (got, text) = ask(token, url, args);
        assert!(got == Some(code) && text.contains(words), "{args:?}: {got:?} {text}");
    }
    running.stop().await.unwrap();
}

/// What is paid for is not lost to a file that cannot be written, and a token is for its own server and never shown.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_for_in_vain_and_no_token_is_shown() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let running = world.serve().await;
    let url = format!("http://{}", running.address);
    let variables = [("UNDERTONE_URL", url.as_str()), ("UNDERTONE_TOKEN", ANA), ("UNDERTONE_DATASET", "clinic")];
    let refused = undertone(
        world.dir.path(),
        &variables,
        &["query", "SELECT count(*) FROM visits", "--format", "csv", "-o", "/nowhere/x.csv"],
    );
    assert_eq!(refused.status.code(), Some(7));
    let budget: serde_json::Value =
        serde_json::from_str(&out(&undertone(world.dir.path(), &variables, &["budget", "--format", "json"]))).unwrap();
    assert_eq!(budget[0]["account"]["charges"], 0);

    let file = world.path("client.toml");
    let profile = |text: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let variables = [("UNDERTONE_CLIENT_CONFIG", file.to_str().unwrap())];
        let output = undertone(world.dir.path(), &variables, &["budget", "--url", &url]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for broken in ["[profile.default]\ntoken = \"ut_secret", "[profile.default]\ntokn = \"ut_secret\""] {
        let (code, text) = profile(broken);
        assert!(code == Some(7) && text.contains("line 2") && !text.contains("ut_secret"), "{text}");
    }
    let elsewhere = format!("[profile.default]\nurl = \"http://127.0.0.1:1\"\ntoken = \"{ANA}\"");
    assert_eq!(profile(&elsewhere).0, Some(5));
    assert_eq!(profile(&format!("[profile.default]\ntoken = \"{ANA}\"")).0, Some(0));
    running.stop().await.unwrap();
}

/// Flags come before the environment, that before the named profile, and nothing is read from a file that others can read.
#[tokio::test(flavor = "multi_thread")]
async fn profiles_name_servers_and_tokens() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let running = world.serve().await;
    let home = world.path("home");
    let file = home.join(".config/undertone/client.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = format!(
        "[profile.default]\nurl = \"http://{0}\"\ntoken = \"{ANA}\"\ndataset = \"clinic\"\n[profile.ben]\nurl = \"http://{0}\"\ntoken = \"{BEN}\"\n",
        running.address
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = undertone(&home, &[], &["budget"]);
    assert_eq!(open.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&open.stderr).contains("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(out(&undertone(&home, &[], &["budget"])).contains("(1000000000000,"));
    assert!(out(&undertone(&home, &[], &["budget", "--profile", "ben"])).contains("(0.5,"));
    assert!(out(&undertone(&home, &[("UNDERTONE_TOKEN", BEN)], &["budget"])).contains("(0.5,"));
    assert!(
        out(&undertone(&home, &[("UNDERTONE_TOKEN", BEN)], &["budget", "--token", ANA])).contains("(1000000000000,")
    );
    running.stop().await.unwrap();
}

#[test]
fn files_are_checked_and_errors_point_at_the_line() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let check = |name: &str| undertone(world.dir.path(), &[], &["check", world.path(name).to_str().unwrap()]);
    let fine = out(&check("undertone.toml"));
    assert!(fine.contains("dataset clinic") && fine.contains("7 principals, 2 grants: fine"), "{fine}");
    assert!(out(&check("clinic.toml")).contains("items: 3 columns, 1 file, protected over visit_id by table visits"));
    let good = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    for (from, to) in [
        ("bounds = [0, 5000]", "bounds = [5000, 0]"),
        ("domain = [\"north\", \"south\", \"moon\"]", "domain = [1]"),
        ("name = \"birth_year\"", "name = \"birth_yeer\""),
        ("unit = \"patient_id\"", "unit = \"nobody\""),
    ] {
        let bad = good.replacen(from, to, 1);
        let line = bad.lines().position(|l| l.contains(to)).unwrap() + 1;
        // A mistake in a table's own keys points at its name, which stands three lines before `unit`.
        let line = if to.starts_with("unit") { line - 3 } else { line };
        std::fs::write(world.path("clinic.toml"), bad).unwrap();
        let output = check("clinic.toml");
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.status.code() == Some(7) && text.contains(&format!("(line {line}, column ")), "{line}: {text}");
    }
    let script = out(&undertone(world.dir.path(), &[], &["completions", "bash"]));
    assert!(script.contains("_undertone()") && script.contains("receipt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_proves_every_balance() {
    let world = World::new(&Recipe { grants: ["40", "1"], ..Recipe::default() });
    let config = world.path("undertone.toml");
    let config = config.to_str().unwrap();
    let audit = |args: &[&str]| undertone(world.dir.path(), &[], &[&["audit"], args].concat());
    let failed = |args: &[&str]| {
        let output = audit(args);
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failed(&["verify", "--config", config]).contains("there is no ledger"));
    let running = world.serve().await;
    let url = format!("http://{}", running.address);
    let asked = |token: &str, sql: &str, more: &[&str]| {
        let variables = [("UNDERTONE_URL", url.as_str()), ("UNDERTONE_TOKEN", token), ("UNDERTONE_DATASET", "clinic")];
        undertone(world.dir.path(), &variables, &[&["query", sql], more].concat())
    };
    out(&asked(ANA, "SELECT count(*) AS n FROM visits", &["--epsilon", "0.5"]));
    out(&asked(ANA, "SELECT count(1) AS n FROM visits", &["--epsilon", "0.5"]));
    out(&asked(ANA, "SELECT count(*) AS n FROM patients", &["--epsilon", "0.25", "--mechanism", "gaussian"]));
    out(&asked(BEN, "SELECT count(*) AS n FROM visits", &["--epsilon", "0.125"]));
    let verified = out(&audit(&["verify", "--config", config]));
    let lines: Vec<&str> = verified.lines().collect();
    assert!(
        lines[0].starts_with(
            "the pooled cap of dataset 'clinic': granted (1000000000000, 0.000001), spent epsilon infinite, rho "
        ),
        "{verified}"
    );
    assert!(
        lines[0].ends_with("delta 0 in 3 charges")
            && lines[1].starts_with("the account of 'ana' for purpose 'research' on dataset 'clinic': granted (40, "),
        "{verified}"
    );
    assert!(
        lines[2].contains("'ben'") && lines[2].contains("granted (1, 0.000001), spent epsilon 0.125, rho "),
        "{verified}"
    );
    assert_eq!(lines[4], "every balance, charge and policy of the ledger is what the log says");
    // What is exported is verified without the ledger.
    let (log, table) = (world.path("log.ndjson"), world.path("log.parquet"));
    out(&audit(&["export", "--config", config, "-o", log.to_str().unwrap()]));
    out(&audit(&["export", "--config", config, "--format", "parquet", "-o", table.to_str().unwrap()]));
    assert_eq!(out(&audit(&["verify", "--log", log.to_str().unwrap()])), lines[..4].join("\n") + "\n");
    let text = std::fs::read_to_string(&log).unwrap();
    let parquet = std::fs::File::open(table).unwrap();
    let parquet = datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap();
    assert_eq!(parquet.metadata().file_metadata().num_rows() as usize, text.lines().count());
    assert!(!text.contains("SELECT"));
    // A flipped bit anywhere in it is found.
    let bytes = text.as_bytes();
    for at in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        std::fs::write(&log, changed).unwrap();
        let said = failed(&["verify", "--log", log.to_str().unwrap()]);
        assert!(["does not fit", "no entry", "cannot read"].iter().any(|words| said.contains(words)), "{at}: {said}");
    }
    running.stop().await.unwrap();
    // So is an account that is not what its log says.
    use sqlx::Connection;
    let mut db =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", world.path("ledger.sqlite").display())).await.unwrap();
    for (change, says) in [
        ("UPDATE accounts SET spent_epsilon = '0.1' WHERE principal = 'ben'", "what it has spent is another"),
        ("UPDATE accounts SET spent_epsilon = '0.125', epsilon = '3' WHERE principal = 'ben'", "its grant is another"),
        ("UPDATE accounts SET epsilon = '1', rho_limit = '9' WHERE principal = 'ben'", "its grant is another"),
        (
            "UPDATE accounts SET rho_limit = (SELECT rho_limit FROM accounts WHERE principal = '') WHERE principal = 'ben'",
            "its grant is another",
        ),
        ("DELETE FROM accounts WHERE principal = 'ben'", "the ledger does not have it"),
    ] {
        sqlx::raw_sql(change).execute(&mut db).await.unwrap();
        let said = failed(&["verify", "--config", config]);
        assert!(said.contains("the account of 'ben'") && said.contains(says), "{said}");
    }
}
