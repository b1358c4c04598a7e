//! Passwords, for tools that know no tokens. What is stored of one is its Argon2id hash (RFC 9106), as a PHC string.

use crate::error::{Code, Error, Result};
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Shorter ones are guessed too soon (NIST SP 800-63B).
const SHORTEST: usize = 8;
/// Memory of one hash, in KiB: from what OWASP calls the least, to what several at once may take.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 7_168..=262_144;
const MOST_PASSES: u32 = 16;
/// Hashes that are computed at once: each takes its memory, and whoever asks is not known yet.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));
/// How long one may wait for a place.
const PATIENCE: Duration = Duration::from_secs(10);
/// Compared with where there is no such principal, so that it takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody's password").unwrap_or_default());

/// What is stored of a password.
///
/// Errors: `CONFIGURATION` where it is too short.
pub fn hash(password: &str) -> Result<String> {
    if password.chars().count() < SHORTEST {
        return Err(Error::configuration(format!("a password has at least {SHORTEST} characters")));
    }
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed.map(|hash| hash.to_string()).map_err(|_| Error::internal("the password cannot be hashed"))
}

/// Errors: what is wrong with a stored hash, in words.
pub fn check_hash(stored: &str) -> Result<(), String> {
    let wrong = || "must be what `undertone token password` prints".to_owned();
    let parsed = PasswordHash::new(stored).map_err(|_| wrong())?;
    let params = Params::try_from(&parsed).map_err(|_| wrong())?;
    let is_id = Algorithm::try_from(parsed.algorithm.as_str()).is_ok_and(|algorithm| algorithm == Algorithm::Argon2id);
    if !is_id || parsed.hash.is_none() || parsed.salt.is_none() {
        return Err(wrong());
    }
    match MEMORY_KIB.contains(&params.m_cost()) && params.t_cost() <= MOST_PASSES {
        true => Ok(()),
        false => Err(format!(
            "must take from {} to {} KiB of memory and at most {MOST_PASSES} passes",
            MEMORY_KIB.start(),
            MEMORY_KIB.end()
        )),
    }
}

/// Whether a password is the one that was hashed. Takes as long where there is none, as long as those that there are have the usual parameters.
///
/// Errors: `SERVER_BUSY` where too many ask.
pub async fn is(password: &str, stored: Option<String>) -> Result<bool> {
    let busy = || Error::new(Code::ServerBusy, "too many sign in at once: try again");
    let place = tokio::time::timeout(PATIENCE, PLACES.clone().acquire_owned()).await;
    let place = place.ok().and_then(Result::ok).ok_or_else(busy)?;
    let password = password.to_owned();
    let compared = tokio::task::spawn_blocking(move || {
        // Kept to the end of the work, whether its caller waits or not.
        let _place = place;
        let against = stored.as_deref().unwrap_or(&NOBODY);
        let same = Argon2::default().verify_password(password.as_bytes(), against).is_ok();
        same && stored.is_some()
    });
    Ok(compared.await.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash() {
        let stored = hash("correct: horse").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$"), "{stored}");
        assert_ne!(stored, hash("correct: horse").unwrap(), "two hashes have one salt");
        check_hash(&stored).unwrap();
        assert!(is("correct: horse", Some(stored.clone())).await.unwrap());
        assert!(!is("correct: horsf", Some(stored)).await.unwrap());
        assert!(!is("nobody's password", None).await.unwrap());
        assert!(hash("short").is_err());
    }

    #[test]
    fn hashes_that_cost_too_little_or_too_much_are_refused() {
        let of = |params: &str| {
            format!("$argon2id$v=19${params}$c2FsdHNhbHRzYWx0$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI")
        };
        check_hash(&of("m=19456,t=2,p=1")).unwrap();
        for wrong in [
            of("m=64,t=2,p=1"),
            of("m=4194304,t=2,p=1"),
            of("m=19456,t=100,p=1"),
            of("m=19456,t=2,p=1").replace("argon2id", "argon2d"),
            "secret".to_owned(),
        ] {
            assert!(check_hash(&wrong).is_err(), "{wrong}");
        }
    }
}
