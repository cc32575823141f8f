//! The sweep for orphans: compares what media-server has with what Postgres knows, in both directions.
//!
//! A picture without an owner and without a note (an orphan) is noted for deletion, if it is old enough, and deleted when
//! its note has waited as long again: by whoever deletes what is due, who asks for an owner once more. An owner whose
//! picture is missing is reported, and that is all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shared::media_api::{ImageId, StoredPage};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::App;
use crate::error::Error;
use crate::store::stored_pictures::{self, Owner};
use crate::store::{StoreError, within};

/// What becomes of orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are noted for deletion.
    Note,
    /// They are counted.
    DryRun,
}

/// What a sweep has found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Pictures that are stored.
    pub stored: usize,
    /// Those, and what is left of some, that are old enough and have neither an owner nor a note.
    pub orphans: u64,
    /// Users whose picture is not stored.
    pub missing: usize,
    /// The first of them.
    pub missing_of: Vec<Uuid>,
}

/// So many users whose picture is missing are named.
const NAMED_MAX: usize = 100;

/// Owners looked at in one statement.
const OWNERS_MAX: u16 = 1000;

/// How often it is looked whether a sweep is due, at most.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Sweeps whenever a sweep is due, until the process ends. Replicas share the work.
pub async fn sweep_for_ever(app: Arc<App>) {
    let every = app.config.orphan_sweep_interval;
    if every.is_zero() {
        return;
    }
    let mut ticks = interval(every.min(LOOK_EVERY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match sweep_if_due(&app, every).await {
            Ok(None) => {}
            Ok(Some(Report { stored, orphans, missing, missing_of })) => {
                for user_id in missing_of {
                    tracing::warn!(%user_id, "the picture of a user is missing");
                }
                tracing::info!(stored, orphans, missing, "compared the pictures that are stored with their owners");
            }
            Err(error) => tracing::warn!(%error, "a sweep for orphans broke off"),
        }
    }
}

async fn sweep_if_due(app: &App, every: Duration) -> Result<Option<Report>, Error> {
    let begin = async { stored_pictures::begin_reconciliation(&app.postgres.get().await?, every).await };
    let is_due = within(app.config.store_timeout, begin).await?;
    if is_due { sweep(app, Mode::Note).await.map(Some) } else { Ok(None) }
}

/// Compares everything once.
pub async fn sweep(app: &App, mode: Mode) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut after = None;
    loop {
        let page = next_page(app, after).await?;
        report.stored += page.images.iter().filter(|image| image.has_original).count();
        report.orphans += note_orphans(app, &page, mode).await?;
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
        return Err(Error::MediaServer("its listing does not go on".to_owned()));
    }
    Ok(page)
}

async fn note_orphans(app: &App, page: &StoredPage, mode: Mode) -> Result<u64, Error> {
    let (now, grace) = (app.clock.unix_seconds(), app.config.orphan_grace);
    let is_old = |stored_at: u64| now.saturating_sub(stored_at) >= grace.as_secs();
    let old = page.images.iter().filter(|image| is_old(image.stored_at));
    let ids: Vec<String> = old.map(|image| image.id.hex()).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let note = async {
        let mut client = app.postgres.get().await?;
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        let noted = stored_pictures::enqueue_orphans(&transaction, &ids, grace).await?;
        // Uncommitted, it is rolled back.
        if mode == Mode::Note {
            transaction.commit().await.map_err(StoreError::from)?;
        }
        Ok::<_, Error>(noted)
    };
    within(app.config.store_timeout, note).await
}

/// Finds the owners whose picture is not on the page that it should be on.
async fn find_missing(app: &App, after: Option<ImageId>, page: &StoredPage, report: &mut Report) -> Result<(), Error> {
    let stored = ids(page);
    let mut from = after.map_or_else(String::new, ImageId::hex);
    let upto = page.next.map_or_else(|| AFTER_ALL.to_owned(), ImageId::hex);
    loop {
        let look = async {
            let client = app.postgres.get().await?;
            stored_pictures::owners_between(&client, &from, &upto, i64::from(OWNERS_MAX)).await
        };
        let owners = within(app.config.store_timeout, look).await?;
        let last = owners.last().map(|owner| owner.picture_id.clone());
        let are_more = owners.len() == usize::from(OWNERS_MAX);
        let suspects: Vec<Owner> = owners.into_iter().filter(|owner| !stored.contains(&owner.picture_id)).collect();
        for owner in confirm(app, after, page.next, suspects).await? {
            report.missing += 1;
            if report.missing_of.len() < NAMED_MAX {
                report.missing_of.push(owner.user_id);
            }
        }
        match last {
            Some(last) if are_more => from = last,
            _ => return Ok(()),
        }
    }
}

/// A text that comes after every id.
const AFTER_ALL: &str = "g";

/// Whose picture is truly missing: it is not stored, and they have it before and after that was looked. (It may have been
/// uploaded since, or replaced. A picture that has lost its owner never gets one again.)
async fn confirm(
    app: &App,
    after: Option<ImageId>,
    upto: Option<ImageId>,
    mut suspects: Vec<Owner>,
) -> Result<Vec<Owner>, Error> {
    if suspects.is_empty() {
        return Ok(suspects);
    }
    let stored = stored_between(app, after, upto).await?;
    suspects.retain(|owner| !stored.contains(&owner.picture_id));
    let user_ids: Vec<Uuid> = suspects.iter().map(|owner| owner.user_id).collect();
    let look = async { stored_pictures::owners_among(&app.postgres.get().await?, &user_ids).await };
    let owners = within(app.config.store_timeout, look).await?;
    suspects.retain(|suspect| owners.contains(suspect));
    Ok(suspects)
}

/// The ids of what is stored after `after` and, at least, up to `upto`.
async fn stored_between(app: &App, after: Option<ImageId>, upto: Option<ImageId>) -> Result<HashSet<String>, Error> {
    let mut page = next_page(app, after).await?;
    let mut stored = ids(&page);
    while let Some(next) = page.next.filter(|next| upto.is_none_or(|upto| *next < upto)) {
        page = next_page(app, Some(next)).await?;
        stored.extend(ids(&page));
    }
    Ok(stored)
}

fn ids(page: &StoredPage) -> HashSet<String> {
    page.images.iter().filter(|image| image.has_original).map(|image| image.id.hex()).collect()
}
