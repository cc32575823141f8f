//! Model test of refresh token rotation, on a real Redis.
//!
//! Time passes by moving the stored times back; no test sleeps. A hang is a script that is executed past its deadline. A
//! lost write restores the session's key to its state before the last rotation. Replicas of the previous release run their
//! own script on the same sessions. Clocks of replicas play no part: the script reads Redis's, and nothing else is passed.

mod fixture;

use std::collections::BTreeMap;

use auth_api::store::sessions::{self, RotationOutcome, StampState};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use fixture::{Connections, Fixture, SECONDS_OF_A_CASE, outcome_of};

/// Longer than a case takes: only [`Event::Wait`] exceeds it.
const GRACE: u64 = 2 * SECONDS_OF_A_CASE;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Presents the token `behind` steps before the newest one, for an account with this stamp.
    Present { behind: usize, stamp: Stamp },
    /// The same, in a script that is executed past its deadline.
    PresentLate { behind: usize },
    /// The same at a replica of the previous release.
    PresentToPreviousRelease { behind: usize },
    /// Uses the access token that was issued with the refresh token `behind` steps before the newest one.
    UseAccess { behind: usize },
    /// Time passes, in grace periods.
    Wait(u64),
    /// A password is about to change, or has.
    SetPasswordStamp(StampState),
    /// Redis loses its last rotations.
    LoseRotations(usize),
    /// The user logs out.
    LogOut,
    /// The session expires, or an operator deletes its key.
    Expire,
}

#[derive(Clone, Copy, Debug)]
enum Stamp {
    Current,
    Announced,
    Other,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let stamp = prop_oneof![8 => Just(Stamp::Current), 2 => Just(Stamp::Announced), 1 => Just(Stamp::Other)];
    let event = prop_oneof![
        12 => (prop_oneof![4 => 0..2_usize, 1 => 2..4_usize], stamp).prop_map(|(behind, stamp)| Event::Present { behind, stamp }),
        3 => (0..3_usize).prop_map(|behind| Event::PresentLate { behind }),
        3 => (0..2_usize).prop_map(|behind| Event::PresentToPreviousRelease { behind }),
        4 => (0..3_usize).prop_map(|behind| Event::UseAccess { behind }),
        3 => (0..3_u64).prop_map(Event::Wait),
        1 => prop_oneof![Just(StampState::Pending), Just(StampState::Committed)].prop_map(Event::SetPasswordStamp),
        3 => prop_oneof![3 => Just(1), 1 => Just(2)].prop_map(Event::LoseRotations),
        1 => Just(Event::LogOut),
        1 => Just(Event::Expire),
    ];
    prop::collection::vec(event, 1..30)
}

/// A session in the model. Tokens are numbered in the order of rotation.
#[derive(Clone, Debug)]
struct Session {
    current: usize,
    /// When the current token was issued, and for how long events have waited since.
    rotated: Option<(u64, u64)>,
    /// The token whose successor is stored.
    linked: usize,
    /// The token that is recorded as unused, along with its access token.
    unused: Option<usize>,
    stamp: u128,
    announced: u128,
}

/// The expected outcome for a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Rotated,
    Repeated { issued_at: u64 },
    PasswordChanged,
    Reuse,
}

impl Session {
    fn present(&self, token: usize, stamp: u128, is_this_release: bool) -> Expected {
        let rotation_was_lost = is_this_release && self.linked == self.current && token == self.current + 1;
        if stamp != self.stamp && stamp != self.announced {
            Expected::PasswordChanged
        } else if token == self.current || rotation_was_lost {
            Expected::Rotated
        } else if let Some((issued_at, waited)) = self.rotated
            && token + 1 == self.current
            && (waited <= GRACE || is_this_release && self.unused == Some(self.current))
        {
            Expected::Repeated { issued_at }
        } else {
            Expected::Reuse
        }
    }

    fn rotate(&mut self, token: usize, issued_at: u64, is_this_release: bool) {
        self.current = token + 1;
        self.rotated = Some((issued_at, 0));
        if is_this_release {
            self.linked = self.current;
            self.unused = Some(self.current);
        }
    }
}

