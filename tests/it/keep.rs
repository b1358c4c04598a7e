//! How a ledger is kept: answers that expire or are encrypted, copies, and the anchor that tells an older ledger from the newest.

use crate::ledger::{account, claim, in_each_store, open};
use crate::postgres;
use crate::world::{ANA, Caller, Recipe, World, code, request};
use sqlx::{Connection, SqliteConnection};
use std::path::PathBuf;
use undertone::error::Code;
use undertone::ledger::{Anchor, Answered, FoundBounds, Keys, Ledger, Location, Reserved};

fn answered(bytes: &[u8]) -> Answered {
    Answered { bytes: bytes.to_vec(), drawn: Some(b"drawn of it".to_vec()), ..Answered::default() }
}

/// Pays for a question and answers it.
async fn ask(ledger: &Ledger, query_id: &str, bytes: &[u8]) {
    assert!(matches!(ledger.reserve(claim("ana", query_id)).await, Ok(Reserved::Run { .. })));
    assert_eq!(ledger.commit(&account("ana"), query_id, answered(bytes)).await.unwrap().bytes, bytes);
}

/// An answer that policy keeps no longer is gone, with all that is needed to draw once more; what it cost stays spent, and its query id says what became of it.
#[tokio::test]
async fn answers_expire_and_stay_paid() {
    in_each_store(async |location| {
        let ledger = open(location).await;
        ask(&ledger, "old", b"an answer").await;
        let reuse = undertone::ledger::Claim { fresh: false, question: b"old".to_vec(), ..claim("ana", "again") };
        assert!(matches!(ledger.reserve(reuse.clone()).await, Ok(Reserved::Stored(_))));
        let spent = ledger.scope(&account("ana"), &[]).await.unwrap().unwrap().own.spent;
        // Nothing is that old yet.
        ledger.expire("clinic", 1_000).await.unwrap();
        assert!(ledger.answer("ana", "old").await.unwrap().is_some());
        ledger.expire("clinic", i64::MAX).await.unwrap();
        for id in ["old", "again"] {
            assert_eq!(ledger.answer("ana", id).await.unwrap_err().code, Code::AnswerExpired, "{id}");
            assert_eq!(ledger.drawn("ana", id).await.unwrap_err().code, Code::AnswerExpired, "{id}");
            assert_eq!(ledger.replay("ana", id, &[1]).await.unwrap_err().code, Code::AnswerExpired, "{id}");
        }
        assert_eq!(ledger.reserve(claim("ana", "old")).await.unwrap_err().code, Code::AnswerExpired);
        assert_eq!(ledger.scope(&account("ana"), &[]).await.unwrap().unwrap().own.spent, spent);
        // The same question is a new one now, and paid.
        let anew = undertone::ledger::Claim { query_id: "anew".into(), ..reuse };
        assert!(matches!(ledger.reserve(anew).await, Ok(Reserved::Run { .. })));
        let entries = ledger.audit_entries(0).await.unwrap();
        assert_eq!(entries.iter().filter(|entry| entry.kind == "expiry").count(), 1);
        ledger.verify().await.unwrap().chain.entries();
    })
    .await;
}

