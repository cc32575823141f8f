//! Strips and verifies the images of a directory: `cargo run --release --example corpus -- DIRECTORY [OUTPUT]`.
//!
//! Prints a line per image, separated by tabs: path, kind, bytes before and after, bytes of memory, milliseconds, steps, and
//! percent of the work budget; or the reason of its rejection. Stripped images are written into the directory OUTPUT, under their
//! path with `/` as `%`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use media_server::formats::work::Work;
use media_server::formats::{self, ImageError, PictureLimits};
use tokio::time::Instant;

/// The default.
const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), to) = (arguments.next(), arguments.next()) else {
        eprintln!("corpus DIRECTORY [OUTPUT]");
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
    let Some(kind) = formats::detect_kind(picture) else { return };
    let name = path.display();
    match timed(picture) {
        Ok((stripped, memory_bytes, millis, work)) => {
            let percent = work.spent() * 100 / work.budget();
            let (before, after, steps) = (picture.len(), stripped.len(), work.spent());
            println!("{name}\t{kind:?}\t{before}\t{after}\t{memory_bytes}\t{millis:.2}\t{steps}\t{percent}");
            if let Some(to) = to
                && let Err(error) = std::fs::write(to.join(name.to_string().replace('/', "%")), stripped)
            {
                eprintln!("{name}: {error}");
            }
        }
        Err(error) => println!("{name}\t{kind:?}\t{}\trejected\t{error}", picture.len()),
    }
}

fn timed(picture: &Bytes) -> Result<(Bytes, u64, f64, Work), ImageError> {
    let start = Instant::now();
    let stripped = formats::strip_metadata(picture)?;
    let memory_bytes = stripped.memory_bytes(LIMITS)?;
    let mut work = Work::default();
    let verified = stripped.verify(&mut work)?;
    Ok((verified.bytes, memory_bytes, start.elapsed().as_secs_f64() * 1000.0, work))
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
