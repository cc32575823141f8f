//! Signed-in clients under a fault: each response is correct or a 503, and arrives in time.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::load::{LoadClient, LoadGenerator, Sample};
use super::polling::{assert_unavailable, wait_until};
use super::{Api, PASSWORD, Response, TestUser, claims};

/// The deadline of a response, 3 s, and margin for a machine that is busy with this load.
const RESPONSE_WITHIN: Duration = Duration::from_secs(5);

/// The recovery time, 5 s, and margin.
const RECOVERED_WITHIN: Duration = Duration::from_secs(7);

/// The staleness bound of a deleted session, 2 s, and margin.
const ACCEPTED_FOR: Duration = Duration::from_secs(3);

/// Of each client, between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// How many clients send which request.
const CLIENTS: [(Endpoint, usize); 3] = [(Endpoint::Me, 8), (Endpoint::Login, 2), (Endpoint::Refresh, 4)];

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Me,
    Login,
    Refresh,
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

/// When all sessions were deleted, if they were: the start and the end of the command.
#[derive(Debug, Default)]
pub struct Deletion {
    started: OnceLock<Instant>,
    done: OnceLock<Instant>,
}

impl Deletion {
    /// Records the deletion of all sessions by `delete`.
    pub fn record(&self, delete: impl FnOnce()) {
        self.started.set(Instant::now()).unwrap();
        delete();
        self.done.set(Instant::now()).unwrap();
    }
}

/// Runs a load while `fault` lasts and until all clients have recovered. `expect_503`: each endpoint must have been
/// unavailable.
pub async fn run_under_fault(what: &str, api: &Api, expect_503: bool, fault: impl AsyncFnOnce(&Deletion)) {
    let deletion = Arc::new(Deletion::default());
    let mut load = LoadGenerator::new(PAUSE);
    for (endpoint, clients) in CLIENTS {
        for _ in 0..clients {
            load.add(endpoint.name(), Client::new(api, endpoint, &deletion).await);
        }
    }
    let before = Instant::now();
    wait_until(&format!("{what}: up before"), RECOVERED_WITHIN, async || load.has_recovered(before)).await;
    let started = Instant::now();
    fault(&deletion).await;
    let ended = Instant::now();
    let recovery =
        wait_until(&format!("{what}: recovered"), RECOVERED_WITHIN, async || load.has_recovered(ended)).await;
    let samples = load.stop().await;
    let slowest = samples.iter().map(|sample| sample.took).max().unwrap();
    println!(
        "{what}: lasted {:?}, recovered {recovery:?} later, slowest response {slowest:?}; {:?}",
        ended - started,
        counts(&samples)
    );
    let is_wrong = |sample: &&Sample| {
        let is_right = sample.outcome == Ok(200) || (sample.outcome.is_ok() && sample.sent + sample.took >= started);
        !is_right || sample.took > RESPONSE_WITHIN
    };
    let wrong: Vec<_> = samples.iter().filter(is_wrong).take(10).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    for (endpoint, _) in CLIENTS.iter().filter(|_| expect_503) {
        let was_unavailable = samples.iter().any(|sample| sample.what == endpoint.name() && sample.outcome == Ok(503));
        assert!(was_unavailable, "{what}: {} has not noticed the fault", endpoint.name());
    }
}

/// Counts the responses by endpoint and status; 0 is a wrong response.
fn counts(samples: &[Sample]) -> BTreeMap<(&'static str, u16), usize> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        *counts.entry((sample.what, *sample.outcome.as_ref().unwrap_or(&0))).or_default() += 1;
    }
    counts
}

/// A client with an account of its own.
struct Client {
    endpoint: Endpoint,
    user: TestUser,
    /// The expected user object.
    account: Value,
    /// When the login was sent, and when its response arrived.
    signed_in: (Instant, Instant),
    deletion: Arc<Deletion>,
}

impl Client {
    async fn new(api: &Api, endpoint: Endpoint, deletion: &Arc<Deletion>) -> Self {
        let sent = Instant::now();
        let user = TestUser::at(api).await;
        let signed_in = (sent, Instant::now());
        let account = user.me().await.expect_status(200).json();
        Self { endpoint, user, account, signed_in, deletion: Arc::clone(deletion) }
    }

    /// Whether a 200 is correct. Takes over new tokens.
    fn accept(&mut self, response: &Response) -> bool {
        let body = response.json();
        match self.endpoint {
            Endpoint::Me => body == self.account,
            Endpoint::Login => body["data"] == self.account,
            Endpoint::Refresh => {
                let sid = self.user.sid();
                self.user = self.user.with_tokens(&body);
                self.user.sid() == sid && claims(&self.user.refresh)["sid"] == sid
            }
        }
    }

    /// Whether the deletion may have ended the session: it existed at some time of it.
    fn may_be_signed_out(&self) -> bool {
        let existed = |done: &Instant| self.signed_in.0 <= *done;
        self.deletion.started.get().is_some() && self.deletion.done.get().is_none_or(existed)
    }

    /// Whether a request sent at `sent` must be refused.
    fn must_be_signed_out(&self, sent: Instant) -> bool {
        let (started, done) = (self.deletion.started.get(), self.deletion.done.get());
        let existed = started.is_some_and(|started| self.signed_in.1 < *started);
        existed && done.is_some_and(|done| sent > *done + ACCEPTED_FOR)
    }

    async fn sign_in_again(&mut self) {
        let sent = Instant::now();
        let response = self.login().await;
        if response.status == 200 {
            self.user = self.user.with_tokens(&response.json()["tokens"]);
            self.signed_in = (sent, Instant::now());
        }
    }

    async fn login(&self) -> Response {
        TestUser::login(&self.user.api, &self.user.email, PASSWORD).await
    }
}

impl LoadClient for Client {
    async fn request(&mut self) -> Result<u16, String> {
        let sent = Instant::now();
        let response = match self.endpoint {
            Endpoint::Me => self.user.me().await,
            Endpoint::Login => self.login().await,
            Endpoint::Refresh => self.user.refresh().await,
        };
        let uses_session = !matches!(self.endpoint, Endpoint::Login);
        match response.status {
            200 if self.accept(&response) && !(uses_session && self.must_be_signed_out(sent)) => Ok(200),
            401 if uses_session && self.may_be_signed_out() => {
                self.sign_in_again().await;
                Ok(401)
            }
            503 => {
                assert_unavailable(self.endpoint.name(), &response);
                Ok(503)
            }
            status => Err(format!("{status} {}", response.text())),
        }
    }
}