/// With a key nothing that an answer holds is in the ledger's files in clear, and what was kept before there was one stays readable; without it nothing that it sealed is.
#[tokio::test]
async fn answers_are_encrypted_at_rest() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, digit: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, digit.repeat(64)).unwrap();
        path
    };
    let (old, new) = (file("old.key", "a"), file("new.key", "b"));
    in_each_store(async |location| {
        ask(&open(location).await, "plain", b"without a key").await;
        let keys = Keys::read([old.as_path()]).unwrap();
        let ledger = Ledger::open_with(location, keys, None).await.unwrap();
        let found = FoundBounds { asked: vec![7], found: "[\"released\"]".into(), charge: None };
        assert!(matches!(ledger.reserve(claim("ana", "sealed")).await, Ok(Reserved::Run { .. })));
        let secret = Answered { bounds: vec![found.clone()], ..answered(b"a secret answer") };
        ledger.commit(&account("ana"), "sealed", secret).await.unwrap();
        assert_eq!(ledger.bounds(&account("ana")).await.unwrap(), std::slice::from_ref(&found));
        let rotated =
            Ledger::open_with(location, Keys::read([new.as_path(), old.as_path()]).unwrap(), None).await.unwrap();
        ask(&rotated, "rotated", b"a later secret").await;
        for (id, bytes) in [("plain", "without a key"), ("sealed", "a secret answer"), ("rotated", "a later secret")] {
            assert_eq!(rotated.answer("ana", id).await.unwrap().unwrap().bytes, bytes.as_bytes());
            assert_eq!(rotated.drawn("ana", id).await.unwrap().unwrap().unwrap(), b"drawn of it");
        }
        assert_eq!(rotated.bounds(&account("ana")).await.unwrap(), [found]);
        // As a thief sees it.
        let mut copy = Vec::new();
        rotated.back_up(&mut copy).await.unwrap();
        let text = String::from_utf8(copy).unwrap();
        let hex = |bytes: &str| bytes.bytes().map(|b| format!("{b:02x}")).collect::<String>();
        assert!(text.contains(&hex("without a key")));
        for words in ["secret", "released"] {
            assert!(!text.contains(&hex(words)) && !text.contains(words), "{words}");
        }
        let without = open(location).await;
        assert!(without.answer("ana", "plain").await.unwrap().is_some());
        assert_eq!(without.answer("ana", "sealed").await.unwrap_err().code, Code::LedgerUnavailable);
        // Bounds are found anew; a lost key must not stop all questions.
        assert_eq!(without.bounds(&account("ana")).await.unwrap(), []);
    })
    .await;
    assert!(Keys::read([dir.path().join("none").as_path()]).is_err());
    std::fs::write(&old, "short").unwrap();
    let e = Keys::read([old.as_path()]).err().unwrap();
    assert!(e.code == Code::Configuration && e.message.contains("64 hexadecimal digits"), "{e}");
}

/// A copy that is made while the ledger is written to is the ledger at one moment, and fills either store; what is damaged fills none.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_fills_either_store() {
    let dir = tempfile::tempdir().unwrap();
    in_each_store(async |location| {
        let ledger = open(location).await;
        ask(&ledger, "answered", b"an answer").await;
        ledger.reserve(claim("ana", "open")).await.unwrap();
        ledger.hold("gina", "clinic", "ben", "asked for it", true).await.unwrap();
        let writing = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                for n in 0..200 {
                    ledger.reserve(claim("ana", &format!("w{n}"))).await.unwrap();
                }
            }
        });
        let mut copy = Vec::new();
        let head = ledger.back_up(&mut copy).await.unwrap();
        writing.await.unwrap();
        let targets = [
            Some(Location::Sqlite(dir.path().join(format!("{}.sqlite", rand::random::<u64>())))),
            postgres::available().then(|| Location::Postgres(postgres::shared().database())),
        ];
        for target in targets.into_iter().flatten() {
            assert_eq!(Ledger::restore(&target, copy.as_slice()).await.unwrap(), head);
            let restored = Ledger::open(&target).await.unwrap();
            assert_eq!(restored.verify().await.unwrap().chain.entries(), head.0 + 1);
            // What was reserved may have been answered since the copy was made.
            assert_eq!(restored.reserve(claim("ana", "open")).await.unwrap_err().code, Code::ExecutionFailed);
            assert_eq!(restored.answer("ana", "answered").await.unwrap().unwrap().bytes, b"an answer");
            assert_eq!(restored.reserve(claim("ben", "new")).await.unwrap_err().code, Code::AccountFrozen);
            assert!(matches!(restored.reserve(claim("ana", "new")).await, Ok(Reserved::Run { .. })));
            restored.verify().await.unwrap().chain.entries();
            let again = Ledger::restore(&target, copy.as_slice()).await.unwrap_err();
            assert!(again.message.contains("not empty"), "{again}");
        }
        // Half of it, another version of it, and one with a changed entry.
        let text = String::from_utf8(copy).unwrap();
        let last = text.trim_end().rfind('\n').unwrap();
        for (wrong, says) in [
            (text[..last].to_owned(), "not whole"),
            (text.replacen("\"undertone_ledger\":", "\"undertone_ledger\":1", 1), "version"),
            (text.replace("\\\"charge\\\"", "x").replacen("research", "resarch", 400), "does not fit"),
            ("{}".to_owned(), "no copy"),
            (text.replacen("\"table\":\"accounts\"", "\"table\":\"sqlite_master\"", 1), "no row"),
        ] {
            let target = Location::Sqlite(dir.path().join(format!("{}.sqlite", rand::random::<u64>())));
            let e = Ledger::restore(&target, wrong.as_bytes()).await.unwrap_err();
            assert!(e.code == Code::Configuration && e.message.contains(says), "{says}: {e}");
            assert_eq!(Ledger::open(&target).await.unwrap().head().await.unwrap().0, 0);
        }
    })
    .await;
}

