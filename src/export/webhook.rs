//! Any receiver of JSON over HTTP: lines or a list, signed where a secret is set.

use async_trait::async_trait;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Call, Destination, Item, Outcome, SendError, line};

/// An address that takes batches.
pub struct Webhook {
    call: Call,
    /// A JSON array in place of one object a line.
    is_list: bool,
    secret: Option<String>,
}

impl Webhook {
    pub fn new(call: Call, is_list: bool, secret: Option<String>) -> Webhook {
        Webhook { call, is_list, secret }
    }
}

#[async_trait]
impl Destination for Webhook {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let lines: Vec<Vec<u8>> = batch.iter().map(|item| line(&item.body)).collect();
        let (content, body) = match self.is_list {
            true => ("application/json", [b"[".to_vec(), lines.join(&b','), b"]".to_vec()].concat()),
            false => ("application/x-ndjson", [lines.join(&b'\n'), b"\n".to_vec()].concat()),
        };
        let signature = self.secret.as_ref().map(|secret| sign(secret, &body));
        let head = [("x-agentrail-signature", signature.as_deref().unwrap_or_default())];
        let head = if signature.is_some() { &head[..] } else { &[] };
        let answer = self.call.post(self.call.url.clone(), content, head, body).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(Outcome::default()),
            _ => Err(self.call.refusal(&answer)),
        }
    }
}

/// `sha256=` and the HMAC of the body before compression, in hex.
fn sign(secret: &str, body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut signature = "sha256=".to_owned();
    // A key of any length is a key.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            let _ = write!(signature, "{byte:02x}");
        }
    }
    signature
}
