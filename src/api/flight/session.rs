//! Sessions: what a connection has set, and the short-lived bearer credential that Handshake gives for a name and its password.
//!
//! A session is known by 256 random bits, which are the credential themselves or a cookie beside a token, and is good for Flight SQL alone, for [`LIFETIME`], until it is
//! closed, or until what opened it is known no longer. It lives in this process: after a restart, or at another server, one connects again. So that
//! an option is never left out in silence, what names a session that has ended is refused.

use super::super::auth::{Credential, Principal, Principals, bearer};
use super::options::Options;
use crate::api::{digest, new_key};
use crate::error::{Code, Error, Result};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;

/// A working day.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Of one principal: the oldest ends when there are more.
const MOST: usize = 256;
/// Begins each session's credential.
const MARK: &str = "us_";
/// The cookie's name, as Arrow's own implementations have it.
const COOKIE: &str = "arrow_flight_session_id";

struct Open {
    principal: String,
    by: Credential,
    since: Instant,
    options: Options,
    last_answer: Option<String>,
}

/// Those that are open, by the digests of their credentials.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Open>>);

/// Who calls, and in which session.
#[derive(Clone)]
pub struct Caller {
    pub who: String,
    /// Its digest.
    session: Option<String>,
}

fn ended() -> Error {
    Error::new(Code::Unauthenticated, "this session has ended, or is not of this server: connect again")
}

/// The session that a call's cookies name.
fn cookie(headers: &MetadataMap) -> Option<String> {
    let cookies = headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| digest(value.trim_matches('"')))
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.since.elapsed() < LIFETIME);
        open
    }

    /// Begins a session of whoever has shown a credential, and gives the session's own.
    pub fn begin(&self, Principal(principal): Principal, by: Credential) -> Result<(Caller, String)> {
        let id = format!("{MARK}{}", new_key()?);
        let key = digest(&id);
        let mut open = self.open();
        let mine = open.iter().filter(|(_, session)| session.principal == principal);
        let mine: Vec<(Instant, String)> = mine.map(|(key, session)| (session.since, key.clone())).collect();
        if mine.len() >= MOST
            && let Some((_, oldest)) = mine.into_iter().min()
        {
            open.remove(&oldest);
        }
        let caller = Caller { who: principal.clone(), session: Some(key.clone()) };
        let (options, last_answer) = (Options::default(), None);
        open.insert(key, Open { principal, by, since: Instant::now(), options, last_answer });
        Ok((caller, id))
    }

    /// Who calls: a session's credential, or a token, with or without a session's cookie.
    ///
    /// Errors: `UNAUTHENTICATED`.
    pub fn caller(&self, principals: &Principals, headers: &MetadataMap) -> Result<Caller> {
        let token = bearer(headers)?;
        let (named, by_token) = match token.starts_with(MARK) {
            true => (Some(digest(token)), None),
            false => (cookie(headers), Some(principals.of_token(token)?)),
        };
        let Some(session) = named else {
            let (Principal(who), _) = by_token.ok_or_else(ended)?;
            return Ok(Caller { who, session: None });
        };
        let mut open = self.open();
        let Some(Open { principal, by, .. }) = open.get(&session) else { return Err(ended()) };
        // A cookie is its principal's, and a session is over when its credential is.
        if by_token.is_some_and(|(Principal(who), _)| who != *principal) {
            return Err(ended());
        }
        if !principals.still(principal, by) {
            open.remove(&session);
            return Err(ended());
        }
        Ok(Caller { who: principal.clone(), session: Some(session) })
    }

    /// What a call's session has set, and its headers.
    ///
    /// Errors: `UNAUTHENTICATED` where the session has ended meanwhile: its options must not be left out; `INVALID_REQUEST`, as for [`Options::set`].
    pub fn options(&self, caller: &Caller, headers: &MetadataMap) -> Result<Options> {
        self.set_options(caller)?.with_headers(headers)
    }

    /// What a session has set; nothing where there is none.
    pub fn set_options(&self, caller: &Caller) -> Result<Options> {
        match &caller.session {
            None => Ok(Options::default()),
            Some(session) => self.open().get(session).map(|session| session.options.clone()).ok_or_else(ended),
        }
    }

    /// Sets options, all or none.
    ///
    /// Errors: `INVALID_REQUEST` where the caller has no session. None is begun here: drivers take over a credential that comes with an answer only most of the
    /// time, and an option that is lost would be paid for.
    pub fn change(&self, caller: &Caller, change: impl FnOnce(&mut Options) -> Result<()>) -> Result<()> {
        let Some(session) = &caller.session else {
            let message = "options are set in a session, and a connection with a token in its header has none: connect with a name and a password, which may be the token, or send options as headers, as undertone-epsilon";
            return Err(Error::new(Code::InvalidRequest, message));
        };
        let mut open = self.open();
        let session = open.get_mut(session).ok_or_else(ended)?;
        let mut options = session.options.clone();
        change(&mut options)?;
        session.options = options;
        Ok(())
    }

    /// Keeps which answer a session read last.
    pub fn has_read(&self, caller: &Caller, query_id: &str) {
        let mut open = self.open();
        if let Some(session) = caller.session.as_ref().and_then(|session| open.get_mut(session)) {
            session.last_answer = Some(query_id.to_owned());
        }
    }

    /// The query id of the answer that a session read last.
    pub fn last_answer(&self, caller: &Caller) -> Option<String> {
        let open = self.open();
        open.get(caller.session.as_ref()?)?.last_answer.clone()
    }

    /// Ends a session.
    pub fn close(&self, caller: &Caller) {
        if let Some(session) = &caller.session {
            self.open().remove(session);
        }
    }
}