/// An older ledger that is put back is found out at once, by whoever noted a later entry, and is of no use until the loss is accepted: then all grants are used up.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_ledger_is_refused_until_the_loss_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    in_each_store(async |location| {
        let note = Anchor(dir.path().join(format!("{}.anchor", rand::random::<u64>())));
        let anchored =
            async |location: &Location| Ledger::open_with(location, Keys::default(), Some(note.clone())).await.unwrap();
        drop(open(location).await);
        let ledger = anchored(location).await;
        ask(&ledger, "first", b"1").await;
        ledger.reserve(claim("ana", "open")).await.unwrap();
        let mut copy = Vec::new();
        ledger.back_up(&mut copy).await.unwrap();
        ask(&ledger, "second", b"2").await;
        assert_eq!(note.read().unwrap().unwrap(), ledger.head().await.unwrap());
        drop(ledger);
        // The newest one goes on.
        ask(&anchored(location).await, "third", b"3").await;

        let older = match location {
            Location::Sqlite(_) => Location::Sqlite(dir.path().join(format!("{}.sqlite", rand::random::<u64>()))),
            Location::Postgres(_) => Location::Postgres(postgres::shared().database()),
        };
        Ledger::restore(&older, copy.as_slice()).await.unwrap();
        let ledger = anchored(&older).await;
        for _ in 0..2 {
            let refused = ledger.reserve(claim("ana", "cheap")).await.unwrap_err();
            assert_eq!(refused.code, Code::LedgerUnavailable);
            assert!(refused.message.contains("accept-loss"), "{refused}");
        }
        // What is in it can be read, but nothing can be spent.
        assert!(ledger.answer("ana", "first").await.unwrap().is_some());
        ledger.accept_loss("the disk burned").await.unwrap();
        for principal in ["ana", "ben"] {
            let refused = ledger.reserve(claim(principal, "cheap")).await.unwrap_err();
            assert_eq!(refused.code, Code::BudgetExhausted, "{refused}");
        }
        assert_eq!(ledger.reserve(claim("ana", "open")).await.unwrap_err().code, Code::ExecutionFailed);
        ledger.verify().await.unwrap();
        assert_eq!(note.read().unwrap().unwrap(), ledger.head().await.unwrap());
    })
    .await;
}

