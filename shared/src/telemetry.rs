//! Logs: one JSON object a line in production, text on a terminal, on standard output.
//!
//! No e-mail address, password, token or picture name of a person is ever a field: types that hold one have no
//! `Display`, and a request is logged by its route (`/api/user/media/:name`), not by its path.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::{SettingError, Settings};

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
    // A second start keeps the first one's subscriber.
    let _ = if json {
        registry.with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().with_target(false)).try_init()
    };
}
