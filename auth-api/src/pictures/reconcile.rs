//! Reconciliation of the stored pictures with Postgres, in both directions.
//!
//! An orphan is a picture with neither an owner nor a pending deletion. If it is old enough, its deletion is enqueued with
//! the same grace period; the worker checks for an owner again. A user whose picture is missing is only reported.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shared::media_api::{ImageId, StoredPage};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::store::stored_pictures::{self, Owner};
use crate::store::within;

/// What to do with orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Enqueue,
    DryRun,
}

/// Result of a reconciliation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Stored pictures.
    pub stored: usize,
    /// Orphans, or remains of some, that are old enough.
    pub orphans: u64,
    /// Users whose picture is missing.
    pub missing: usize,
    /// The first [`NAMED_MAX`] of them.
    pub missing_user_ids: Vec<Uuid>,
}

/// Limit of reported ids of users.
const NAMED_MAX: usize = 100;

/// Owners per statement.
const OWNERS_MAX: u16 = 1000;

/// Longest time between two checks whether a reconciliation is due.
const CHECK_INTERVAL_MAX: Duration = Duration::from_mins(1);

/// Reconciles whenever it is due. Replicas share the work. Never returns, unless it is disabled.
pub async fn run(app: Arc<App>) {
    let every = app.config.reconcile_interval;
    if every.is_zero() {
        return;
    }
    let mut ticks = interval(every.min(CHECK_INTERVAL_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match reconcile_if_due(&app, every).await {
            Ok(None) => {}
            Ok(Some(Report { stored, orphans, missing, missing_user_ids })) => {
                for user_id in missing_user_ids {
                    tracing::warn!(%user_id, "the picture of a user is missing from the storage");
                }
                tracing::info!(stored, orphans, missing, "reconciled the stored pictures with their owners");
            }
            Err(error) => tracing::warn!(%error, "reconciliation of pictures failed; retrying at the next interval"),
        }
    }
}

async fn reconcile_if_due(app: &App, every: Duration) -> Result<Option<Report>, Error> {
    let claim = async { stored_pictures::begin_reconciliation(&app.postgres.get().await?, every).await };
    let is_due = within(app.config.store_timeout, claim).await?;
    if is_due { reconcile(app, Mode::Enqueue).await.map(Some) } else { Ok(None) }
}

/// Reconciles once.
pub async fn reconcile(app: &App, mode: Mode) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut after = None;
    loop {
        let page = next_page(app, after).await?;
        report.stored += page.images.iter().filter(|image| image.has_original).count();
        report.orphans += enqueue_orphans(app, &page, mode).await?;
        find_missing(app, after, &page, &mut report).await?;
        if page.next.is_none() {
            return Ok(report);
        }
        after = page.next;
    }
}

async fn next_page(app: &App, after: Option<ImageId>) -> Result<StoredPage, Error> {
    let page = app.media.list(after).await?;
    if page.next.is_some() && page.next <= after {
        return Err(Error::MediaServer("its listing does not advance".to_owned()));
    }
    Ok(page)
}

async fn enqueue_orphans(app: &App, page: &StoredPage, mode: Mode) -> Result<u64, Error> {
    let (now, grace) = (app.clock.unix_seconds(), app.config.orphan_grace);
    let is_old = |stored_at: u64| now.saturating_sub(stored_at) >= grace.as_secs();
    let old = page.images.iter().filter(|image| is_old(image.stored_at));
    let ids: Vec<String> = old.map(|image| image.id.hex()).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let enqueue = async {
        let mut client = app.postgres.get().await?;
        let transaction = client.transaction().await?;
        let enqueued = stored_pictures::enqueue_orphans(&transaction, &ids, grace).await?;
        // A dry run is rolled back.
        if mode == Mode::Enqueue {
            transaction.commit().await?;
        }
        Ok::<_, Error>(enqueued)
    };
    within(app.config.store_timeout, enqueue).await
}

/// Reports the owners whose picture should be on this page and is not.
async fn find_missing(app: &App, after: Option<ImageId>, page: &StoredPage, report: &mut Report) -> Result<(), Error> {
    let stored = ids(page);
    let mut from = after.map_or_else(String::new, ImageId::hex);
    let through = page.next.map_or_else(|| END.to_owned(), ImageId::hex);
    loop {
        let find = async {
            let client = app.postgres.get().await?;
            stored_pictures::owners_between(&client, &from, &through, i64::from(OWNERS_MAX)).await
        };
        let owners = within(app.config.store_timeout, find).await?;
        let last = owners.last().map(|owner| owner.picture_id.clone());
        let are_more = owners.len() == usize::from(OWNERS_MAX);
        let candidates: Vec<Owner> = owners.into_iter().filter(|owner| !stored.contains(&owner.picture_id)).collect();
        for owner in recheck(app, after, page.next, candidates).await? {
            report.missing += 1;
            if report.missing_user_ids.len() < NAMED_MAX {
                report.missing_user_ids.push(owner.user_id);
            }
        }
        match last {
            Some(last) if are_more => from = last,
            _ => return Ok(()),
        }
    }
}

/// Sorts after every id.
const END: &str = "g";

/// Keeps the owners who referenced the picture both before and after a second listing that lacks it, which rules out uploads
/// and replacements during the scan. (A detached picture is never attached again.)
async fn recheck(
    app: &App,
    after: Option<ImageId>,
    through: Option<ImageId>,
    mut candidates: Vec<Owner>,
) -> Result<Vec<Owner>, Error> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let stored = stored_between(app, after, through).await?;
    candidates.retain(|owner| !stored.contains(&owner.picture_id));
    let user_ids: Vec<Uuid> = candidates.iter().map(|owner| owner.user_id).collect();
    let find = async { stored_pictures::owners_among(&app.postgres.get().await?, &user_ids).await };
    let owners = within(app.config.store_timeout, find).await?;
    candidates.retain(|candidate| owners.contains(candidate));
    Ok(candidates)
}

/// Returns the ids of the stored pictures after `after`, at least through `through`.
async fn stored_between(app: &App, after: Option<ImageId>, through: Option<ImageId>) -> Result<HashSet<String>, Error> {
    let mut page = next_page(app, after).await?;
    let mut stored = ids(&page);
    while let Some(next) = page.next.filter(|next| through.is_none_or(|through| *next < through)) {
        page = next_page(app, Some(next)).await?;
        stored.extend(ids(&page));
    }
    Ok(stored)
}

fn ids(page: &StoredPage) -> HashSet<String> {
    page.images.iter().filter(|image| image.has_original).map(|image| image.id.hex()).collect()
}
