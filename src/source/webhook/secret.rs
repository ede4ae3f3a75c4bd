//! The secrets a door accepts, compared in constant time.

use subtle::{Choice, ConstantTimeEq as _};

use super::WebhookError;
use crate::model::RecordHash;
use crate::source::secret;

/// The accepted secrets of one door, as digests: comparing those takes the same time whatever the
/// length of what was sent.
pub(super) struct Secrets(Vec<RecordHash>);

impl Secrets {
    /// Reads each: the secret itself, `env:NAME` or `file:/path`.
    pub fn read(settings: &[String]) -> Result<Secrets, WebhookError> {
        settings
            .iter()
            .map(|s| secret::resolve(s).map(|s| RecordHash::of(s.as_bytes())))
            .collect::<Result<_, _>>()
            .map(Secrets)
            .map_err(WebhookError::from)
    }

    /// Whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a secret that was sent is one of them.
    pub fn accept(&self, sent: &str) -> bool {
        let sent = RecordHash::of(sent.as_bytes());
        self.0.iter().fold(Choice::from(0), |any, own| any | own.0.ct_eq(&sent.0)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_accepted() {
        let secrets = Secrets::read(&["one".into(), "two".into()]).unwrap();
        assert!(secrets.accept("two") && !secrets.accept("tw") && !secrets.accept(""));
        assert!(Secrets::read(&["env:AGENTRAIL_NO_SUCH_VARIABLE".into()]).is_err());
        assert!(Secrets::read(&[String::new()]).is_err());
    }
}
