//! Callers. A principal is who a bearer token says, and nothing else in a request can change that.
//!
//! Tokens are 256 random bits, so their plain SHA-256 is stored: there is nothing to guess, and a stolen
//! configuration opens no door.

use super::status::status;
use crate::error::{Code, Error, Result};
use crate::hex::{hex, sha256};
use rand::{TryRng, rngs::SysRng};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tonic::service::Interceptor;
use tonic::{Request, Status};

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

    fn find(&self, request: &Request<()>) -> Result<Principal> {
        let refuse = |why: &str| {
            Error::new(
                Code::Unauthenticated,
                format!(
                    "{why}: send one header `authorization: Bearer <token>`, with a token from `undertone token issue`"
                ),
            )
        };
        let mut values = request.metadata().get_all("authorization").iter();
        let (first, second) = (values.next(), values.next());
        let value = match (first, second) {
            (None, _) => return Err(refuse("there is no credential")),
            (_, Some(_)) => return Err(refuse("there is more than one credential")),
            (Some(value), None) => value.to_str().map_err(|_| refuse("the credential is not text"))?,
        };
        let token = value
            .strip_prefix("Bearer ")
            .filter(|t| !t.is_empty())
            .ok_or_else(|| refuse("the credential is no bearer token"))?;
        // The look-up is by digest, so its time says nothing about tokens.
        let known = self.by_digest.read().unwrap_or_else(PoisonError::into_inner);
        let name = known.get(&digest(token)).ok_or_else(|| refuse("the token is not known"))?;
        Ok(Principal(name.clone()))
    }
}

impl Interceptor for Principals {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let principal = self.find(&request).map_err(|e| status(&e))?;
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
