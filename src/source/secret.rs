//! Secrets where settings say they are: in the environment, in a file, or in the setting itself.

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("read the secret `{name}`: {says}")]
pub struct SecretError {
    name: String,
    says: String,
}

/// The secret of a setting that may be left empty, which is no secret.
pub fn optional(setting: &str) -> Result<String, SecretError> {
    if setting.is_empty() { Ok(String::new()) } else { resolve(setting) }
}

/// The secret of a setting: itself, `env:NAME` or `file:/path`. What it says is never in the error.
pub fn resolve(setting: &str) -> Result<String, SecretError> {
    let fail = |name: &str, says: String| Err(SecretError { name: name.to_owned(), says });
    let (name, secret) = if let Some(name) = setting.strip_prefix("env:") {
        match std::env::var(name) {
            Ok(value) => (name, value),
            Err(_) => return fail(name, "the environment has no such variable".to_owned()),
        }
    } else if let Some(path) = setting.strip_prefix("file:") {
        match std::fs::read_to_string(path) {
            Ok(value) => (path, value.trim_end_matches(['\r', '\n']).to_owned()),
            Err(e) => return fail(path, e.to_string()),
        }
    } else {
        ("in the settings", setting.to_owned())
    };
    if secret.is_empty() { fail(name, "it is empty".to_owned()) } else { Ok(secret) }
}
