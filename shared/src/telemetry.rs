//! Logs: one JSON object a line in production, text on a terminal, on standard output.
//!
//! No e-mail address, password, token or picture name of a person is ever a field: types that hold one have no
//! `Display`, and a request is logged by its route (`/api/user/media/:name`), not by its path.

mod lines;

use std::io::{IsTerminal, Write as _};
use std::str::FromStr;
use std::sync::OnceLock;

use http::{Method, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::Clock;
use crate::settings::{SettingError, Settings};
use lines::Lines;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON, unless standard output is a terminal.
    Auto,
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(()),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    format: LogFormat,
    level: tracing::Level,
}

impl LogConfig {
    /// Reads `LOG_FORMAT` and `LOG_LEVEL`.
    pub fn read(settings: &mut Settings) -> Result<Self, SettingError> {
        Ok(Self {
            format: settings.parsed(
                "LOG_FORMAT",
                "auto",
                "auto, json or text",
                "how log lines look: json, text, or auto (text on a terminal, json elsewhere)",
            )?,
            level: settings.parsed(
                "LOG_LEVEL",
                "info",
                "error, warn, info, debug or trace",
                "the least important lines that are logged; each answer is one line at info",
            )?,
        })
    }
}

/// Starts logging; call it once, first thing.
pub fn start(config: &LogConfig) {
    let level = config.level;
    let others = level.min(tracing::Level::WARN);
    // Libraries log what clients send at info and below; ours do not.
    let filter = EnvFilter::new(format!("{others},shared={level},auth_api={level},media_server={level}"));
    let registry = tracing_subscriber::registry().with(filter);
    let json = match config.format {
        LogFormat::Auto => !std::io::stdout().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(|| &LINES);
    // A second start keeps the first one's subscriber.
    let _ = if json {
        registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(layer.with_target(false)).try_init()
    };
    // Without its thread they are written as the others.
    let answers = match LINES.keep_flushing() {
        Ok(()) if level < tracing::Level::INFO => Answers::Unsaid,
        Ok(()) if json => Answers::Together,
        _ => Answers::Traced,
    };
    let _ = ANSWERS.set(answers);
}

/// Writes what waits to be written. To be called last.
pub fn stop() {
    LINES.flush();
}

static LINES: Lines = Lines::new();

static ANSWERS: OnceLock<Answers> = OnceLock::new();

/// What becomes of the line of an answer that is nothing special.
#[derive(Clone, Copy, Debug)]
enum Answers {
    /// Below the level.
    Unsaid,
    /// As any other.
    Traced,
    /// Many in one write, formatted here: this one is written more often than all others together.
    Together,
}

/// An answer: all that its line says.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    /// Of well-formed characters.
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) micros: u64,
}

/// Logs an answer that is nothing special, at info.
pub(crate) fn answered(answer: &Answered<'_>) {
    match ANSWERS.get().unwrap_or(&Answers::Traced) {
        Answers::Unsaid => {}
        Answers::Traced => {
            let Answered { request_id, method, route, status, micros } = *answer;
            tracing::info!(request_id, method = method.as_str(), route, status = status.as_u16(), micros, "answered");
        }
        Answers::Together => LINES.add(|line| answer.write_json(line, &Clock::system())),
    }
}

impl Answered<'_> {
    /// In the shape of the other lines. Nothing in it needs escaping: a method is a token (RFC 9110, section 5.6.2).
    fn write_json(&self, line: &mut Vec<u8>, clock: &Clock) {
        let now = i128::from(clock.unix_millis()) * 1_000_000;
        let now = OffsetDateTime::from_unix_timestamp_nanos(now).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        line.extend_from_slice(br#"{"timestamp":""#);
        // What is written to memory is written.
        let _ = now.format_into(line, &Rfc3339);
        let Self { request_id, method, route, status, micros } = self;
        let status = status.as_u16();
        let _ = writeln!(
            line,
            r#"","level":"INFO","message":"answered","request_id":"{request_id}","method":"{method}","route":"{route}","status":{status},"micros":{micros},"target":"shared::http::access"}}"#
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_answer_is_json() {
        let answer = Answered {
            request_id: "a-B_9.0",
            method: &Method::from_bytes(b"!#$%&'*+-.^_`|~").unwrap(),
            route: "/api/user/sessions/:id",
            status: StatusCode::NO_CONTENT,
            micros: 12,
        };
        let mut line = Vec::new();
        answer.write_json(&mut line, &Clock::manual(1_000_000_000_123));
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line.last(), Some(&b'\n'));
        assert_eq!(value["timestamp"], "2001-09-09T01:46:40.123Z");
        assert_eq!(value["method"], "!#$%&'*+-.^_`|~");
        assert_eq!((&value["status"], &value["micros"]), (&204.into(), &12.into()));
        assert_eq!(value["request_id"], "a-B_9.0");
        assert_eq!(value["route"], "/api/user/sessions/:id");
    }
}