/// Where the note cannot be written nothing more is charged, until it can be.
#[tokio::test]
async fn a_note_that_cannot_be_written_stops_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let location = Location::Sqlite(dir.path().join("ledger.sqlite"));
    drop(open(&location).await);
    let anchor = Some(Anchor(elsewhere.join("note")));
    let ledger = Ledger::open_with(&location, Keys::default(), anchor).await.unwrap();
    ask(&ledger, "noted", b"1").await;
    std::fs::rename(&elsewhere, dir.path().join("away")).unwrap();
    // Its charge is on disk, and so it counts; the next one is refused.
    assert!(matches!(ledger.reserve(claim("ana", "committed")).await, Ok(Reserved::Run { .. })));
    assert_eq!(ledger.reserve(claim("ana", "refused")).await.unwrap_err().code, Code::LedgerUnavailable);
    std::fs::rename(dir.path().join("away"), &elsewhere).unwrap();
    assert!(matches!(ledger.reserve(claim("ana", "refused")).await, Ok(Reserved::Run { .. })));
    let spent = ledger.scope(&account("ana"), &[]).await.unwrap().unwrap().own.spent;
    assert_eq!(spent.charges, 3);
}

/// The same as people do it: a server with a key, an anchor and answers that expire; its copy, and an older ledger that is put back.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_what_its_configuration_says() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let edit = |file: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(world.path(file)).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(world.path(file), text.replacen(from, to, 1)).unwrap();
    };
    let (done, key) = world.run(&["ledger", "key"]);
    assert!(done && key.trim().len() == 64, "{key}");
    std::fs::write(world.path("ledger.key"), key).unwrap();
    let more = "path = \"ledger.sqlite\"\nencryption_key = \"ledger.key\"\nanchor = \"note\"";
    edit("undertone.toml", "path = \"ledger.sqlite\"", more);
    edit("policy.toml", "pool_epsilon", "answers_kept_days = 30\npool_epsilon");
    let ledger = ["--config", "undertone.toml"];
    let run = |args: &[&str]| world.run(&[args, &ledger].concat());

    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let count = |id: &str| undertone::proto::ExecuteRequest {
        query_id: id.into(),
        ..request("SELECT count(*) AS n FROM visits", "1")
    };
    ana.execute(count("first")).await.unwrap();
    let (done, said) = run(&["ledger", "backup", "-o", "copy.ndjson"]);
    assert!(done && said.contains("audit entries"), "{said}");
    assert!(!run(&["ledger", "backup", "-o", "copy.ndjson"]).0, "a copy was overwritten");
    ana.execute(undertone::proto::ExecuteRequest { fresh: true, ..count("second") }).await.unwrap();
    running.stop().await.unwrap();
    let (done, head) = run(&["ledger", "head"]);
    let noted = std::fs::read_to_string(world.path("note")).unwrap();
    assert!(done && noted.contains(head.split(' ').nth(1).unwrap().trim()), "{head} {noted}");
    // Two months later.
    let url = format!("sqlite://{}", world.path("ledger.sqlite").display());
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    let aged = "UPDATE charges SET answered_at = answered_at - 5184000 WHERE query_id = 'first'";
    sqlx::raw_sql(aged).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    let mut expired = ana.get_answer("first").await;
    for _ in 0..100 {
        if expired.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        expired = ana.get_answer("first").await;
    }
    assert_eq!(code(&expired.unwrap_err()), "ANSWER_EXPIRED");
    assert!(ana.get_answer("second").await.is_ok());
    running.stop().await.unwrap();

    for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let _ = std::fs::remove_file(world.path(name));
    }
    let (done, said) = run(&["ledger", "restore", "copy.ndjson"]);
    assert!(done, "{said}");
    let (done, said) = world.run(&["serve", "--config", "undertone.toml", "--listen", "127.0.0.1:0"]);
    assert!(!done && said.contains("accept-loss"), "{said}");
    let (done, said) = run(&["ledger", "accept-loss", "--reason", "the disk burned"]);
    assert!(done, "{said}");
    let running = world.serve().await;
    let ana = Caller::to(&running, ANA).await;
    assert_eq!(
        code(&ana.execute(undertone::proto::ExecuteRequest { fresh: true, ..count("third") }).await.unwrap_err()),
        "BUDGET_EXHAUSTED"
    );
    assert!(run(&["audit", "verify"]).0);
    running.stop().await.unwrap();
}
