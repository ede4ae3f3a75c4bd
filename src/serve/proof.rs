//! Whether a password is right, within bounds; and whether what it opened still holds.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use super::gate::Gate;
use super::sessions::{Guesses, Session};
use super::users::{Directory, Person, token_hash};

/// A password longer than this is none, and not worth the work.
const MOST_PASSWORD: usize = 1024;
/// Passwords that are proved at once; a proof takes some milliseconds of a thread.
static PROOFS: Semaphore = Semaphore::const_new(2);

/// Who proves to be of this name; the seconds to wait where too many tried.
pub(super) async fn prove(
    gate: &Arc<Gate>,
    guesses: &Guesses,
    name: &str,
    password: &str,
    client: &str,
) -> Result<Option<Person>, u64> {
    guesses.try_again(name, client, Instant::now())?;
    if password.len() > MOST_PASSWORD {
        return Ok(None);
    }
    let _proof = PROOFS.acquire().await;
    let (gate, own, password) = (gate.clone(), name.to_owned(), password.to_owned());
    let proved = tokio::task::spawn_blocking(move || gate.directory().with_password(&own, &password)).await;
    let person = proved.unwrap_or_default();
    match &person {
        Some(_) => guesses.right(name, client),
        None => tracing::warn!(client, "a sign-in with a wrong name or password"),
    }
    Ok(person)
}

/// What those are told who tried too often.
pub(super) fn too_many(seconds: u64) -> String {
    format!("sign in: too many wrong names or passwords; try again in {seconds} s")
}

/// The hash of what a password of this name is proved with now.
pub(super) fn proof(directory: &Directory, name: &str) -> String {
    token_hash(&directory.verifier(name).to_string())
}

/// Whose a sign-in is, as long as it is their password of then, and they may come in.
pub(super) fn still(directory: &Directory, session: &Session) -> Option<Person> {
    let is_same = proof(directory, &session.name) == session.proof;
    directory.person(&session.name).filter(|_| is_same)
}
