//! Whether a name and a password are right, within bounds of how often that is tried.

use std::time::Instant;

use super::directory::{Credential, Directory};
use super::sessions::Guesses;
use super::users::Person;

/// Who proves to be of this name; the seconds to wait where too many tried.
pub(super) async fn prove(
    directory: &Directory,
    guesses: &Guesses,
    name: &str,
    password: &str,
    client: &str,
) -> Result<Option<Person>, u64> {
    guesses.try_again(name, client, Instant::now())?;
    let admitted = directory.admit(Credential::Password { name, password }).await;
    match &admitted {
        Ok(_) => guesses.right(name, client),
        Err(_) => tracing::warn!(client, "a sign-in with a wrong name or password"),
    }
    Ok(admitted.ok())
}

/// What those are told who tried too often.
pub(super) fn too_many(seconds: u64) -> String {
    format!("sign in: too many wrong names or passwords; try again in {seconds} s")
}
