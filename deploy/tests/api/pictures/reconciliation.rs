//! Reconciliation of the storage with Postgres: `auth-api pictures sweep` finds orphaned pictures and missing ones, and no
//! owned picture is ever deleted.

mod model;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use deploy::{Service, Stack};
use procfs::process::Process;

use crate::support::{OwnStack, TestUser, files_below, jpeg, postgres, wait_until};

const DONE_WITHIN: Duration = Duration::from_secs(20);

/// Runs `auth-api pictures sweep` with the environment of the stack's auth-api, and returns the lines that it prints.
fn sweep(stack: &Stack, options: &[&str]) -> Vec<String> {
    let running = Process::new(stack.pids(Service::AuthApi).unwrap()[0]).unwrap();
    let output = Command::new(running.exe().unwrap())
        .args(["pictures", "sweep"])
        .args(options)
        .env_clear()
        .envs(running.environ().unwrap())
        // The log goes to standard output, too.
        .env("LOG_LEVEL", "warn")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// The file of the original of a picture; its name is the picture's id.
fn file_of(directory: &Path, link: &str) -> Option<PathBuf> {
    let id = link.rsplit('/').next()?.split('.').next()?;
    files_below(directory).into_iter().find(|path| path.ends_with(id))
}

/// Sets the modification time of a picture's file into the past.
#[expect(clippy::disallowed_methods, reason = "media-server compares it with the real time")]
fn age(directory: &Path, link: &str, by: Duration) {
    let file = File::options().write(true).open(file_of(directory, link).unwrap()).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_reports_missing_pictures_and_deletes_orphans_after_their_grace_period() {
    let stack = OwnStack::start(&[("SWEEP_INTERVAL_SECONDS", "1"), ("ORPHAN_SWEEP_INTERVAL_SECONDS", "1")]);
    let pictures = stack.data.join("pictures");
    let sql = |sql: &str| postgres(stack.env(), sql);
    // Disables the sweeps by the timer.
    sql("update orphan_sweeps set begun_at = 'infinity'");
    let [(loser, lost), (_, kept), (former_owner, orphan)] =
        [user_with_picture(&stack).await, user_with_picture(&stack).await, user_with_picture(&stack).await];
    fs::remove_file(file_of(&pictures, &lost).unwrap()).unwrap();
    let name = orphan.rsplit('/').next().unwrap();
    let orphan_it = || sql(&format!("update users set profile_pic = null where id = '{}'", former_owner.id));
    let pending =
        || sql("select count(*), count(*) filter (where due_at > now() + interval '23 hours') from picture_deletions");
    orphan_it();

    let missing = ["1 users whose picture is missing", &loser.id];
    let report = |orphans: &'static str| [&["2 pictures are stored", orphans], &missing[..]].concat();
    let none = report("0 without an owner: deletion enqueued, due in 86400 s");
    assert_eq!(sweep(&stack, &[]), none, "the orphan is too young");
    age(&pictures, &orphan, Duration::from_hours(48));
    age(&pictures, &kept, Duration::from_hours(48));
    assert_eq!(sweep(&stack, &["--dry-run"]), report("1 without an owner: not deleted (dry run)"));
    assert_eq!(pending(), "0|0");
    assert_eq!(sweep(&stack, &[]), report("1 without an owner: deletion enqueued, due in 86400 s"));
    assert_eq!(pending(), "1|1");
    assert_eq!(sweep(&stack, &[]), none, "its deletion is already pending");
    assert_eq!(pending(), "1|1");

    // An operator who restores the reference need not know of the pending deletion.
    sql(&format!("update users set profile_pic = '{name}' where id = '{}'", former_owner.id));
    sql("update picture_deletions set due_at = now()");
    wait_until("the pending deletion is canceled", DONE_WITHIN, async || pending() == "0|0").await;
    assert!(file_of(&pictures, &orphan).is_some());

    orphan_it();
    sql("update orphan_sweeps set begun_at = '-infinity'");
    wait_until("the timer's sweep finds the orphan", DONE_WITHIN, async || pending() == "1|1").await;
    sql("update picture_deletions set due_at = now()");
    wait_until("the orphan is deleted", DONE_WITHIN, async || pending() == "0|0").await;
    assert!(file_of(&pictures, &orphan).is_none());
    assert_eq!(stack.api.get(&kept).await.status, 200);
}

async fn user_with_picture(stack: &OwnStack) -> (TestUser, String) {
    let user = TestUser::with_picture(&stack.api, &jpeg()).await;
    let link = user.picture().await.unwrap();
    (user, link)
}
