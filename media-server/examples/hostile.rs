//! Writes hostile pictures and their ordinary counterparts into a directory, and prints what they cost:
//! `cargo run --release --example hostile -- DIRECTORY [NAME…]`.
//!
//! A line for each file, with tabs between: its name, its bytes, milliseconds of CPU of its verification and of its largest
//! rendition, steps and the most steps, or why it is refused.

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use media_server::hostile;
use media_server::images::work::Work;
use media_server::images::{self, Accepted, PictureLimits, Refusal};
use media_server::renditions::RenderInput;

const LIMITS: PictureLimits = PictureLimits { pixels_max: 40_000_000 };
const LARGEST: u32 = 512;
/// The cheapest of so many runs counts.
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
    let (verification, accepted) = cheapest(|| {
        work = Work::default();
        verify(picture, &mut work)
    });
    print!("{name}\t{}\t{verification:.2}", picture.len());
    match accepted {
        Err(refusal) => println!("\t-\t{}\t{}\t{refusal}", work.spent(), work.budget()),
        Ok(accepted) => {
            let render = || {
                let source = RenderInput::Original(accepted.bytes.clone());
                source.memory_bytes(LARGEST).map(|_| source.render(LARGEST, &mut Work::default()))
            };
            let (rendition, outcome) = cheapest(render);
            let outcome = match outcome {
                Ok(Ok(_)) => String::new(),
                Ok(Err(error)) => error.to_string(),
                Err(refusal) => refusal.to_string(),
            };
            println!("\t{rendition:.2}\t{}\t{}\t{outcome}", work.spent(), work.budget());
        }
    }
}

fn verify(picture: &Bytes, work: &mut Work) -> Result<Accepted, Refusal> {
    let cleaned = images::clean(picture)?;
    cleaned.memory_bytes(LIMITS)?;
    cleaned.decode(work)
}

/// Milliseconds of CPU of the cheapest of some runs, and the outcome of the first one. A run is repeated within, since the
/// clock ticks every 4 ms on some machines.
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
