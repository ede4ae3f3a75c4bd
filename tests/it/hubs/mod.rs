//! Microsoft's clients against the simulated Event Hubs: the Rust one throughout, the JavaScript one as a
//! second opinion.
//!
//! What the Rust client (0.16) does, and these tests know:
//!
//! - It writes a transfer before it notes what the outcome is for; an outcome in between is lost, and the send,
//!   question or token waits for ever. So a time-out belongs around everything, and a new client after it.
//! - A send under way when the socket goes may wait for ever too; one whose outcome is lost is stored twice.
//! - After a cut or a detach it reads again from where it once started; JavaScript from after its last event.
//! - It retries "server busy" by itself. A refused connection ends `open` at once, and nothing is retried.
//! - Attached again in the same session, it may fail with `Link name is not unique`; a new client does not.
//! - Conditions are names in its errors' texts (`LinkStolen`, `NotFound`, `UnauthorizedAccess`).
//! - With two providers of cryptography compiled in, it panics unless the process has chosen one.
//! - It finds whom to trust in `SSL_CERT_FILE`, once in a process: that half of `tls` runs in one of its own.

mod chaos;
pub mod client;
mod faults;
mod garbage;
pub mod javascript;
mod load;
mod smoke;
mod tls;
