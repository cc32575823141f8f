//! Settings: environment variables, each declared once with its default, unit and valid values.
//!
//! A service's `config.rs` reads them through [`Settings`]; `--help` is generated from the same calls, so it can't differ from
//! what is read.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Reads settings and records their documentation.
#[derive(Debug, Default)]
pub struct Settings {
    variables: HashMap<String, String>,
    documented: Vec<Documented>,
}

#[derive(Debug)]
struct Documented {
    name: &'static str,
    default: String,
    help: &'static str,
}

/// An invalid setting: its name, its value and the valid values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {was}; it may be {may_be}")]
pub struct SettingError {
    name: &'static str,
    was: String,
    may_be: String,
}

impl SettingError {
    /// An error of several settings that contradict each other: `name` is `was`; `may_be` lists what is valid.
    pub fn new(name: &'static str, was: impl Display, may_be: impl Into<String>) -> Self {
        Self { name, was: was.to_string(), may_be: may_be.into() }
    }
}

impl Settings {
    /// The settings of this process's environment.
    #[expect(clippy::disallowed_methods, reason = "the only read of the environment")]
    pub fn from_environment() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        Self { variables, documented: Vec::new() }
    }

    /// Settings for tests; those not given have their defaults.
    pub fn given<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { variables, documented: Vec::new() }
    }

    /// Parses the setting `name`. `may_be` completes the error message "it may be …".
    pub fn parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        default: &str,
        may_be: &str,
        help: &'static str,
    ) -> Result<T, SettingError> {
        let text = self.text(name, default, help);
        text.parse().map_err(|_| SettingError::new(name, format!("{text:?}"), may_be))
    }

    /// Like [`Settings::parsed`], for a value that may hold a password: the error does not repeat it.
    pub fn confidential<T: FromStr>(
        &mut self,
        name: &'static str,
        default: &str,
        may_be: &str,
        help: &'static str,
    ) -> Result<T, SettingError> {
        let text = self.text(name, default, help);
        text.parse().map_err(|_| SettingError::new(name, "not of that form (its value is not shown)", may_be))
    }

    /// Parses a whole number within `range`; `unit` is part of the error and of `--help`.
    pub fn number<T>(
        &mut self,
        name: &'static str,
        default: T,
        range: RangeInclusive<T>,
        unit: &str,
        help: &'static str,
    ) -> Result<T, SettingError>
    where
        T: FromStr + Display + PartialOrd + Copy,
    {
        let text = self.document(name, &default.to_string(), format!("{default} {unit}"), help);
        match text.parse::<T>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => {
                let may_be = format!("a whole number from {} to {} ({unit})", range.start(), range.end());
                Err(SettingError::new(name, format!("{text:?}"), may_be))
            }
        }
    }

    /// Parses a duration in whole seconds within `range`.
    pub fn seconds(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        help: &'static str,
    ) -> Result<Duration, SettingError> {
        self.number(name, default, range, "seconds", help).map(Duration::from_secs)
    }

    /// Reads a path.
    pub fn path(&mut self, name: &'static str, default: &str, help: &'static str) -> PathBuf {
        PathBuf::from(self.text(name, default, help))
    }

    /// Reads an optional path; an empty value is none.
    pub fn optional_path(&mut self, name: &'static str, help: &'static str) -> Option<PathBuf> {
        Some(self.text(name, "", help)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// Reads a text of any form.
    pub fn text(&mut self, name: &'static str, default: &str, help: &'static str) -> String {
        let shown = if default.is_empty() { "none".to_owned() } else { default.to_owned() };
        self.document(name, default, shown, help)
    }

    /// Those of these settings of earlier releases that are set. They have no effect, and are not documented.
    pub fn set_of(&self, names: &[&'static str]) -> Vec<&'static str> {
        names.iter().copied().filter(|name| self.variables.contains_key(*name)).collect()
    }

    fn document(&mut self, name: &'static str, default: &str, shown: String, help: &'static str) -> String {
        self.documented.push(Documented { name, default: shown, help });
        self.variables.get(name).cloned().unwrap_or_else(|| default.to_owned())
    }

    /// The settings read so far, as `--help` prints them.
    pub fn help(&self) -> String {
        let mut text = String::new();
        for Documented { name, default, help } in &self.documented {
            // Writing to a `String` can't fail.
            let _ = writeln!(text, "  {name}\n      {help}\n      default: {default}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_number_error_has_name_value_and_range() {
        let mut settings = Settings::given([("PORT", "70000")]);
        let error = settings.number("PORT", 8010_u16, 1..=65535, "TCP port", "where to listen").unwrap_err();
        assert_eq!(error.to_string(), r#"PORT is "70000"; it may be a whole number from 1 to 65535 (TCP port)"#);
    }

    #[test]
    fn confidential_value_is_not_in_the_error() {
        let mut settings = Settings::given([("DATABASE_URL", "hunter2")]);
        let error = settings.confidential::<u8>("DATABASE_URL", "1", "a URL", "where users are").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn help_lists_every_setting_with_its_default() {
        let mut settings = Settings::default();
        settings.seconds("TTL_SECONDS", 300, 1..=3600, "how long").unwrap();
        assert_eq!(settings.help(), "  TTL_SECONDS\n      how long\n      default: 300 seconds\n");
    }
}
