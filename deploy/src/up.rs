//! `stack up`: the command behind `deploy/up`.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::{Options, project};
use crate::stack::Stack;

/// Text of `--help`; the script prints it too, without building first.
const HELP: &str = include_str!("../up.txt");

/// Pause between two checks of the services and of the interrupt flag.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Exit code of a usage error.
const BAD_ARGUMENTS: u8 = 2;

enum Arguments {
    Help,
    Up { port: u16, data: PathBuf },
}

/// Runs the command with `arguments`, which exclude the program name.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    match parse(arguments) {
        Ok(Arguments::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Arguments::Up { port, data }) => match up(port, &data) {
            // Interrupted while starting: not an error.
            Ok(()) | Err(Error::Interrupted) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Err(message) => {
            eprintln!("{message}; see deploy/up --help");
            ExitCode::from(BAD_ARGUMENTS)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    match arguments.next().as_deref() {
        Some("up") => {}
        Some("--help" | "-h") => return Ok(Arguments::Help),
        other => return Err(format!("the verb is {other:?}; it may be up")),
    }
    let mut port = 8010;
    let mut data = project().join(".data");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} lacks its value"));
        match argument.as_str() {
            "--port" => {
                let text = value()?;
                port = parse_port(&text).ok_or_else(|| format!("--port is {text:?}; it may be 0 or 1024 to 65535"))?;
            }
            "--data" => data = PathBuf::from(value()?),
            "--help" | "-h" => return Ok(Arguments::Help),
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    if data.as_os_str().is_empty() {
        return Err("--data is empty; it may be a directory".to_owned());
    }
    Ok(Arguments::Up { port, data })
}

/// Rejects privileged ports: no service runs as root.
fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port == 0 || *port >= 1024)
}

fn up(port: u16, data: &Path) -> Result<(), Error> {
    let interrupt = Interrupt::by_signals().map_err(Error::file("signals"))?;
    // Absolute, for the commands that are printed: `.` needs a slash in the path.
    let data = std::path::absolute(data).map_err(Error::file(data))?;
    say(format_args!("starting the stack in {}", data.display()));
    let env = data.join("env");
    let progress = |doing: &str| say(format_args!("{doing} …"));
    let stack = Stack::start(Options { port, progress, interrupt: interrupt.clone(), ..Options::new(data)? })?;
    greet(&stack, &env.display().to_string());
    while !interrupt.is_set() {
        stack.check()?;
        thread::sleep(WATCH_INTERVAL);
    }
    say(format_args!("stopping …"));
    stack.shutdown();
    say(format_args!("stopped"));
    Ok(())
}

fn greet(stack: &Stack, env: &str) {
    let base = &stack.env().base;
    say(format_args!(
        "
  Try it     curl {base}/api/user/register/ -F email=ann@example.com -F full_name='Ann Lee' -F password='correct horse'
  Redis      bash -c '. \"{env}\"; redis-cli $REDIS'
  Postgres   bash -c '. \"{env}\"; psql \"$POSTGRES\"'
  Stop       Ctrl-C
"
    ));
    say(format_args!("ready on {base}"));
}

/// Prints a line. Ignores a closed terminal: an ordered shutdown matters more.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(arguments: &[&str]) -> String {
        parse(arguments.iter().map(|&argument| argument.to_owned())).err().unwrap()
    }

    #[test]
    fn an_error_names_the_argument_and_its_valid_values() {
        assert_eq!(parse_error(&["up", "--port", "80"]), r#"--port is "80"; it may be 0 or 1024 to 65535"#);
        assert_eq!(parse_error(&["up", "--data"]), "--data lacks its value");
        assert_eq!(parse_error(&["up", "--prot"]), r#"unknown argument "--prot""#);
        assert!(parse_error(&[]).contains("it may be up"));
    }
}
