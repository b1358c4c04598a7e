//! Handles and tickets: everything that a later call needs, signed, so that the server keeps nothing.
//!
//! A ticket names its principal, the question, its price and a query id. So the first DoGet charges, a second one finds the answer under the query id, and
//! nobody else's token opens it. What was changed, is somebody else's or older than [`MAX_AGE`] is refused and costs nothing. The key is this process's own: after a
//! restart, or at another server, flight information is asked for again, and an answer that was paid for is found by its question.

use crate::accounting::Charge;
use crate::error::{Code, Error, Result};
use crate::governance::Ask;
use crate::hex::hex;
use crate::num::Amount;
use ring::hmac;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds for which tickets and handles are good.
const MAX_AGE: u64 = 3600;
/// Bytes of a signature: HMAC-SHA256 (RFC 2104).
const SIGNATURE: usize = 32;

/// Signs and opens.
pub struct Tickets(hmac::Key);

/// What a ticket says.
#[derive(Serialize, Deserialize)]
struct Signed<T> {
    /// Tickets are no handles.
    kind: String,
    principal: String,
    /// Seconds since 1970.
    at: u64,
    body: T,
}

/// A question that was priced.
#[derive(Serialize, Deserialize)]
pub struct Priced {
    pub ask: Ask,
    pub query_id: String,
    /// Its price when it was told: none of these may be larger when it is paid. No epsilon is an infinite one.
    epsilon: Option<String>,
    rho: String,
    delta: String,
}

impl Priced {
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

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Tickets {
    pub fn new() -> Tickets {
        // From the operating system's generator.
        let key: [u8; SIGNATURE] = rand::random();
        Tickets(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    fn sign<T: Serialize>(&self, kind: &str, who: &str, body: T) -> Result<Vec<u8>> {
        let signed = Signed { kind: kind.to_owned(), principal: who.to_owned(), at: now(), body };
        let text = serde_json::to_vec(&signed).map_err(|e| Error::internal(e.to_string()))?;
        Ok([hmac::sign(&self.0, &text).as_ref(), &text].concat())
    }

    fn open<T: DeserializeOwned>(&self, kind: &str, who: &str, signed: &[u8]) -> Result<T> {
        let refuse = |why: &str| {
            Error::new(Code::InvalidRequest, format!("{why}: ask for the flight information again; this cost nothing"))
        };
        let (signature, text) = signed.split_at_checked(SIGNATURE).ok_or_else(|| refuse("this is no ticket"))?;
        hmac::verify(&self.0, text, signature)
            .map_err(|_| refuse("this ticket is not of this server, or was changed"))?;
        let Signed { kind: of, principal, at, body } =
            serde_json::from_slice(text).map_err(|_| refuse("this ticket cannot be read"))?;
        if of != kind {
            return Err(refuse("this is a ticket of another kind"));
        }
        if principal != who {
            return Err(refuse("this ticket is somebody else's"));
        }
        if at + MAX_AGE < now() {
            return Err(refuse("this ticket has expired"));
        }
        Ok(body)
    }

    /// A prepared statement's handle.
    pub fn of_prepared(&self, who: &str, ask: &Ask) -> Result<Vec<u8>> {
        self.sign("statement", who, ask)
    }

    pub fn prepared(&self, who: &str, handle: &[u8]) -> Result<Ask> {
        self.open("statement", who, handle)
    }

    /// A ticket for one answer.
    pub fn of_question(&self, who: &str, ask: &Ask, price: &Charge) -> Result<Vec<u8>> {
        let priced = Priced {
            ask: ask.clone(),
            query_id: hex(&rand::random::<[u8; 16]>()),
            epsilon: price.epsilon.map(|epsilon| epsilon.to_string()),
            rho: price.rho.to_string(),
            delta: price.delta.to_string(),
        };
        self.sign("answer", who, priced)
    }

    pub fn question(&self, who: &str, ticket: &[u8]) -> Result<Priced> {
        self.open("answer", who, ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(price: Charge) -> (Tickets, Vec<u8>) {
        let tickets = Tickets::new();
        let ticket = tickets.of_question("ana", &Ask::default(), &price).unwrap();
        (tickets, ticket)
    }

    #[test]
    fn a_ticket_is_its_principals_and_whole() {
        let (tickets, ticket) = priced(Charge::pure("0.5".parse().unwrap()));
        assert!(tickets.question("ana", &ticket).is_ok());
        let refused = |ticket: &[u8], who: &str| tickets.question(who, ticket).err().unwrap().message;
        assert!(refused(&ticket, "ben").contains("somebody else's"));
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            refused(&changed, "ana");
            refused(&ticket[..at], "ana");
        }
        // Of another server, or for another use.
        assert!(Tickets::new().question("ana", &ticket).is_err());
        assert!(tickets.prepared("ana", &ticket).is_err());
        let old = Signed { kind: "answer".into(), principal: "ana".into(), at: now() - MAX_AGE - 1, body: 0 };
        let text = serde_json::to_vec(&old).unwrap();
        let old = [hmac::sign(&tickets.0, &text).as_ref(), &text].concat();
        assert!(tickets.open::<i32>("answer", "ana", &old).unwrap_err().message.contains("expired"));
    }

    #[test]
    fn a_price_that_rose_is_not_covered() {
        let pure = |text: &str| Charge::pure(text.parse().unwrap());
        let (tickets, ticket) = priced(pure("0.5"));
        let told = tickets.question("ana", &ticket).unwrap();
        assert!(told.covers(&pure("0.5")) && told.covers(&pure("0.4")) && !told.covers(&pure("0.51")));
        assert!(!told.covers(&Charge { epsilon: None, ..pure("0.1") }));
        assert!(!told.covers(&Charge { delta: "1e-9".parse().unwrap(), ..pure("0.1") }));
    }
}
