//! Gzip bodies, inflated under a bound.

use std::borrow::Cow;
use std::io::Read as _;

use super::Delivery;
use crate::model::{Reason, RecordHash, Reject};

/// The body behind gzip, or the bytes themselves when they are not gzip. All members of a
/// multi-member file are read. What is damaged, cut short or too large is refused whole.
pub fn inflate<'a>(bytes: &'a [u8], delivery: &Delivery<'_>) -> Result<Cow<'a, [u8]>, Box<Reject<'a>>> {
    let limit = delivery.limits.body;
    let refuse = |reason, says| {
        let raw = Cow::Borrowed(bytes);
        let hash = RecordHash::of(bytes);
        Err(Box::new(Reject { reason, says, position: 0, observed: delivery.observed, raw, hash }))
    };
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        if bytes.len() > limit {
            return refuse(
                Reason::Limit,
                format!("the body has more than {limit} bytes; raise `decode.max_inflated`"),
            );
        }
        return Ok(Cow::Borrowed(bytes));
    }
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4).min(limit));
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(limit as u64 + 1);
    match reader.read_to_end(&mut out) {
        Err(error) => refuse(
            Reason::Compression,
            format!("the gzip body breaks after {} inflated bytes ({error}); send it again", out.len()),
        ),
        Ok(_) if out.len() > limit => refuse(
            Reason::Limit,
            format!("the gzip body inflates to more than {limit} bytes; raise `decode.max_inflated`"),
        ),
        Ok(_) => Ok(Cow::Owned(out)),
    }
}
