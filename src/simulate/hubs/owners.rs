//! Who may read a partition: owner levels, and what happens to readers that lose.

use std::sync::Mutex;

use fe2o3_amqp_types::definitions::Error;

use super::refusal::{held, refusal};

/// As many readers without an owner level as the service allows on a partition and group.
const MOST_READERS: usize = 5;

/// One reader of a partition, or a stranger that a fault made up.
struct Reader {
    /// The link; none for a stranger.
    link: Option<u64>,
    level: Option<i64>,
}

/// The readers of one partition in one consumer group.
#[derive(Default)]
pub struct Owners {
    readers: Mutex<Vec<Reader>>,
}

impl Owners {
    /// Lets `link` read with an owner level, or refuses it. The links that lose are returned with
    /// what to tell them.
    pub fn admit(&self, link: u64, level: Option<i64>) -> Result<Vec<(u64, Error)>, Error> {
        let mut readers = held(&self.readers);
        let highest = readers.iter().filter_map(|reader| reader.level).max();
        match (level, highest) {
            (None, Some(held)) => Err(refusal(
                "amqp:link:stolen",
                format!(
                    "At least one receiver for the endpoint is created with epoch of '{held}', and so \
                     non-epoch receiver is not allowed. Either reconnect with a higher epoch, or make sure \
                     all epoch receivers are closed or disconnected."
                ),
            )),
            (Some(asked), Some(held)) if asked < held => Err(refusal(
                "amqp:link:stolen",
                format!(
                    "Receiver 'nil' with a higher epoch '{held}' already exists. Receiver 'nil' with epoch \
                     {asked} cannot be created. Make sure you are creating receiver with increasing epoch \
                     value to ensure connectivity, or ensure all old epoch receivers are closed or \
                     disconnected."
                ),
            )),
            (None, None) if readers.len() >= MOST_READERS => Err(refusal(
                "amqp:resource-limit-exceeded",
                format!(
                    "Exceeded the maximum number of allowed receivers per partition in a consumer group \
                     which is {MOST_READERS}."
                ),
            )),
            (None, None) => {
                readers.push(Reader { link: Some(link), level });
                Ok(Vec::new())
            }
            (Some(asked), _) => {
                let lost =
                    readers.drain(..).filter_map(|r| Some((r.link?, stolen(asked, r.level)))).collect();
                readers.push(Reader { link: Some(link), level });
                Ok(lost)
            }
        }
    }

    /// Forgets a reader that is gone.
    pub fn leave(&self, link: u64) {
        held(&self.readers).retain(|reader| reader.link != Some(link));
    }

    /// A stranger takes the partition with an owner level, and keeps it until someone outbids it.
    pub fn usurp(&self, level: i64) -> Vec<(u64, Error)> {
        let mut readers = held(&self.readers);
        let lost = readers.drain(..).filter_map(|r| Some((r.link?, stolen(level, r.level)))).collect();
        readers.push(Reader { link: None, level: Some(level) });
        lost
    }

    /// The stranger leaves.
    pub fn release(&self) {
        held(&self.readers).retain(|reader| reader.link.is_some());
    }

    /// The highest owner level that is held.
    pub fn level(&self) -> Option<i64> {
        held(&self.readers).iter().filter_map(|reader| reader.level).max()
    }
}

/// What the service tells a reader whose partition was taken.
fn stolen(new: i64, old: Option<i64>) -> Error {
    refusal(
        "amqp:link:stolen",
        format!(
            "New receiver 'nil' with higher epoch of '{new}' is created hence current receiver 'nil' with \
             epoch '{}' is getting disconnected. If you are recreating the receiver, make sure a higher \
             epoch is used.",
            old.unwrap_or_default()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(result: Result<Vec<(u64, Error)>, Error>) -> Vec<u64> {
        result.unwrap_or_default().into_iter().map(|(link, _)| link).collect()
    }

    #[test]
    fn the_higher_level_wins_and_an_equal_one_too() {
        let owners = Owners::default();
        assert!(lost(owners.admit(1, None)).is_empty());
        assert!(lost(owners.admit(2, None)).is_empty());
        assert_eq!(lost(owners.admit(3, Some(0))), [1, 2]);
        assert!(owners.admit(4, None).is_err());
        assert_eq!(lost(owners.admit(5, Some(0))), [3]);
        assert_eq!(lost(owners.admit(6, Some(7))), [5]);
        assert!(owners.admit(7, Some(6)).is_err());
        owners.leave(6);
        assert_eq!(owners.level(), None);
        assert!(owners.admit(8, None).is_ok());
    }

    #[test]
    fn a_stranger_keeps_what_it_took() {
        let owners = Owners::default();
        assert!(owners.admit(1, Some(0)).is_ok());
        assert_eq!(owners.usurp(3).len(), 1);
        assert!(owners.admit(2, Some(0)).is_err());
        assert!(lost(owners.admit(2, Some(3))).is_empty());
    }

    #[test]
    fn five_read_without_a_level() {
        let owners = Owners::default();
        assert!((0..5).all(|link| owners.admit(link, None).is_ok()));
        assert!(owners.admit(5, None).is_err());
    }
}
