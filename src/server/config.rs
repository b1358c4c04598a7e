//! The server's configuration file. Unknown keys are refused. `examples/undertone.toml` is the annotated example.

use crate::api::{Credential, check_password_hash};
use crate::catalog::{ReaderOptions, SpillOptions};
use crate::error::{Error, Result};
use crate::ledger::{Anchor, Keys, Ledger, Location};
use crate::policy::{Policy, check_name};
use crate::session::Limits;
use serde::Deserialize;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file itself.
    #[serde(skip)]
    pub path: PathBuf,
    /// In the place of the address in the file.
    #[serde(skip)]
    listen: Option<SocketAddr>,
    #[serde(default)]
    pub server: ServerSection,
    pub ledger: LedgerSection,
    pub policy: PolicySection,
    #[serde(default)]
    pub engine: EngineSection,
    #[serde(default)]
    pub telemetry: TelemetrySection,
    #[serde(rename = "dataset", default)]
    pub datasets: Vec<DatasetSection>,
    #[serde(rename = "principal", default)]
    pub principals: Vec<PrincipalSection>,
}

/// Governance's policy, where the ledger has none yet.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    pub file: PathBuf,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    pub listen: SocketAddr,
    pub max_request_bytes: usize,
    pub max_concurrent_queries: usize,
    pub max_concurrent_queries_per_principal: Option<usize>,
    pub deadline_seconds: u64,
    pub time_bucket_millis: u64,
    pub tls: Option<TlsSection>,
    /// Listens on other machines' networks without TLS, where something in front encrypts.
    pub allow_plaintext: bool,
}

/// Files in PEM.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The server's certificate, and those that lead from it to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Authorities of clients' certificates; with it a client without one is turned away.
    pub client_ca: Option<PathBuf>,
}

