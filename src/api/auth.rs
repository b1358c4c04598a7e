//! Callers. A principal is who a bearer token says, and nothing else in a request can change that.
//!
//! Tokens are 256 random bits, so their plain SHA-256 is stored: there is nothing to guess, and a stolen
//! configuration opens no door. Passwords are for tools that know nothing else, over Flight SQL alone: see [`password`].

use super::password;
use super::status::status;
use crate::error::{Code, Error, Result};
use crate::hex::{hex, sha256};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use rand::{TryRng, rngs::SysRng};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Some drivers leave out the padding of a basic credential.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who calls, as verified.
#[derive(Clone, Debug)]
pub struct Principal(pub String);

/// What a principal shows to be known: the digest of its token, or the hash of its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Token { sha256: String },
    Password { argon2: String },
}

/// The principals, and what they are known by.
#[derive(Clone, Default)]
pub struct Principals(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    /// By the digests of their tokens.
    by_token: HashMap<String, String>,
    /// Hashes, by their names.
    passwords: HashMap<String, String>,
}

impl Known {
    fn of(entries: impl IntoIterator<Item = (String, Credential)>) -> Known {
        let mut known = Known::default();
        for (principal, credential) in entries {
            match credential {
                Credential::Token { sha256 } => known.by_token.insert(sha256, principal),
                Credential::Password { argon2 } => known.passwords.insert(principal, argon2),
            };
        }
        known
    }
}

impl Principals {
    pub fn new(entries: impl IntoIterator<Item = (String, Credential)>) -> Self {
        Principals(Arc::new(RwLock::new(Known::of(entries))))
    }

    /// Knows these from now on, and no others; all clones do.
    pub fn replace(&self, entries: impl IntoIterator<Item = (String, Credential)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Known::of(entries);
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose bearer token a call carries.
    pub(super) fn find(&self, headers: &MetadataMap) -> Result<Principal> {
        self.of_token(bearer(headers)?).map(|(principal, _)| principal)
    }

    /// Whose token this is.
    pub(super) fn of_token(&self, token: &str) -> Result<(Principal, Credential)> {
        // The look-up is by digest, so its time says nothing about tokens.
        let sha256 = digest(token);
        let name = self.known().by_token.get(&sha256).cloned().ok_or_else(|| refuse("the token is not known"))?;
        Ok((Principal(name), Credential::Token { sha256 }))
    }

    /// Whose credential a call carries: a bearer token, or a name with its password or its token. What comes after the first
    /// colon is the password (RFC 7617).
    pub(super) async fn sign_in(&self, headers: &MetadataMap) -> Result<(Principal, Credential)> {
        let Some(basic) = of_scheme("Basic", credential(headers)?) else {
            return self.of_token(bearer(headers)?);
        };
        let plain = BASE64.decode(basic).ok().and_then(|plain| String::from_utf8(plain).ok());
        let plain = plain.ok_or_else(|| refuse("the basic credential cannot be read"))?;
        let (name, secret) = plain.split_once(':').ok_or_else(|| refuse("the basic credential has no password"))?;
        if let Some(found) = self.of_token(secret).ok().filter(|(principal, _)| principal.0 == name) {
            return Ok(found);
        }
        let stored = self.known().passwords.get(name).cloned();
        match (password::is(secret, stored.clone()).await?, stored) {
            (true, Some(argon2)) => Ok((Principal(name.to_owned()), Credential::Password { argon2 })),
            _ => Err(Error::new(
                Code::Unauthenticated,
                "the name or the password is not known: a principal's password, or its token in the place of one, is in the server's configuration",
            )),
        }
    }

    /// Whether a principal is still known by what it showed.
    pub(super) fn still(&self, principal: &str, by: &Credential) -> bool {
        let known = self.known();
        match by {
            Credential::Token { sha256 } => known.by_token.get(sha256).is_some_and(|name| name == principal),
            Credential::Password { argon2 } => known.passwords.get(principal) == Some(argon2),
        }
    }
}

fn refuse(why: &str) -> Error {
    Error::new(
        Code::Unauthenticated,
        format!("{why}: send one header `authorization: Bearer <token>`, with a token from `undertone token issue`"),
    )
}

/// What comes after a scheme's name, which is in any case (RFC 9110).
fn of_scheme<'a>(scheme: &str, credential: &'a str) -> Option<&'a str> {
    let (name, rest) = credential.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// The bearer token of a call.
pub(super) fn bearer(headers: &MetadataMap) -> Result<&str> {
    let token = of_scheme("Bearer", credential(headers)?).filter(|token| !token.is_empty());
    token.ok_or_else(|| refuse("the credential is no bearer token"))
}

/// The one credential of a call.
fn credential(headers: &MetadataMap) -> Result<&str> {
    let mut values = headers.get_all("authorization").iter();
    match (values.next(), values.next()) {
        (None, _) => Err(refuse("there is no credential")),
        (_, Some(_)) => Err(refuse("there is more than one credential")),
        (Some(value), None) => value.to_str().map_err(|_| refuse("the credential is not text")),
    }
}

impl Interceptor for Principals {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let principal = self.find(request.metadata()).map_err(|e| status(&e))?;
        request.extensions_mut().insert(principal);
        Ok(request)
    }
}

/// A new token: `ut_` and 64 hexadecimal digits from the operating system.
pub fn new_token() -> Result<String> {
    new_key().map(|key| format!("ut_{key}"))
}

/// 64 hexadecimal digits from the operating system.
pub fn new_key() -> Result<String> {
    random::<32>().map(|bytes| hex(&bytes))
}

/// Bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| Error::internal("the operating system gives no randomness"))?;
    Ok(bytes)
}

/// What is stored of a token: SHA-256 in lower-case hexadecimal.
pub fn digest(token: &str) -> String {
    sha256(token)
}
