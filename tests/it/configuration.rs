//! Wrong configuration and dataset files: what is said, and that it names file, table and column.

use crate::world::{Recipe, World};
use undertone::catalog::{self, ReaderOptions, session};
use undertone::server;

#[tokio::test]
async fn dataset_files_are_checked() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let good = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    let state = session(&ReaderOptions::default()).unwrap();
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
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(world.path("clinic.toml"), good.replacen(from, to, 1)).unwrap();
        let e =
            catalog::load(&world.path("clinic.toml"), &state).await.err().unwrap_or_else(|| panic!("accepted: {to}"));
        assert!(e.message.contains(words) && e.message.contains("clinic.toml"), "{to}: {e}");
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
        ("deadline_seconds = 20", "max_concurrent_queries = 10001", "at most 10000"),
        ("[ledger]", "[engine]\nmemory_mib_per_query = 1\n[ledger]", "must be from 32"),
        ("[ledger]", "[engine]\nbatch_size = 0\n[ledger]", "1048576 rows"),
        ("[ledger]", "[engine]\nspill_mib_per_query = 5\n[ledger]", "needs a spill_directory"),
        ("deadline_seconds = 20", "listen = \"0.0.0.0:1\"", "clear text"),
        ("name = \"ben\"", "name = \"ana\"", "'ana' is declared twice"),
        ("name = \"ben\"", "name = \"Ben\"", "principal 'Ben' must be"),
        ("token_sha256 = \"", "token_sha256 = \"x", "64 hexadecimal digits"),
        ("name = \"ben\"", "name = \"ben\"\npassword_argon2 = \"secret\"", "`undertone token password`"),
        ("[ledger]", "[[principal]]\nname = \"eve\"\n[ledger]", "set token_sha256, password_argon2 or both"),
        ("path = \"ledger.sqlite\"", "", "either ledger.path or ledger.url"),
        ("path = \"ledger.sqlite\"", "url = \"mysql://db\"", "must begin with postgres://"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let e = server::load(&path).err().unwrap_or_else(|| panic!("accepted: {to}"));
        assert!(e.message.contains(words) && e.message.contains("undertone.toml"), "{to}: {e}");
    }
}

/// What is wrong with a policy by itself, and with one that is not about the datasets and principals that there are.
#[test]
fn policies_are_checked() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let path = world.path("policy.toml");
    let good = std::fs::read_to_string(&path).unwrap()
        + "\n[[purpose]]\nname = \"research\"\n[[team]]\nname = \"t\"\ndataset = \"clinic\"\nepsilon = 1\ndelta = 0\nreserved = \"0.5\"\n"
        + "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nepsilon = 1\n"
        + "[[permission]]\ndataset = \"clinic\"\ntable = \"visits\"\ncolumns = [\"age\"]\nteams = [\"t\"]\n";
    std::fs::write(&path, &good).unwrap();
    let config = server::load(&world.path("undertone.toml")).unwrap();
    let outlines = [catalog::Outline::read(&world.path("clinic.toml")).unwrap()];
    let check = || server::check_policy(&config.policy()?, &outlines, &config);
    check().unwrap();
    for (from, to, words) in [
        ("[[grant]]", "[[grants]]", "unknown field `grants`"),
        ("principal = \"ben\"", "principal = \"carl\"", "names principal 'carl', which is not declared"),
        ("principal = \"ben\"", "principal = \"ana\"", "two grants"),
        ("principal = \"ben\"", "principal = \"gina\"", "has role governance and may ask questions"),
        ("principals = [\"audrey\"]", "principals = [\"Audrey\"]", "principal 'Audrey' must be"),
        ("name = \"auditor\"", "name = \"king\"", "unknown variant `king`"),
        ("epsilon = \"0.5\"", "epsilon = \"0\"", "epsilon must be above 0"),
        ("delta = \"1e-6\"", "delta = \"1\"", "delta must be below 1"),
        ("pool_epsilon = \"1e12\"", "pool_epsilon = \"many\"", "is not a decimal number"),
        ("epsilon = \"0.5\"", "epsilon = \"0.5\"\nwindow = \"hourly\"", "unknown variant `hourly`"),
        ("epsilon = \"0.5\"", "epsilon = \"0.5\"\nuntil = 10:00:00", "until must be a day"),
        ("epsilon = \"0.5\"", "epsilon = \"0.5\"\nteam = \"x\"", "names team 'x', which has no [[team]]"),
        ("epsilon = \"0.5\"", "epsilon = \"0.5\"\nreserved = \"0.6\"", "more than the whole pool"),
        ("epsilon = \"0.5\"", "epsilon = \"0.5\"\nteam = \"t\"\nreserved = \"0.6\"", "reserve more of the pool"),
        ("epsilon = \"0.5\"", "epsilon = \"0.5\"\nmax_epsilon = 0", "must be above 0"),
        ("epsilon = \"0.5\"", "epsilon = \"0.5\"\nmax_epsilon = 1\ndefault_epsilon = 2", "default_epsilon is above"),
        ("name = \"research\"", "name = \"resarch\"", "names purpose 'research', which has no [[purpose]]"),
        ("name = \"clinic\"", "name = \"klinik\"", "names dataset 'clinic', which has no [[dataset]]"),
        ("name = \"health\"", "name = \"wealth\"", "no column of dataset 'clinic' is of tier 'wealth'"),
        ("name = \"health\"", "name = \"health\"\nmin_units = 0", "min_units must be from 1"),
        ("table = \"visits\"", "table = \"visit\"", "table 'visit', which dataset 'clinic' does not have"),
        ("[\"age\"]", "[\"wage\"]", "column 'wage', which table 'visits' does not have"),
        ("teams = [\"t\"]", "teams = [\"u\"]", "names team 'u'"),
        (
            "[[purpose]]",
            "[[dataset]]\nname = \"other\"\npool_epsilon = 1\npool_delta = 0\n[[purpose]]",
            "which is not served",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let e = check().err().unwrap_or_else(|| panic!("accepted: {to}"));
        assert!(e.message.contains(words), "{to}: {e}");
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
