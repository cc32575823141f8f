//! What becomes of the pictures of a directory: `cargo run --release --example corpus -- DIRECTORY [CLEANED]`.
//!
//! A line for each file that begins as a picture, with tabs between: its path, its kind, how many bytes it has, how many
//! are left of it, the bytes of memory that decoding it needs, the milliseconds it took, its steps, and how many percent of
//! its budget they are; or why it is refused.
//! What is accepted is written into the directory CLEANED, under the path with `/` as `%`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use media_server::images::work::Work;
use media_server::images::{self, PictureLimits, Refusal};
use tokio::time::Instant;

/// As the settings have them by default.
const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), to) = (arguments.next(), arguments.next()) else {
        eprintln!("corpus DIRECTORY [CLEANED]");
        return ExitCode::FAILURE;
    };
    let mut paths = Vec::new();
    collect(&from, &mut paths);
    paths.sort();
    for path in paths {
        match std::fs::read(&path) {
            Ok(bytes) => show(&path, &bytes.into(), to.as_deref()),
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
    ExitCode::SUCCESS
}

fn show(path: &Path, picture: &Bytes, to: Option<&Path>) {
    let Some(kind) = images::kind(picture) else { return };
    let name = path.display();
    match timed(picture) {
        Ok((cleaned, memory_bytes, millis, work)) => {
            let percent = work.spent() * 100 / work.budget();
            let (before, after, steps) = (picture.len(), cleaned.len(), work.spent());
            println!("{name}\t{kind:?}\t{before}\t{after}\t{memory_bytes}\t{millis:.2}\t{steps}\t{percent}");
            if let Some(to) = to
                && let Err(error) = std::fs::write(to.join(name.to_string().replace('/', "%")), cleaned)
            {
                eprintln!("{name}: {error}");
            }
        }
        Err(refusal) => println!("{name}\t{kind:?}\t{}\trefused\t{refusal}", picture.len()),
    }
}

fn timed(picture: &Bytes) -> Result<(Bytes, u64, f64, Work), Refusal> {
    let start = Instant::now();
    let cleaned = images::clean(picture)?;
    let memory_bytes = cleaned.memory_bytes(LIMITS)?;
    let mut work = Work::default();
    let accepted = cleaned.decode(&mut work)?;
    Ok((accepted.bytes, memory_bytes, start.elapsed().as_secs_f64() * 1000.0, work))
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}
