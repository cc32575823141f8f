//! Writes hostile images and their baselines into a directory, and prints their costs:
//! `cargo run --release --example hostile -- DIRECTORY [NAME…]`.
//!
//! Prints a line per file, separated by tabs: name, bytes, CPU milliseconds of verification and of the largest rendition, steps,
//! work budget, and the reason of a rejection.

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use media_server::formats::work::Work;
use media_server::formats::{self, ImageError, PictureLimits, VerifiedImage};
use media_server::hostile;
use media_server::renditions::RenderInput;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };
const LARGEST: u32 = 512;
/// The cheapest run counts.
const RUNS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        eprintln!("hostile DIRECTORY [NAME…]");
        return ExitCode::FAILURE;
    };
    let names: Vec<String> = arguments.collect();
    for picture in hostile::ALL {
        let picture = picture();
        if !names.is_empty() && !names.iter().any(|name| picture.name.contains(name.as_str())) {
            continue;
        }
        for (which, bytes) in [("hostile", picture.bytes.clone()), ("ordinary", picture.ordinary())] {
            let name = format!("{}.{which}.{}", picture.name, picture.kind.extension());
            if let Err(error) = std::fs::write(directory.join(&name), &bytes) {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
            show(&name, &bytes.into());
        }
    }
    ExitCode::SUCCESS
}

fn show(name: &str, picture: &Bytes) {
    let mut work = Work::default();
    let (verification, verified) = cheapest(|| {
        work = Work::default();
        verify(picture, &mut work)
    });
    print!("{name}\t{}\t{verification:.2}", picture.len());
    match verified {
        Err(error) => println!("\t-\t{}\t{}\t{error}", work.spent(), work.budget()),
        Ok(verified) => {
            let render = || {
                let source = RenderInput::Original(verified.bytes.clone());
                source.memory_bytes(LARGEST).map(|_| source.render(LARGEST, &mut Work::default()))
            };
            let (rendition, outcome) = cheapest(render);
            let outcome = match outcome {
                Ok(Ok(_)) => String::new(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            println!("\t{rendition:.2}\t{}\t{}\t{outcome}", work.spent(), work.budget());
        }
    }
}

fn verify(picture: &Bytes, work: &mut Work) -> Result<VerifiedImage, ImageError> {
    let stripped = formats::strip_metadata(picture)?;
    stripped.memory_bytes(LIMITS)?;
    stripped.verify(work)
}

/// Returns the CPU milliseconds of the cheapest run, and the outcome of the first. A run repeats the work, since the clock ticks
/// every 4 ms on some machines.
fn cheapest<T>(mut run: impl FnMut() -> T) -> (f64, T) {
    let start = cpu_milliseconds();
    let outcome = run();
    let once = cpu_milliseconds() - start;
    let repeats = if once < 10.0 { 50 } else { 3 };
    let timed = || {
        let start = cpu_milliseconds();
        (0..repeats).for_each(|_| drop(run()));
        (cpu_milliseconds() - start) / f64::from(repeats)
    };
    let runs = if once > 1000.0 { 0 } else { RUNS };
    (std::iter::repeat_with(timed).take(runs).fold(once.max(f64::MIN_POSITIVE), f64::min), outcome)
}

/// CPU time of this thread (`/proc/thread-self/schedstat`).
fn cpu_milliseconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or_default() / 1e6
}
