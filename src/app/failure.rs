//! What a command failed to do, with the chain of causes.

use std::error::Error;
use std::fmt;

/// Prints as `error: failed to <what>`, then one line a cause.
#[derive(Debug)]
pub struct Failure {
    what: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// `what` finishes "failed to ...".
    pub fn says(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), cause: None }
    }

    pub fn of(what: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { what: what.into(), cause: Some(cause.into()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: failed to {}", self.what)?;
        let mut said = self.what.clone();
        let mut next: Option<&dyn Error> = self.cause.as_deref().map(|e| e as &dyn Error);
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some libraries repeat their source in their own message.
            if !said.ends_with(&text) {
                write!(f, "\n  because: {text}")?;
            }
            said = text;
            next = cause.source();
        }
        Ok(())
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_told_once() {
        let io = std::io::Error::other("disk on fire");
        let failure = Failure::of("open the lake `x`", io);
        assert_eq!(failure.to_string(), "error: failed to open the lake `x`\n  because: disk on fire");
    }
}
