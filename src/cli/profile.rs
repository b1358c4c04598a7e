//! Where a command finds its server and its token: flags, then environment, then a profile of the client's own file, then defaults.

use crate::error::{Code, Error, Result};
use clap::Args;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

const DEFAULT_URL: &str = "http://127.0.0.1:50061";
const DEFAULT_PROFILE: &str = "default";

#[derive(Args)]
pub struct ServerArgs {
    /// The server's address; http://127.0.0.1:50061 if nothing says otherwise.
    #[arg(long, env = "UNDERTONE_URL")]
    url: Option<String>,
    /// Your token.
    #[arg(long, env = "UNDERTONE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// The profile to take what is not said from: a table [profile.NAME] with url, token, dataset and purpose in the file
    /// that UNDERTONE_CLIENT_CONFIG names, or in undertone/client.toml under XDG_CONFIG_HOME or ~/.config.
    #[arg(long, env = "UNDERTONE_PROFILE")]
    profile: Option<String>,
}

/// Files in PEM, for https addresses.
#[derive(Args, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsArgs {
    /// The authority of the server's certificate, if it is none that this machine trusts anyway.
    #[arg(long, env = "UNDERTONE_CA")]
    ca: Option<PathBuf>,
    /// Your certificate, for a server that asks for one.
    #[arg(long, env = "UNDERTONE_CLIENT_CERTIFICATE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, env = "UNDERTONE_CLIENT_KEY", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

impl TlsArgs {
    pub fn config(&self) -> Result<ClientTlsConfig> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|e| Error::configuration(format!("cannot read {}: {e}", path.display())))
        };
        let mut config = match &self.ca {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(config)
    }

    /// What is said here, and else there.
    fn or(self, other: TlsArgs) -> TlsArgs {
        TlsArgs {
            ca: self.ca.or(other.ca),
            client_certificate: self.client_certificate.or(other.client_certificate),
            client_key: self.client_key.or(other.client_key),
        }
    }
}

/// What a command needs to know of a server.
pub struct Target {
    pub url: String,
    pub token: String,
    pub tls: TlsArgs,
    profile: Profile,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    url: Option<String>,
    token: Option<String>,
    dataset: Option<String>,
    purpose: Option<String>,
    #[serde(default)]
    tls: TlsArgs,
}

impl ServerArgs {
    pub fn resolve(&self) -> Result<Target> {
        let profile = self.profile()?;
        let url = self.url.clone().or_else(|| profile.url.clone()).unwrap_or_else(|| DEFAULT_URL.into());
        // A profile's token and certificate are for the profile's server alone.
        let profile = match profile.url.as_ref().is_none_or(|own| *own == url) {
            true => profile,
            false => Profile { token: None, tls: TlsArgs::default(), ..profile },
        };
        let token = self.token.clone().or_else(|| profile.token.clone()).ok_or_else(|| {
            Error::new(Code::Unauthenticated, "there is no token: set UNDERTONE_TOKEN, or put it into a profile")
        })?;
        Ok(Target { url, token, tls: self.tls.clone().or(profile.tls.clone()), profile })
    }

    /// The named profile, which must be there, or the default one, which need not.
    fn profile(&self) -> Result<Profile> {
        let path = path();
        let file = match &path {
            Some(path) if path.exists() => read(path)?,
            _ => File::default(),
        };
        let name = self.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        match (file.profile.get(name), &self.profile) {
            (Some(profile), _) => Ok(profile.clone()),
            (None, None) => Ok(Profile::default()),
            (None, Some(_)) => {
                let place = path.map_or("your home directory is not known".into(), |p| p.display().to_string());
                Err(Error::configuration(format!("there is no profile '{name}' ({place})")))
            }
        }
    }
}

impl Target {
    /// A server on this machine.
    pub fn local(url: &str, token: &str) -> Target {
        Target { url: url.to_owned(), token: token.to_owned(), tls: TlsArgs::default(), profile: Profile::default() }
    }

    /// The dataset that is asked.
    pub fn dataset(&self, said: Option<String>) -> Result<String> {
        said.or_else(|| self.profile.dataset.clone()).ok_or_else(|| {
            Error::new(Code::InvalidRequest, "name the dataset: --dataset, UNDERTONE_DATASET, or in a profile")
        })
    }

    /// The purpose; empty where the server is to know it.
    pub fn purpose(&self, said: Option<String>) -> String {
        said.or_else(|| self.profile.purpose.clone()).unwrap_or_default()
    }
}

fn path() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("UNDERTONE_CLIENT_CONFIG").or_else(|| {
        let base = named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|home| home.join(".config")))?;
        Some(base.join("undertone").join("client.toml"))
    })
}

/// A file with tokens is for its owner alone.
fn read(path: &Path) -> Result<File> {
    use std::os::unix::fs::PermissionsExt;
    let fail = |why: String| Error::configuration(format!("{}: {why}", path.display()));
    let mode = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fail("others can read it, and it is for tokens: chmod 600".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    // Not the error's own words: they quote the line, which may hold a token.
    let mut file: File = toml::from_str(&text).map_err(|e| {
        let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        fail(format!("line {line}: {}", e.message()))
    })?;
    let base = path.parent().unwrap_or(Path::new("."));
    for (name, profile) in &mut file.profile {
        let TlsArgs { ca, client_certificate, client_key } = &mut profile.tls;
        if client_certificate.is_some() != client_key.is_some() {
            return Err(fail(format!("profile '{name}': client_certificate and client_key go together")));
        }
        for file in [ca, client_certificate, client_key].into_iter().flatten() {
            *file = base.join(&*file);
        }
    }
    Ok(file)
}