/// The model, and the session in Redis that it is compared with.
struct Run<'a> {
    fixture: Fixture<'a>,
    session: Option<Session>,
    /// The states before each rotation, of the model and in Redis.
    before: Vec<(Session, Vec<u8>)>,
    /// The newest token that was issued.
    newest: usize,
    stamps: u128,
}

impl Run<'_> {
    fn token(&self, behind: usize) -> usize {
        self.newest.saturating_sub(behind)
    }

    async fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Present { behind, stamp } => {
                let number = self.stamp(stamp);
                let outcome = self.fixture.present(self.token(behind), number).await;
                self.presented(self.token(behind), number, true, outcome).await?;
            }
            Event::PresentLate { behind } => {
                let before = self.fixture.dump().await;
                self.fixture.present_late(self.token(behind), self.stamp(Stamp::Current)).await;
                prop_assert_eq!(self.fixture.dump().await, before, "a late script changed the session");
            }
            Event::PresentToPreviousRelease { behind } => {
                let number = self.stamp(Stamp::Current);
                let outcome = self.fixture.present_to_previous_release(self.token(behind), number, GRACE).await;
                self.presented(self.token(behind), number, false, outcome).await?;
            }
            Event::UseAccess { behind } => {
                let token = self.token(behind);
                self.fixture.use_access(token).await;
                if let Some(session) = &mut self.session {
                    session.unused.take_if(|unused| *unused == token);
                }
            }
            Event::Wait(graces) => self.wait(graces * (GRACE + SECONDS_OF_A_CASE)).await,
            Event::SetPasswordStamp(when) => self.set_password_stamp(when).await?,
            Event::LoseRotations(count) => self.lose(count).await,
            Event::LogOut => {
                let ended = sessions::end(self.fixture.redis(), self.fixture.id).await.unwrap();
                prop_assert_eq!(ended, self.session.is_some());
                self.end();
            }
            Event::Expire => {
                self.fixture.expire().await;
                self.end();
            }
        }
        let is_alive = sessions::read_stamps(self.fixture.redis(), self.fixture.id).await.unwrap().value.is_some();
        prop_assert_eq!(is_alive, self.session.is_some());
        Ok(())
    }

    fn stamp(&self, stamp: Stamp) -> u128 {
        let Some(session) = &self.session else { return 0 };
        match stamp {
            Stamp::Current => session.stamp,
            Stamp::Announced => session.announced,
            Stamp::Other => self.stamps + 1,
        }
    }

    /// Compares an outcome with that of the model, and applies it to the model.
    async fn presented(
        &mut self,
        token: usize,
        stamp: u128,
        is_this_release: bool,
        (outcome, before): (RotationOutcome, Vec<u8>),
    ) -> Result<(), TestCaseError> {
        let expected = self.session.as_ref().map(|session| session.present(token, stamp, is_this_release));
        match (expected, outcome) {
            (None, RotationOutcome::SessionNotFound)
            | (Some(Expected::PasswordChanged), RotationOutcome::PasswordChanged) => {}
            (Some(Expected::Rotated), RotationOutcome::Rotated { issued_at, now, .. }) => {
                prop_assert_eq!(issued_at, now);
                let session = self.session.as_mut().unwrap();
                self.before.push((session.clone(), before));
                session.rotate(token, issued_at, is_this_release);
                self.newest = self.newest.max(token + 1);
            }
            (Some(Expected::Repeated { issued_at }), RotationOutcome::Rotated { issued_at: repeated, now, .. }) => {
                prop_assert_eq!(repeated, issued_at);
                prop_assert!(now >= issued_at);
                prop_assert_eq!(self.fixture.dump().await, before, "a repeat changed the session");
            }
            (Some(Expected::Reuse), RotationOutcome::ReuseDetected) => self.end(),
            _ => prop_assert!(false, "token {} of {:?}: {:?}, not {:?}", token, self.session, outcome, expected),
        }
        Ok(())
    }

    async fn wait(&mut self, seconds: u64) {
        let pass = |session: &mut Session| {
            if let Some((issued_at, waited)) = &mut session.rotated {
                (*issued_at, *waited) = (*issued_at - seconds, *waited + seconds);
            }
        };
        self.before.iter_mut().for_each(|(session, _)| pass(session));
        if let Some(session) = &mut self.session {
            pass(session);
            self.fixture.set_rotated_at(session.rotated.map(|(issued_at, _)| issued_at)).await;
        }
    }

    async fn set_password_stamp(&mut self, when: StampState) -> Result<(), TestCaseError> {
        self.stamps += 1;
        let is_found = self.fixture.set_password_stamp(when, self.stamps).await;
        prop_assert_eq!(is_found, self.session.is_some());
        for session in self.session.iter_mut().chain(self.before.iter_mut().map(|(session, _)| session)) {
            match when {
                StampState::Pending => session.announced = self.stamps,
                StampState::Committed => session.stamp = self.stamps,
            }
        }
        Ok(())
    }

    /// Reverts rotations; stamps and elapsed time stay.
    async fn lose(&mut self, count: usize) {
        let Some(at) = self.before.len().checked_sub(count).filter(|_| self.session.is_some()) else { return };
        let (session, dump) = self.before.drain(at..).next().unwrap();
        self.fixture.restore(&dump).await;
        self.fixture.set_rotated_at(session.rotated.map(|(issued_at, _)| issued_at)).await;
        self.fixture.set_stamps(session.stamp, session.announced).await;
        self.session = Some(session);
    }

    fn end(&mut self) {
        self.session = None;
        self.before.clear();
    }
}