impl Default for ServerSection {
    fn default() -> Self {
        ServerSection {
            listen: SocketAddr::from(([127, 0, 0, 1], 50061)),
            max_request_bytes: 1 << 20,
            max_concurrent_queries: 4,
            max_concurrent_queries_per_principal: None,
            deadline_seconds: 60,
            time_bucket_millis: 50,
            tls: None,
            allow_plaintext: false,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LedgerSection {
    /// A SQLite file.
    pub path: Option<PathBuf>,
    /// In its place, a PostgreSQL database that several servers share.
    pub url: Option<String>,
    /// A file elsewhere that notes the head of the audit chain.
    pub anchor: Option<PathBuf>,
    /// A file with the key that answers are encrypted with.
    pub encryption_key: Option<PathBuf>,
    /// Those of answers that were encrypted before.
    #[serde(default)]
    pub earlier_encryption_keys: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct EngineSection {
    pub partitions: Option<usize>,
    pub batch_size: Option<usize>,
    pub memory_mib_per_query: Option<usize>,
    pub spill_directory: Option<PathBuf>,
    pub spill_mib_per_query: Option<u64>,
}

/// What operators see.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySection {
    /// Port of counters and readiness.
    pub listen: Option<SocketAddr>,
    /// Collector of traces, over OTLP/gRPC.
    pub otlp_endpoint: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DatasetSection {
    /// The dataset's own file, relative to this one.
    pub file: PathBuf,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PrincipalSection {
    pub name: String,
    pub token_sha256: Option<String>,
    /// For tools that know names and passwords alone, over Flight SQL.
    pub password_argon2: Option<String>,
}

/// With less, sorting alone would fail.
const LEAST_MEMORY_MIB: u64 = 32;
/// A pebibyte.
const MOST_MIB: u64 = 1 << 30;
/// What one key of ChaCha20 can encrypt: 2^32 blocks of 64 bytes.
const MOST_SPILL_MIB: u64 = 1 << 18;
/// Of one question, where spilling is allowed.
const DEFAULT_SPILL_MIB: u64 = 8192;

/// Reads a configuration; relative paths in it are relative to the file.
pub fn load(path: &Path) -> Result<Config> {
    let fail = |message: String| Error::configuration(format!("{}: {message}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let mut config: Config = toml::from_str(&text).map_err(|e| fail(e.to_string().trim_end().to_owned()))?;
    config.check().map_err(|e| fail(e.message))?;
    let base = path.parent().unwrap_or(Path::new("."));
    config.path = path.to_owned();
    config.ledger.anchor = config.ledger.anchor.map(|path| base.join(path));
    for key in config.ledger.encryption_key.iter_mut().chain(&mut config.ledger.earlier_encryption_keys) {
        *key = base.join(&key);
    }
    config.policy.file = base.join(&config.policy.file);
    config.ledger.path = config.ledger.path.map(|path| base.join(path));
    config.engine.spill_directory = config.engine.spill_directory.map(|directory| base.join(directory));
    if let Some(tls) = &mut config.server.tls {
        tls.certificate = base.join(&tls.certificate);
        tls.key = base.join(&tls.key);
        tls.client_ca = tls.client_ca.as_ref().map(|path| base.join(path));
    }
    for dataset in &mut config.datasets {
        dataset.file = base.join(&dataset.file);
    }
    Ok(config)
}

impl PrincipalSection {
    fn check(&self) -> Result<()> {
        let PrincipalSection { name, token_sha256, password_argon2 } = self;
        let fail = |why: String| Err(Error::configuration(format!("principal '{name}': {why}")));
        let is_digest = |digest: &String| {
            digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if token_sha256.as_ref().is_some_and(|digest| !is_digest(digest)) {
            return fail("token_sha256 must be 64 hexadecimal digits from `undertone token issue`".into());
        }
        match (token_sha256, password_argon2) {
            (None, None) => fail("set token_sha256, password_argon2 or both".into()),
            (_, Some(hash)) => check_password_hash(hash).or_else(|why| fail(format!("password_argon2 {why}"))),
            _ => Ok(()),
        }
    }
}

impl Config {
    fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::configuration(message));
        if self.server.max_concurrent_queries == 0
            || self.server.max_concurrent_queries_per_principal == Some(0)
            || self.server.deadline_seconds == 0
            || self.server.max_request_bytes == 0
            || self.server.time_bucket_millis == 0
        {
            return fail("server limits must be above 0".into());
        }
        self.check_address(self.server.listen)?;
        self.ledger()?;
        let EngineSection { memory_mib_per_query: memory, spill_directory, spill_mib_per_query: spill, .. } =
            &self.engine;
        let engine = &self.engine;
        if self.server.max_concurrent_queries > 10_000
            || engine.partitions.is_some_and(|n| !(1..=1024).contains(&n))
            || engine.batch_size.is_some_and(|n| !(1..=1 << 20).contains(&n))
        {
            return fail("limits are at most 10000 queries, 1024 partitions and 1048576 rows per batch".into());
        }
        let memory_fits = |mib| (LEAST_MEMORY_MIB..=MOST_MIB).contains(&mib);
        if !memory.is_none_or(|mib| memory_fits(mib as u64))
            || !spill.is_none_or(|mib| (1..=MOST_SPILL_MIB).contains(&mib))
        {
            return fail(format!(
                "memory_mib_per_query must be from {LEAST_MEMORY_MIB}, and spill_mib_per_query at most {MOST_SPILL_MIB}"
            ));
        }
        if spill.is_some() && spill_directory.is_none() {
            return fail("spill_mib_per_query needs a spill_directory".into());
        }
        let mut names = HashSet::new();
        for principal in &self.principals {
            check_name("principal", &principal.name)?;
            principal.check()?;
            if !names.insert(principal.name.as_str()) {
                return fail(format!("principal '{}' is declared twice", principal.name));
            }
        }
        let mut digests = HashSet::new();
        if !self.principals.iter().filter_map(|p| p.token_sha256.as_ref()).all(|digest| digests.insert(digest)) {
            return fail("two principals have the same token".into());
        }
        Ok(())
    }

    /// Listens at another address than the file says.
    pub fn listen_at(&mut self, address: SocketAddr) -> Result<()> {
        self.check_address(address)?;
        self.listen = Some(address);
        Ok(())
    }

    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        self.listen.unwrap_or(self.server.listen)
    }

    fn check_address(&self, address: SocketAddr) -> Result<()> {
        let ServerSection { tls, allow_plaintext, .. } = &self.server;
        match address.ip().is_loopback() || tls.is_some() || *allow_plaintext {
            true => Ok(()),
            false => Err(Error::configuration(format!(
                "listen address {address} is not loopback, and tokens must not travel in clear text: set [server.tls], or allow_plaintext where something in front encrypts"
            ))),
        }
    }

    /// Where charges, answers and audit entries are.
    pub fn ledger(&self) -> Result<Location> {
        let of_postgres = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        match &self.ledger {
            LedgerSection { path: Some(path), url: None, .. } => Ok(Location::Sqlite(path.clone())),
            LedgerSection { path: None, url: Some(url), .. } if of_postgres(url) => Ok(Location::Postgres(url.clone())),
            LedgerSection { path: None, url: Some(_), .. } => {
                Err(Error::configuration("ledger.url must begin with postgres://; for a SQLite file set ledger.path"))
            }
            _ => Err(Error::configuration("set either ledger.path or ledger.url")),
        }
    }

    /// Opens the ledger, with its keys.
    pub async fn open_ledger(&self) -> Result<Ledger> {
        let LedgerSection { anchor, encryption_key, earlier_encryption_keys, .. } = &self.ledger;
        if encryption_key.is_none() && !earlier_encryption_keys.is_empty() {
            return Err(Error::configuration("ledger.earlier_encryption_keys without an encryption_key"));
        }
        let files = encryption_key.iter().chain(earlier_encryption_keys).map(PathBuf::as_path);
        Ledger::open_with(&self.ledger()?, Keys::read(files)?, anchor.clone().map(Anchor)).await
    }

    /// The policy file as it is now.
    pub fn policy(&self) -> Result<Policy> {
        let fail = |why: String| Error::configuration(format!("{}: {why}", self.policy.file.display()));
        let text = std::fs::read_to_string(&self.policy.file).map_err(|e| fail(format!("cannot be read: {e}")))?;
        Policy::read(&text).map_err(|e| fail(e.message))
    }

    /// Principals, and what they are known by.
    pub fn credentials(&self) -> impl Iterator<Item = (String, Credential)> {
        self.principals.iter().flat_map(|p| {
            let token = p.token_sha256.clone().map(|sha256| Credential::Token { sha256 });
            let password = p.password_argon2.clone().map(|argon2| Credential::Password { argon2 });
            token.into_iter().chain(password).map(|credential| (p.name.clone(), credential))
        })
    }

    /// Takes from a newer reading what can change while a server runs: the names of sections where more than that changed.
    pub fn take(&mut self, fresh: Config) -> Vec<&'static str> {
        let Config { datasets, principals, path: _, listen: _, server, ledger, policy, engine, telemetry } = fresh;
        let fixed = [
            ("server", server != self.server),
            ("ledger", ledger != self.ledger),
            ("policy", policy != self.policy),
            ("engine", engine != self.engine),
            ("telemetry", telemetry != self.telemetry),
        ];
        (self.datasets, self.principals) = (datasets, principals);
        fixed.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect()
    }

    pub fn reader_options(&self) -> ReaderOptions {
        let standard = ReaderOptions::default();
        let spill_mib = self.engine.spill_mib_per_query.unwrap_or(DEFAULT_SPILL_MIB);
        ReaderOptions {
            partitions: self.engine.partitions.unwrap_or(standard.partitions).max(1),
            batch_size: self.engine.batch_size.unwrap_or(standard.batch_size).max(1),
            memory_bytes: self.engine.memory_mib_per_query.map_or(standard.memory_bytes, |mib| mib << 20),
            spill: self
                .engine
                .spill_directory
                .clone()
                .map(|directory| SpillOptions { directory, bytes: spill_mib << 20 }),
        }
    }

    pub fn limits(&self) -> Limits {
        let ServerSection { deadline_seconds, max_concurrent_queries, time_bucket_millis, .. } = self.server;
        let per_principal = self.server.max_concurrent_queries_per_principal;
        Limits {
            deadline: Duration::from_secs(deadline_seconds),
            concurrent: max_concurrent_queries,
            concurrent_per_principal: per_principal.unwrap_or(max_concurrent_queries.div_ceil(2)),
            time_bucket: Duration::from_millis(time_bucket_millis),
            threads: self.reader_options().partitions,
        }
    }
}