/// The header that gives a client its session as a cookie.
pub fn set_cookie(id: &str) -> String {
    format!("{COOKIE}={id}; Max-Age={}; HttpOnly; SameSite=Strict", LIFETIME.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut headers = MetadataMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_session_is_its_principals_and_ends() {
        let of = |name: &str| (name.to_owned(), Credential::Token { sha256: digest(&format!("{name}-token")) });
        let principals = Principals::new([of("ana"), of("ben")]);
        let sessions = Sessions::default();
        let bare = sessions.caller(&principals, &headers(&[("authorization", "Bearer ana-token")])).unwrap();
        assert_eq!(sessions.set_options(&bare).unwrap(), Options::default());
        let set = |options: &mut Options| options.set("epsilon", Some("0.1".into()));
        assert!(sessions.change(&bare, set).unwrap_err().message.contains("has none"));
        let (caller, id) = sessions.begin(Principal("ana".into()), of("ana").1).unwrap();
        sessions.change(&caller, set).unwrap();

        let bearer = headers(&[("authorization", &format!("Bearer {id}"))]);
        let beside = |who: &str| {
            let (token, cookies) = (format!("Bearer {who}-token"), format!("other=1; {COOKIE}={id}"));
            headers(&[("authorization", &token), ("cookie", &cookies)])
        };
        for way in [&bearer, &beside("ana")] {
            let caller = sessions.caller(&principals, way).unwrap();
            assert_eq!(caller.who, "ana");
            assert_eq!(sessions.options(&caller, way).unwrap().all().count(), 1);
            sessions.change(&caller, |options| options.set("delta", Some("1e-9".into()))).unwrap();
            sessions.change(&caller, |options| options.set("delta", None)).unwrap();
        }
        assert!(sessions.caller(&principals, &beside("ben")).is_err(), "somebody else's session");
        // All or nothing.
        let caller = sessions.caller(&principals, &bearer).unwrap();
        let wrong = |options: &mut Options| {
            options.set("purpose", Some("research".into()))?;
            options.set("epsilon", Some("x".into()))
        };
        assert!(sessions.change(&caller, wrong).is_err());
        assert_eq!(sessions.set_options(&caller).unwrap().all().count(), 1);

        principals.replace([of("ben")]);
        assert!(sessions.caller(&principals, &bearer).is_err(), "a session outlived its credential");
        principals.replace([of("ana"), of("ben")]);
        assert!(sessions.caller(&principals, &bearer).is_err(), "an ended session came back");

        let (caller, id) = sessions.begin(Principal("ben".into()), of("ben").1).unwrap();
        sessions.has_read(&caller, "q1");
        assert_eq!(sessions.last_answer(&caller).as_deref(), Some("q1"));
        sessions.close(&caller);
        let bearer = headers(&[("authorization", &format!("Bearer {id}"))]);
        assert!(sessions.caller(&principals, &bearer).err().unwrap().message.contains("has ended"));
    }

    #[test]
    fn nobody_has_more_sessions_than_some() {
        let sessions = Sessions::default();
        let by = Credential::Token { sha256: String::new() };
        for _ in 0..MOST + 5 {
            sessions.begin(Principal("ana".into()), by.clone()).unwrap();
        }
        assert_eq!(sessions.open().len(), MOST);
    }
}
