//! Settings: environment variables, each stated once with its default, its unit and what it may be.
//!
//! A service's `config.rs` reads its settings through [`Settings`]; `--help` is printed from the very same calls,
//! so that the documentation can't differ from what is read.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Reads settings and remembers what was asked for.
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

/// A setting that can't be used: names the variable, what it was and what it may be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {was}; it may be {may_be}")]
pub struct SettingError {
    name: &'static str,
    was: String,
    may_be: String,
}

impl SettingError {
    /// For a rule that ties settings together: `name` is `was`, and `may_be` says what would do.
    pub fn new(name: &'static str, was: impl Display, may_be: impl Into<String>) -> Self {
        Self { name, was: was.to_string(), may_be: may_be.into() }
    }
}

impl Settings {
    /// The settings in this process's environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_environment() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        Self { variables, documented: Vec::new() }
    }

    /// Settings given one by one: what is not given has its default.
    pub fn given<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { variables, documented: Vec::new() }
    }

    /// The setting `name`, parsed. `may_be` completes the sentence "it may be …".
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

    /// Like [`Settings::parsed`] for a value that may hold a password: an error does not repeat it.
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

    /// A whole number within `range`; `unit` is told in the error and in `--help`.
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

    /// A duration in whole seconds within `range`.
    pub fn seconds(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        help: &'static str,
    ) -> Result<Duration, SettingError> {
        self.number(name, default, range, "seconds", help).map(Duration::from_secs)
    }

    /// A path; any text is one.
    pub fn path(&mut self, name: &'static str, default: &str, help: &'static str) -> PathBuf {
        PathBuf::from(self.text(name, default, help))
    }

    /// A path that may be left out: an empty value is none.
    pub fn optional_path(&mut self, name: &'static str, help: &'static str) -> Option<PathBuf> {
        Some(self.text(name, "", help)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// A text of any form.
    pub fn text(&mut self, name: &'static str, default: &str, help: &'static str) -> String {
        let shown = if default.is_empty() { "none".to_owned() } else { default.to_owned() };
        self.document(name, default, shown, help)
    }

    fn document(&mut self, name: &'static str, default: &str, shown: String, help: &'static str) -> String {
        self.documented.push(Documented { name, default: shown, help });
        self.variables.get(name).cloned().unwrap_or_else(|| default.to_owned())
    }

    /// All settings asked for so far, as `--help` shows them.
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
    fn a_bad_number_names_the_variable_what_it_was_and_what_it_may_be() {
        let mut settings = Settings::given([("PORT", "70000")]);
        let error = settings.number("PORT", 8010_u16, 1..=65535, "TCP port", "where to listen").unwrap_err();
        assert_eq!(error.to_string(), r#"PORT is "70000"; it may be a whole number from 1 to 65535 (TCP port)"#);
    }

    #[test]
    fn a_confidential_value_is_not_repeated() {
        let mut settings = Settings::given([("DATABASE_URL", "hunter2")]);
        let error = settings.confidential::<u8>("DATABASE_URL", "1", "a URL", "where users are").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn help_names_every_setting_with_its_default() {
        let mut settings = Settings::default();
        settings.seconds("TTL_SECONDS", 300, 1..=3600, "how long").unwrap();
        assert_eq!(settings.help(), "  TTL_SECONDS\n      how long\n      default: 300 seconds\n");
    }
}
