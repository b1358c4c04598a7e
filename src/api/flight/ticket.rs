//! Handles and tickets: everything that a later call needs, sealed, so that the server keeps nothing and nobody reads or makes one.
//!
//! A ticket names its principal, the question, its price and a query id. So the first DoGet charges, a second one finds the answer under the query id, and
//! nobody else's token opens it. What was changed, is somebody else's or older than [`MAX_AGE`] is refused and costs nothing. Sealed with AES-256-GCM (NIST SP 800-38D),
//! under random nonces, of which one key may have 2^32. The key is this process's own: after a
//! restart, or at another server, flight information is asked for again, and an answer that was paid for is found by its question.

use super::super::auth::random;
use super::super::grpc::new_query_id;
use super::options::Options;
use super::statement::Wanted;
use crate::accounting::Charge;
use crate::error::{Code, Error, Result};
use crate::governance::Ask;
use crate::num::Amount;
use crate::sql::Parameter;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds for which tickets and handles are good.
pub const MAX_AGE: u64 = 3600;
/// What a ticket is for, so that it is good for nothing else.
const STATEMENT: &str = "statement";
const ANSWER: &str = "answer";

/// Seals and opens.
pub struct Tickets(LessSafeKey);

/// What a ticket says.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    principal: String,
    /// Seconds since 1970.
    at: u64,
    body: T,
}

/// What a ticket gives.
#[derive(Serialize, Deserialize)]
pub enum Given {
    Answer(Offer),
    /// It costs nothing.
    Free(Wanted),
}

/// What a handle stands for. Its options are those of the moment at which it is executed: what was set meanwhile was meant.
#[derive(Serialize, Deserialize)]
pub struct Prepared {
    pub sql: String,
    pub parameters: Vec<Parameter>,
}

/// A question with the price that was told for it.
#[derive(Serialize, Deserialize)]
pub struct Offer {
    pub ask: Ask,
    pub query_id: String,
    /// With which it was priced.
    pub options: Options,
    /// Its price when it was told: none of these may be larger when it is paid. No epsilon is an infinite one.
    epsilon: Option<String>,
    rho: String,
    delta: String,
}

impl Offer {
    /// Under a new query id.
    pub fn new(ask: Ask, options: Options, price: &Charge) -> Offer {
        Offer {
            ask,
            options,
            query_id: new_query_id(),
            epsilon: price.epsilon.map(|epsilon| epsilon.to_string()),
            rho: price.rho.to_string(),
            delta: price.delta.to_string(),
        }
    }

    /// Whether a price is no larger than the one that was told.
    pub fn covers(&self, charge: &Charge) -> bool {
        let told = |text: &str| Amount::written(text).unwrap_or_default();
        let pure = match (&self.epsilon, charge.epsilon) {
            (None, _) => true,
            (Some(told_epsilon), Some(epsilon)) => epsilon <= told(told_epsilon),
            (Some(_), None) => false,
        };
        pure && charge.rho <= told(&self.rho) && charge.delta <= told(&self.delta)
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Tickets {
    /// With a new key.
    pub fn new() -> Result<Tickets> {
        let key = UnboundKey::new(&AES_256_GCM, &random::<32>()?);
        Ok(Tickets(LessSafeKey::new(key.map_err(|_| Error::internal("a key for tickets cannot be made"))?)))
    }

    fn seal<T: Serialize>(&self, kind: &str, who: &str, at: u64, body: T) -> Result<Vec<u8>> {
        let sealed = Sealed { principal: who.to_owned(), at, body };
        let mut text = serde_json::to_vec(&sealed).map_err(|e| Error::internal(e.to_string()))?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let done = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(kind), &mut text);
        done.map_err(|_| Error::internal("a ticket cannot be sealed"))?;
        Ok([nonce.as_slice(), &text].concat())
    }

    fn open<T: DeserializeOwned>(&self, kind: &str, who: &str, sealed: &[u8]) -> Result<T> {
        let refuse = |why: &str| {
            Error::new(Code::InvalidRequest, format!("{why}: ask for the flight information again; this cost nothing"))
        };
        let foreign = || refuse("this ticket is not of this server, is for something else, or was changed");
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or_else(foreign)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| foreign())?;
        let mut text = text.to_vec();
        let text = self.0.open_in_place(nonce, Aad::from(kind), &mut text).map_err(|_| foreign())?;
        let Sealed { principal, at, body } = serde_json::from_slice(text).map_err(|_| foreign())?;
        if principal != who {
            return Err(refuse("this ticket is somebody else's"));
        }
        if at + MAX_AGE < now() {
            return Err(refuse("this ticket has expired"));
        }
        Ok(body)
    }

    /// A prepared statement's handle.
    pub fn of_prepared(&self, who: &str, prepared: &Prepared) -> Result<Vec<u8>> {
        self.seal(STATEMENT, who, now(), prepared)
    }

    /// What a handle stands for.
    pub fn prepared(&self, who: &str, handle: &[u8]) -> Result<Prepared> {
        self.open(STATEMENT, who, handle)
    }

    /// A ticket for one answer.
    pub fn of_answer(&self, who: &str, given: &Given) -> Result<Vec<u8>> {
        self.seal(ANSWER, who, now(), given)
    }

    /// What a ticket gives.
    ///
    /// Errors: `INVALID_REQUEST` where it is not whole, somebody else's or too old; so for handles.
    pub fn answer(&self, who: &str, ticket: &[u8]) -> Result<Given> {
        self.open(ANSWER, who, ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(price: Charge) -> Offer {
        Offer::new(Ask { sql: "SELECT count(*) FROM t".into(), ..Ask::default() }, Options::default(), &price)
    }

    #[test]
    fn a_ticket_is_its_principals_and_whole() {
        let tickets = Tickets::new().unwrap();
        let given = Given::Answer(priced(Charge::pure("0.5".parse().unwrap())));
        let ticket = tickets.of_answer("ana", &given).unwrap();
        assert!(tickets.answer("ana", &ticket).is_ok());
        assert!(!ticket.windows(6).any(|part| part == b"SELECT" || part == b"count("), "a ticket can be read");
        assert_ne!(ticket, tickets.of_answer("ana", &given).unwrap(), "two tickets have one nonce");
        let refused = |ticket: &[u8], who: &str| tickets.answer(who, ticket).err().unwrap().message;
        assert!(refused(&ticket, "ben").contains("somebody else's"));
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            refused(&changed, "ana");
            refused(&ticket[..at], "ana");
        }
        // Of another server, or for another use.
        assert!(Tickets::new().unwrap().answer("ana", &ticket).is_err());
        assert!(tickets.prepared("ana", &ticket).is_err());
        let old = tickets.seal(ANSWER, "ana", now() - MAX_AGE - 1, &given).unwrap();
        assert!(refused(&old, "ana").contains("expired"));
    }

    #[test]
    fn a_price_that_rose_is_not_covered() {
        let pure = |text: &str| Charge::pure(text.parse().unwrap());
        let told = priced(pure("0.5"));
        assert!(told.covers(&pure("0.5")) && told.covers(&pure("0.4")) && !told.covers(&pure("0.51")));
        assert!(!told.covers(&Charge { epsilon: None, ..pure("0.1") }));
        assert!(!told.covers(&Charge { delta: "1e-9".parse().unwrap(), ..pure("0.1") }));
    }
}
