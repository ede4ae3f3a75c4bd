//! The doors for people and tools: PostgreSQL's protocol, Flight SQL, HTTP, and a page to investigate in.
//!
//! Invariants:
//! 1. Whatever comes through a door goes through the [`Gate`]: a person, bounds, an entry in the log.
//! 2. A door beyond this machine opens with TLS and a sign-in, or not at all.
//! 3. What was acknowledged to a sender is seen by the next question through any door.

mod accept;
mod columns;
mod converse;
mod described;
mod directory;
mod door;
pub mod flight;
mod gate;
pub mod http;
mod journal;
pub mod oidc;
pub mod postgres;
mod proof;
mod queue;
mod scram;
mod sessions;
mod users;
mod watch;

pub use directory::{Credential, Directory, Refused, Standing};
pub use door::{Certificate, DoorError, Doorway, Open, Protocol, address};
pub use gate::{Asker, Bounds, Gate, Refusal, Reply};
pub use scram::{ScramError, Verifier};
pub use users::{Person, Role, User, Users, UsersError, token_hash};