async fn agrees_with_the_model(connections: &Connections, events: &[Event]) -> Result<(), TestCaseError> {
    let fixture = Fixture::create(connections, GRACE).await;
    let session = Session { current: 0, rotated: None, linked: 0, unused: None, stamp: 0, announced: 0 };
    let mut run = Run { fixture, session: Some(session), before: Vec::new(), newest: 0, stamps: 0 };
    for event in events {
        run.step(*event).await?;
    }
    run.fixture.expire().await;
    Ok(())
}

fn check<E: std::fmt::Debug>(
    cases: u32,
    strategy: &impl Strategy<Value = Vec<E>>,
    case: &impl AsyncFn(&Connections, &[E]) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let connections = Connections::new();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner.run(strategy, |events| runtime.block_on(case(&connections, &events))).unwrap();
}

#[test]
fn rotation_agrees_with_its_model_under_hangs_lost_writes_and_a_rolling_update() {
    check(400, &events(), &agrees_with_the_model);
}

/// A fault that affects a well-behaved client.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Redis hangs: the script is executed late, and the client gets 503.
    Hang,
    /// The response is lost, and the client retries after so many grace periods.
    LostResponse(u64),
    /// Redis loses this rotation.
    LostRotation,
    /// Another tab presents the same token.
    SecondTab,
    /// Time passes, in grace periods.
    Wait(u64),
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        Just(Fault::None),
        Just(Fault::Hang),
        (0..3_u64).prop_map(Fault::LostResponse),
        Just(Fault::LostRotation),
        Just(Fault::SecondTab),
        (1..3_u64).prop_map(Fault::Wait),
    ];
    prop::collection::vec(fault, 1..20)
}

async fn stays_signed_in(connections: &Connections, faults: &[Fault]) -> Result<(), TestCaseError> {
    let fixture = Fixture::create(connections, GRACE).await;
    let mut token = 0;
    // A second loss within the same second would lose two rotations.
    let mut was_lost = false;
    for fault in faults {
        if let Fault::Wait(graces) = fault {
            fixture.move_rotated_at_back(graces * (GRACE + SECONDS_OF_A_CASE)).await;
            continue;
        }
        if matches!(fault, Fault::Hang) {
            fixture.present_late(token, 0).await;
        }
        let (outcome, before) = fixture.present(token, 0).await;
        let RotationOutcome::Rotated { mut issued_at, now, .. } = outcome else {
            return Err(TestCaseError::fail(format!("token {token}: {outcome:?}")));
        };
        prop_assert_eq!(issued_at, now, "each token is rotated once");
        if let Fault::LostResponse(graces) = fault {
            // The client continues with its former access token.
            fixture.use_access(token).await;
            let seconds = graces * (GRACE + SECONDS_OF_A_CASE);
            fixture.move_rotated_at_back(seconds).await;
            issued_at -= seconds;
        } else {
            fixture.use_access(token + 1).await;
        }
        if matches!(fault, Fault::LostResponse(_) | Fault::SecondTab) {
            let (RotationOutcome::Rotated { issued_at: repeated, .. }, _) = fixture.present(token, 0).await else {
                return Err(TestCaseError::fail(format!("token {token} is not repeatable")));
            };
            prop_assert_eq!(repeated, issued_at);
        }
        let loses = matches!(fault, Fault::LostRotation) && !was_lost;
        if loses {
            fixture.restore(&before).await;
        }
        was_lost = loses;
        token += 1;
    }
    // Only reuse revokes the session.
    if token >= 2 && !was_lost {
        prop_assert_eq!(outcome_of(fixture.present(token - 2, 0).await), RotationOutcome::ReuseDetected);
        prop_assert_eq!(outcome_of(fixture.present(token, 0).await), RotationOutcome::SessionNotFound);
    }
    fixture.expire().await;
    Ok(())
}

