//! A real PostgreSQL server, out of Debian's package `postgresql`.
//!
//! A cluster has a temporary directory to itself and is reached through a socket there and nowhere else. It ends with
//! the tests, however they end: no process and no file remains.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Names the socket; every cluster has a directory of its own, so that they do not collide.
const PORT: &str = "5432";
const SUPERUSER: &str = "postgres";
/// Owns the databases and may do nothing beyond them, as in production.
const OWNER: &str = "undertone";
/// How long a start may take, recovery on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(60);
const SETTINGS: [&str; 5] = [
    "listen_addresses=",
    // Recovery syncs all that is there, and file by file that takes seconds.
    "recovery_init_sync_method=syncfs",
    "max_connections=200",
    "shared_buffers=16MB",
    "log_min_messages=warning",
];
/// Waits for its input to close, which the end of the tests does, and for the server to be gone; then tidies up.
const JANITOR: &str = r#"
cat
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -e "$1/data/postmaster.pid" ] || break; sleep 1; done
rm -rf "$1"
"#;

/// Whether there is a server to start.
pub fn installed() -> bool {
    programs().is_some()
}

/// Whether tests can have a server. Where it is missing they fail, unless whoever runs them said that they know.
pub fn available() -> bool {
    if installed() {
        return true;
    }
    assert!(
        std::env::var_os("UNDERTONE_WITHOUT_POSTGRES").is_some(),
        "no PostgreSQL: install the Debian package `postgresql`, or set UNDERTONE_WITHOUT_POSTGRES to skip its tests"
    );
    println!("skipped, as there is no PostgreSQL and UNDERTONE_WITHOUT_POSTGRES is set");
    false
}

/// One cluster for all tests that do not crash theirs, begun by the first that asks.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

/// A cluster and the server over it.
pub struct Postgres {
    dir: TempDir,
    programs: PathBuf,
    server: Mutex<Option<Child>>,
    janitor: Child,
    databases: AtomicUsize,
}

impl Postgres {
    pub fn start() -> Postgres {
        let programs = programs().expect("the Debian package `postgresql` is not installed");
        let dir = tempfile::Builder::new().prefix("undertone-postgres-").tempdir().unwrap();
        // The server has to get in and to put its socket there, and clients have to reach that.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        if is_root() {
            chown(dir.path(), Some(id(&["-u", SUPERUSER])), Some(id(&["-g", SUPERUSER]))).unwrap();
        }
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .unwrap();
        let postgres = Postgres { dir, programs, server: Mutex::default(), janitor, databases: AtomicUsize::new(0) };
        // Nothing in a new cluster is worth waiting for the disk; the server itself does wait.
        run(postgres
            .as_user("initdb")
            .args(["--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync", "--no-instructions"])
            .args(["--username", SUPERUSER, "--pgdata"])
            .arg(postgres.data()));
        postgres.begin();
        postgres.sql("postgres", &format!("CREATE ROLE {OWNER} LOGIN"));
        postgres
    }

    /// URL of a new database.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // No session is ever in `template0`, and a session there would make this fail.
        run(self.client("createdb").args(["--template", "template0", "--owner", OWNER, &name]));
        let socket = percent_encoded(self.dir.path());
        format!("postgres://{OWNER}@localhost/{name}?host={socket}&port={PORT}")
    }

    /// Runs a statement as superuser in a database, given by its name or its URL: rows by line, columns between `|`.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        // In the URL, slashes of the socket's path are encoded.
        let name = database.rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap();
        let arguments = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", statement];
        let output = run(self.client("psql").args(arguments));
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// A crash: sessions are cut off, nothing is written out, and the next start has to recover.
    pub fn stop_at_once(&self) {
        assert!(self.stop(), "the server would not stop: {}", self.log());
    }

    /// Starts again on the same data, after a crash if it still runs.
    pub fn restart(&self) {
        self.stop_at_once();
        self.begin();
    }

    fn begin(&self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = self.as_user("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.dir.path()).args(["-p", PORT]);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        // In a group of its own, it does not get the interrupt that a terminal sends to the tests, but ends after them.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let server = spawn_for_life(command);
        let id = server.id().to_string();
        *self.server() = Some(server);
        let begun = Instant::now();
        while !self.is_ready(&id) {
            let ended = self.server().as_mut().and_then(|server| server.try_wait().unwrap());
            assert!(ended.is_none(), "the server did not start: {}", self.log());
            assert!(begun.elapsed() < PATIENCE, "the server does not get ready: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether this process says that it takes connections: `pg_ctl` looks at the same two lines.
    fn is_ready(&self, id: &str) -> bool {
        let said = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<_> = said.lines().map(str::trim).collect();
        lines.first() == Some(&id) && lines.get(7) == Some(&"ready")
    }

    /// Whether it went as it should, so that a drop amid a panic does not panic again.
    fn stop(&self) -> bool {
        let Some(mut server) = self.server().take() else { return true };
        let mut command = self.as_user("pg_ctl");
        command.args(["stop", "-s", "-m", "immediate", "-D"]).arg(self.data());
        let stopped = command.output().is_ok_and(|output| output.status.success());
        if !stopped {
            let _ = server.kill();
        }
        let _ = server.wait();
        stopped
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A program that the server's user runs: root may not, and becomes `postgres`. It gets the signal for an immediate
    /// shutdown when whoever starts it ends. SIGKILL instead would leave busy sessions and shared memory behind.
    fn as_user(&self, program: &str) -> Command {
        let mut command = self.bare("setpriv");
        if is_root() {
            command.args([format!("--reuid={SUPERUSER}"), format!("--regid={SUPERUSER}"), "--clear-groups".to_owned()]);
        }
        command.args(["--pdeathsig", "QUIT", "--"]).arg(self.programs.join(program));
        command
    }

    /// A client as superuser.
    fn client(&self, program: &str) -> Command {
        let mut command = self.bare(self.programs.join(program));
        command.arg("-h").arg(self.dir.path()).args(["-p", PORT, "-U", SUPERUSER]);
        command
    }

    /// Without the environment, where variables such as PGOPTIONS may be set, and where the server's user may be.
    fn bare(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .current_dir(self.dir.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

/// Where the newest server's programs are. Debian keeps them out of PATH.
fn programs() -> Option<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().ok()?.flatten();
    let numbered = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let programs = numbered.map(|(version, path)| (version, path.join("bin")));
    // Without a server's package, a client's may still be there.
    programs.filter(|(_, path)| path.join("initdb").exists()).max().map(|(_, path)| path)
}

fn is_root() -> bool {
    id(&["-u"]) == 0
}

fn id(arguments: &[&str]) -> u32 {
    let output = run(Command::new("id").args(arguments));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Starts a command from a thread that stays for the life of this process.
///
/// A child gets its death signal when the thread that started it ends, which need not be when the process does. Each
/// test has a thread, and the first to want the shared server would take it along.
fn spawn_for_life(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = mpsc::channel();
    starter.send((command, reply)).unwrap();
    child.recv().unwrap().unwrap()
}

fn percent_encoded(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |text, byte| {
        if byte.is_ascii_alphanumeric() { text + &char::from(*byte).to_string() } else { format!("{text}%{byte:02X}") }
    })
}
