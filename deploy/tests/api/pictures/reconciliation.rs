//! Pictures without an owner, and owners without their picture: what `auth-api pictures sweep` finds, and that nothing
//! with an owner is ever deleted.

mod model;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use deploy::{Options, Part, Stack};
use procfs::process::Process;

use crate::support::{Api, Person, jpeg, postgres, until};

/// Runs `auth-api pictures sweep` with the settings of the stack's own auth-api: what it prints, line by line.
fn sweep(stack: &Stack, options: &[&str]) -> Vec<String> {
    let running = Process::new(stack.pids(Part::AuthApi).unwrap()[0]).unwrap();
    let output = Command::new(running.exe().unwrap())
        .args(["pictures", "sweep"])
        .args(options)
        .env_clear()
        .envs(running.environ().unwrap())
        // Its log goes where what it prints goes.
        .env("LOG_LEVEL", "warn")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// The file of a picture that is stored: its name is the picture's id. Those of its renditions begin with it.
fn file_of(directory: &Path, link: &str) -> Option<PathBuf> {
    let id = link.rsplit('/').next()?.split('.').next()?;
    fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            return file_of(&path, link);
        }
        (path.file_name()?.to_str()? == id).then_some(path)
    })
}

#[expect(clippy::disallowed_methods, reason = "a file's time is the real one")]
fn age(file: &Path, by: Duration) {
    File::options().write(true).open(file).unwrap().set_modified(SystemTime::now() - by).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_tells_whose_picture_is_missing_and_deletes_what_nobody_has_in_its_time() {
    let options = Options::scratch().unwrap().with("SWEEP_INTERVAL_SECONDS", "1");
    let options = options.with("ORPHAN_SWEEP_INTERVAL_SECONDS", "1");
    let pictures = options.data.join("pictures");
    let stack = Stack::start(options).unwrap();
    let sql = |sql: &str| postgres(stack.env(), sql);
    // Nobody sweeps but us.
    sql("update orphan_sweeps set begun_at = 'infinity'");
    let api = Api::at(&stack.env().base);
    let mut people = Vec::new();
    for _ in 0..3 {
        let person = Person::with_picture(&api, &jpeg()).await;
        let link = person.picture().await.unwrap();
        people.push((person, link));
    }
    let [(unlucky, lost), (_, kept), (former, orphan)] = people.try_into().unwrap_or_else(|_| unreachable!());
    fs::remove_file(file_of(&pictures, &lost).unwrap()).unwrap();
    let name = orphan.rsplit('/').next().unwrap();
    let take = || sql(&format!("update users set profile_pic = null where id = '{}'", former.id));
    let notes =
        || sql("select count(*), count(*) filter (where due_at > now() + interval '23 hours') from picture_deletions");
    take();

    let missing = ["1 users whose picture is missing", &unlucky.id];
    let told = |orphans: &'static str| [&["2 pictures are stored", orphans], &missing[..]].concat();
    assert_eq!(sweep(&stack, &[]), told("0 without an owner: noted, to be deleted in 86400 s"), "it is too young");
    age(&file_of(&pictures, &orphan).unwrap(), Duration::from_hours(48));
    age(&file_of(&pictures, &kept).unwrap(), Duration::from_hours(48));
    assert_eq!(sweep(&stack, &["--dry-run"]), told("1 without an owner: nothing is done"));
    assert_eq!(notes(), "0|0");
    assert_eq!(sweep(&stack, &[]), told("1 without an owner: noted, to be deleted in 86400 s"));
    assert_eq!(notes(), "1|1");
    assert_eq!(sweep(&stack, &[]), told("0 without an owner: noted, to be deleted in 86400 s"), "it is noted already");
    assert_eq!(notes(), "1|1");

    // Whoever gives it back to its owner need not know of notes.
    sql(&format!("update users set profile_pic = '{name}' where id = '{}'", former.id));
    sql("update picture_deletions set due_at = now()");
    until("the note is dropped", Duration::from_secs(10), async || notes() == "0|0").await;
    assert!(file_of(&pictures, &orphan).is_some());

    take();
    sql("update orphan_sweeps set begun_at = '-infinity'");
    until("it is noted by the timer", Duration::from_secs(10), async || notes() == "1|1").await;
    sql("update picture_deletions set due_at = now()");
    until("it is deleted", Duration::from_secs(10), async || notes() == "0|0").await;
    assert!(file_of(&pictures, &orphan).is_none());
    assert_eq!(api.get(&kept).await.status, 200);
}