#[test]
fn a_client_stays_signed_in_under_hangs_lost_responses_and_lost_rotations() {
    check(400, &faults(), &stays_signed_in);
}

/// An event of a session that is shared: each party holds a refresh token and the access token issued with it.
#[derive(Clone, Copy, Debug)]
enum Shared {
    /// Presents the refresh token. The response may be lost.
    Refresh {
        party: usize,
        is_lost: bool,
    },
    UseAccess {
        party: usize,
    },
    /// A party gets the tokens of another.
    Copy {
        from: usize,
        to: usize,
    },
    /// Time passes, in grace periods.
    Wait(u64),
}

/// Two tabs and a thief.
const PARTIES: usize = 3;

fn shared() -> impl Strategy<Value = Vec<Shared>> {
    let party = 0..PARTIES;
    let event = prop_oneof![
        4 => (party.clone(), any::<bool>()).prop_map(|(party, is_lost)| Shared::Refresh { party, is_lost }),
        3 => party.clone().prop_map(|party| Shared::UseAccess { party }),
        2 => (party.clone(), party).prop_map(|(from, to)| Shared::Copy { from, to }),
        2 => (0..3_u64).prop_map(Shared::Wait),
    ];
    prop::collection::vec(event, 1..30)
}

async fn late_reuse_ends_the_session(connections: &Connections, events: &[Shared]) -> Result<(), TestCaseError> {
    let fixture = Fixture::create(connections, GRACE).await;
    let (mut held, mut is_alive) = ([0; PARTIES], true);
    // In grace periods, and a margin each: a pair of an earlier time was used more than the grace ago.
    let (mut now, mut first_used) = (0, BTreeMap::new());
    for event in events {
        match *event {
            Shared::Refresh { party, is_lost } => {
                let token = held[party];
                let is_late = first_used.get(&(token + 1)).is_some_and(|at| *at < now);
                match outcome_of(fixture.present(token, 0).await) {
                    RotationOutcome::Rotated { .. } => {
                        prop_assert!(is_alive && !is_late, "token {} is accepted", token);
                        first_used.entry(token).or_insert(now);
                        held[party] = if is_lost { token } else { token + 1 };
                    }
                    RotationOutcome::ReuseDetected => {
                        prop_assert!(
                            is_alive && first_used.contains_key(&(token + 1)),
                            "token {} was not reused",
                            token
                        );
                        is_alive = false;
                    }
                    outcome => prop_assert!(!is_alive && outcome == RotationOutcome::SessionNotFound, "{:?}", outcome),
                }
            }
            Shared::UseAccess { party } => {
                fixture.use_access(held[party]).await;
                first_used.entry(held[party]).or_insert(now);
            }
            Shared::Copy { from, to } => held[to] = held[from],
            Shared::Wait(graces) => {
                fixture.move_rotated_at_back(graces * (GRACE + SECONDS_OF_A_CASE)).await;
                now += graces;
            }
        }
    }
    fixture.expire().await;
    Ok(())
}

#[test]
fn a_token_presented_later_than_the_grace_after_its_successor_pair_was_used_ends_the_session() {
    check(400, &shared(), &late_reuse_ends_the_session);
}
