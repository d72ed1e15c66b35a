//! Where log lines go: to the standard error stream, as text or as JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogConfig, LogFormat};

/// Installs the log for the whole process.
///
/// # Errors
/// [`ConfigError::Invalid`] for directives that do not parse, or when a log is installed already.
pub fn init(config: &LogConfig) -> Result<(), ConfigError> {
    let invalid = |why: String| ConfigError::Invalid { key: "log.level", why };
    let filter = filter(&config.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let installed = match config.format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => {
            builder.json().flatten_event(false).with_current_span(false).with_span_list(false).try_init()
        }
    };
    installed.map_err(|error| invalid(error.to_string()))
}

fn filter(level: &str) -> Result<EnvFilter, ConfigError> {
    let invalid = |why: String| ConfigError::Invalid { key: "log.level", why };
    if level.trim().is_empty() {
        return Err(invalid("is empty".into()));
    }
    EnvFilter::builder().parse(level).map_err(|error| invalid(format!("{level}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_parse_and_nonsense_names_the_key() {
        for level in ["info", "warn,baton_node::l1=debug", "off"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["", "baton=loud", "a=b=c"] {
            let error = filter(level).unwrap_err().to_string();
            assert!(error.contains("`log.level`"), "{error}");
        }
    }
}
