//! Callers. A principal is who a bearer token says, and nothing else in a request can change that.
//!
//! Tokens are 256 random bits, so their plain SHA-256 is stored: there is nothing to guess, and a stolen
//! configuration opens no door.

use super::status::status;
use crate::error::{Code, Error, Result};
use crate::hex::{hex, sha256};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use rand::{TryRng, rngs::SysRng};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
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

/// Token digests and the principals that they stand for.
#[derive(Clone, Default)]
pub struct Principals {
    by_digest: Arc<RwLock<HashMap<String, String>>>,
}

impl Principals {
    /// From (token digest in lower-case hexadecimal, principal).
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Self {
        Principals { by_digest: Arc::new(RwLock::new(entries.into_iter().collect())) }
    }

    /// Knows these from now on, and no others; all clones do.
    pub fn replace(&self, entries: impl IntoIterator<Item = (String, String)>) {
        *self.by_digest.write().unwrap_or_else(PoisonError::into_inner) = entries.into_iter().collect();
    }

    /// Whose bearer token a call carries.
    pub(super) fn find(&self, headers: &MetadataMap) -> Result<Principal> {
        let token = credential(headers)?.strip_prefix("Bearer ").filter(|token| !token.is_empty());
        self.known(token.ok_or_else(|| refuse("the credential is no bearer token"))?)
    }

    /// Whose credential a call carries, a bearer token or a name with the token as its password, and that token. What comes after the first
    /// colon is the password (RFC 7617).
    pub(super) fn sign_in(&self, headers: &MetadataMap) -> Result<(Principal, String)> {
        let credential = credential(headers)?;
        let Some(basic) = credential.strip_prefix("Basic ") else {
            let principal = self.find(headers)?;
            return Ok((principal, credential.trim_start_matches("Bearer ").to_owned()));
        };
        let plain = BASE64.decode(basic).ok().and_then(|plain| String::from_utf8(plain).ok());
        let plain = plain.ok_or_else(|| refuse("the basic credential cannot be read"))?;
        let (name, token) = plain.split_once(':').ok_or_else(|| refuse("the basic credential has no password"))?;
        let principal = self.known(token)?;
        match principal.0 == name {
            true => Ok((principal, token.to_owned())),
            false => Err(refuse("the token is not known")),
        }
    }

    fn known(&self, token: &str) -> Result<Principal> {
        // The look-up is by digest, so its time says nothing about tokens.
        let known = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        let name = known.get(&digest(token)).ok_or_else(|| refuse("the token is not known"))?;
        Ok(Principal(name.clone()))
    }
}

fn refuse(why: &str) -> Error {
    Error::new(
        Code::Unauthenticated,
        format!("{why}: send one header `authorization: Bearer <token>`, with a token from `undertone token issue`"),
    )
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
    let mut bytes = [0u8; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| Error::internal("the operating system gives no randomness"))?;
    Ok(hex(&bytes))
}

/// What is stored of a token: SHA-256 in lower-case hexadecimal.
pub fn digest(token: &str) -> String {
    sha256(token)
}
