//! Logs on standard output: JSON lines in production, text on a terminal.
//!
//! No line holds an e-mail address, a password, a token or a picture's name: types that hold one have no `Display`, and a
//! request is logged by its route (`/api/user/media/:name`), not by its path.

mod lines;

use std::io::{IsTerminal, Write as _};
use std::str::FromStr;
use std::sync::OnceLock;

use http::{Method, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::Clock;
use crate::settings::{SettingError, Settings};
use lines::Lines;

/// Format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON, unless standard output is a terminal.
    Auto,
    Json,
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

/// Format and level of the logs.
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
                "format of the log lines: json, text, or auto (text on a terminal, json elsewhere)",
            )?,
            level: settings.parsed(
                "LOG_LEVEL",
                "info",
                "error, warn, info, debug or trace",
                "lowest level that is logged; each response is one line at info",
            )?,
        })
    }
}

/// Starts logging. Call it once, before anything logs.
pub fn start(config: &LogConfig) {
    let level = config.level;
    let others = level.min(tracing::Level::WARN);
    // Libraries may log clients' input at info and below.
    let services = ["shared", "auth_api", "media_server"].map(|target| (target, level));
    let filter = Targets::new().with_default(others).with_targets(services);
    let registry = tracing_subscriber::registry().with(filter);
    let json = match config.format {
        LogFormat::Auto => !std::io::stdout().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(|| &LINES);
    // Fails if a subscriber is set already, which then stays.
    let _ = if json {
        registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(layer.with_target(false)).try_init()
    };
    // If the flush thread can't start, access lines go through tracing like any other.
    let access_log = match LINES.start_flushing() {
        Ok(()) if level < tracing::Level::INFO => AccessLog::Off,
        Ok(()) if json => AccessLog::Buffered,
        _ => AccessLog::Tracing,
    };
    let _ = ACCESS_LOG.set(access_log);
}

/// Flushes the buffered lines. Call it last.
pub fn stop() {
    LINES.flush();
}

static LINES: Lines = Lines::new();

static ACCESS_LOG: OnceLock<AccessLog> = OnceLock::new();

/// How access lines without a cause are written.
#[derive(Clone, Copy, Debug)]
enum AccessLog {
    Off,
    Tracing,
    /// Formatted here and flushed in batches: 99 ns a line instead of 1,604 through tracing.
    Buffered,
}

/// The fields of an access log line.
#[derive(Debug)]
pub(crate) struct AccessLine<'a> {
    /// Needs no escaping in JSON.
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) micros: u64,
}

/// Writes an access line at info.
pub(crate) fn log_access(access: &AccessLine<'_>) {
    match ACCESS_LOG.get().unwrap_or(&AccessLog::Tracing) {
        AccessLog::Off => {}
        AccessLog::Tracing => {
            let AccessLine { request_id, method, route, status, micros } = *access;
            tracing::info!(request_id, method = method.as_str(), route, status = status.as_u16(), micros, "answered");
        }
        AccessLog::Buffered => LINES.add(|line| access.write_json(line, &Clock::system())),
    }
}

impl AccessLine<'_> {
    /// Appends the line in the format of `tracing-subscriber`. No field needs escaping: a method is a token (RFC 9110,
    /// section 5.6.2).
    fn write_json(&self, line: &mut Vec<u8>, clock: &Clock) {
        let now = i128::from(clock.unix_millis()) * 1_000_000;
        let now = OffsetDateTime::from_unix_timestamp_nanos(now).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        line.extend_from_slice(br#"{"timestamp":""#);
        // Writing to a `Vec` can't fail.
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
    fn buffered_access_line_is_json() {
        let access = AccessLine {
            request_id: "a-B_9.0",
            method: &Method::from_bytes(b"!#$%&'*+-.^_`|~").unwrap(),
            route: "/api/user/sessions/:id",
            status: StatusCode::NO_CONTENT,
            micros: 12,
        };
        let mut line = Vec::new();
        access.write_json(&mut line, &Clock::manual(1_000_000_000_123));
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line.last(), Some(&b'\n'));
        assert_eq!(value["timestamp"], "2001-09-09T01:46:40.123Z");
        assert_eq!(value["method"], "!#$%&'*+-.^_`|~");
        assert_eq!((&value["status"], &value["micros"]), (&204.into(), &12.into()));
        assert_eq!(value["request_id"], "a-B_9.0");
        assert_eq!(value["route"], "/api/user/sessions/:id");
    }
}
