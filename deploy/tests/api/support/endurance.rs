//! People who go on asking while a part of the stack is away: each answer is the right one, or says that it is not to be
//! had now, and comes in time.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::faults::{is_unavailable, until};
use super::load::{Asks, Load, Seen};
use super::{Answer, Api, PASSWORD, Person, claims};

/// The deadline of an answer, three seconds, and air for a machine that is busy with this very load.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// All must be in order within five seconds, and air.
const BACK_WITHIN: Duration = Duration::from_secs(7);

/// A session that is deleted is let in for two seconds at the latest, and air.
const LET_IN_FOR: Duration = Duration::from_secs(3);

/// Of each client, between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// What is asked for, and by how many clients.
const CLIENTS: [(Endpoint, usize); 3] = [(Endpoint::Me, 8), (Endpoint::Login, 2), (Endpoint::Refresh, 4)];

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Me,
    Login,
    Refresh,
}

/// When every session was deleted, if they were: from one moment to another.
#[derive(Debug, Default)]
pub struct Deletion {
    begun: OnceLock<Instant>,
    done: OnceLock<Instant>,
}

impl Deletion {
    /// Deletes them all.
    pub fn by(&self, delete: impl FnOnce()) {
        self.begun.set(Instant::now()).unwrap();
        delete();
        self.done.set(Instant::now()).unwrap();
    }
}

/// Lets people ask while `fault` lasts, and until all is in order after it; `is_felt` where some of them must have been
/// told to come back later.
pub async fn endure(what: &str, api: &Api, is_felt: bool, fault: impl AsyncFnOnce(&Deletion)) {
    let deletion = Arc::new(Deletion::default());
    let mut load = Load::new(PAUSE);
    for (endpoint, clients) in CLIENTS {
        for _ in 0..clients {
            load.client(endpoint.name(), Caller::new(api, endpoint, &deletion).await);
        }
    }
    let before = Instant::now();
    until(&format!("{what}: in order before"), BACK_WITHIN, async || load.is_in_order(before)).await;
    let begun = Instant::now();
    fault(&deletion).await;
    let over = Instant::now();
    let back = until(&format!("{what}: in order after"), BACK_WITHIN, async || load.is_in_order(over)).await;
    let seen = load.end().await;
    let slowest = seen.iter().map(|seen| seen.took).max().unwrap();
    println!(
        "{what}: lasted {:?}, in order {back:?} after, the slowest answer took {slowest:?}; {:?}",
        over - begun,
        counted(&seen)
    );
    let wrong = |seen: &&Seen| {
        let is_right = seen.outcome == Ok(200) || (seen.outcome.is_ok() && seen.asked + seen.took >= begun);
        !is_right || seen.took > ANSWER_WITHIN
    };
    let wrong: Vec<_> = seen.iter().filter(wrong).take(10).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    if is_felt {
        for (endpoint, _) in CLIENTS {
            let was_felt = seen.iter().any(|seen| seen.what == endpoint.name() && seen.outcome == Ok(503));
            assert!(was_felt, "{what}: {} went on as if nothing were", endpoint.name());
        }
    }
}

/// How often each status was the answer.
fn counted(seen: &[Seen]) -> BTreeMap<(&'static str, u16), usize> {
    let mut counted = BTreeMap::new();
    for seen in seen {
        *counted.entry((seen.what, *seen.outcome.as_ref().unwrap_or(&0))).or_default() += 1;
    }
    counted
}

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Self::Me => "me",
            Self::Login => "login",
            Self::Refresh => "refresh",
        }
    }
}

/// Somebody with an account of their own.
struct Caller {
    endpoint: Endpoint,
    person: Person,
    /// The user, as each answer with one is to have it.
    user: Value,
    /// When they asked to sign in, and when they were.
    signed_in: (Instant, Instant),
    deletion: Arc<Deletion>,
}

impl Caller {
    async fn new(api: &Api, endpoint: Endpoint, deletion: &Arc<Deletion>) -> Self {
        let asked = Instant::now();
        let person = Person::at(api).await;
        let signed_in = (asked, Instant::now());
        let user = person.me().await.expect_status(200).json();
        Self { endpoint, person, user, signed_in, deletion: Arc::clone(deletion) }
    }

    /// Checks a 200; what it gives is used next.
    fn is_right(&mut self, answer: &Answer) -> bool {
        let body = answer.json();
        match self.endpoint {
            Endpoint::Me => body == self.user,
            Endpoint::Login => body["data"] == self.user,
            Endpoint::Refresh => {
                let (Some(access), Some(refresh)) = (body["access"].as_str(), body["refresh"].as_str()) else {
                    return false;
                };
                let is_own = claims(access)["sid"] == self.person.sid() && claims(refresh)["sid"] == self.person.sid();
                (self.person.access, self.person.refresh) = (access.to_owned(), refresh.to_owned());
                is_own
            }
        }
    }

    /// Whether the session may be over: it was there when all were deleted.
    fn may_be_over(&self) -> bool {
        let was_there = |done: &Instant| self.signed_in.0 <= *done;
        self.deletion.begun.get().is_some() && self.deletion.done.get().is_none_or(was_there)
    }

    /// Whether it must be.
    fn must_be_over(&self, asked: Instant) -> bool {
        let (begun, done) = (self.deletion.begun.get(), self.deletion.done.get());
        let was_there = begun.is_some_and(|begun| self.signed_in.1 < *begun);
        was_there && done.is_some_and(|done| asked > *done + LET_IN_FOR)
    }

    async fn sign_in_again(&mut self) {
        let asked = Instant::now();
        let answer = Person::login(&self.person.api, &self.person.email, PASSWORD).await;
        if answer.status == 200 {
            let text = |name: &str| answer.json()["tokens"][name].as_str().unwrap().to_owned();
            (self.person.access, self.person.refresh) = (text("access"), text("refresh"));
            self.signed_in = (asked, Instant::now());
        }
    }
}

impl Asks for Caller {
    async fn ask(&mut self) -> Result<u16, String> {
        let asked = Instant::now();
        let answer = match self.endpoint {
            Endpoint::Me => self.person.me().await,
            Endpoint::Login => Person::login(&self.person.api, &self.person.email, PASSWORD).await,
            Endpoint::Refresh => self.person.refresh().await,
        };
        let has_session = !matches!(self.endpoint, Endpoint::Login);
        match answer.status {
            200 if self.is_right(&answer) && !(has_session && self.must_be_over(asked)) => Ok(200),
            401 if has_session && self.may_be_over() => {
                self.sign_in_again().await;
                Ok(401)
            }
            503 => {
                is_unavailable(self.endpoint.name(), &answer);
                Ok(503)
            }
            status => Err(format!("{status} {}", answer.text())),
        }
    }
}
