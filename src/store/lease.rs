//! The right to a work that one process at a time does on a lake.
//!
//! On a local disk it is a lock that ends with its process. In an object store it is a blob that says
//! who has it until when: its owner renews it, and only while it is still the one it wrote. A process
//! that was killed is followed by another when its time is over. What is done under a lease must be
//! harmless when it is done twice: a process that sleeps through its own end finds out late.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use object_store::UpdateVersion;
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use super::StoreError;
use super::commit::locked;
use super::lake::{now_micros, random_hex};
use super::remote::Remote;

/// A lease is good for so long after it was taken or renewed.
const LIVES: Duration = Duration::from_secs(60);
/// It is renewed after so long.
const RENEWED: Duration = Duration::from_secs(20);
/// Others wait so much longer: clocks of different machines differ.
const CLOCKS: Duration = Duration::from_secs(10);
/// Giving it back is tried for so long.
const GIVEN_BACK: Duration = Duration::from_secs(5);

/// Held by the one process that does a work; given back when it is dropped.
pub struct Lease(Kind);

enum Kind {
    Local(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File),
    Remote(Renewed),
}

impl Lease {
    /// `None` while another process holds it.
    pub(super) fn local(path: &Path) -> Result<Option<Lease>, StoreError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(StoreError::io("open the lease", path))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lease(Kind::Local(file)))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(StoreError::io("take the lease", path)(e.into())),
        }
    }

    /// The same in an object store: `None` while another holds it and its time is not over.
    pub(super) fn remote(remote: &Remote, name: &str) -> Result<Option<Lease>, StoreError> {
        let found = remote.blob(name)?;
        if found.as_ref().is_some_and(|blob| is_held(&blob.bytes, now_micros())) {
            return Ok(None);
        }
        let owner = random_hex(8);
        let taken = Instant::now();
        let version = remote.update(name, says(&owner, LIVES), found.map(|blob| blob.version))?;
        Ok(version.map(|version| Lease(Kind::Remote(Renewed::start(remote, name, owner, version, taken)))))
    }

    /// Whether the work may still be done under it.
    pub fn is_held(&self) -> bool {
        match &self.0 {
            Kind::Local(_) => true,
            Kind::Remote(renewed) => locked(&renewed.until).is_some_and(|until| Instant::now() < until),
        }
    }
}

/// What the blob of a lease says: whose it is, and until when.
fn says(owner: &str, lives: Duration) -> Vec<u8> {
    let until = now_micros() + lives.as_micros() as i64;
    json!({"owner": owner, "until": until}).to_string().into_bytes()
}

/// Whether a lease is somebody's at a moment. One that cannot be understood is nobody's.
fn is_held(bytes: &[u8], now: i64) -> bool {
    let until = serde_json::from_slice::<Json>(bytes).ok().and_then(|json| json.get("until")?.as_i64());
    until.is_some_and(|until| until > 0 && now < until + CLOCKS.as_micros() as i64)
}

/// A lease in an object store, and the task that renews it.
struct Renewed {
    /// Until when it is surely ours; `None` once another took it.
    until: Arc<Mutex<Option<Instant>>>,
    stop: Option<oneshot::Sender<()>>,
    /// Closed when the lease is given back.
    ended: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Renewed {
    fn start(remote: &Remote, name: &str, owner: String, version: UpdateVersion, taken: Instant) -> Renewed {
        let until = Arc::new(Mutex::new(Some(taken + LIVES)));
        let (stop, stopped) = oneshot::channel();
        let (done, ended) = std::sync::mpsc::sync_channel(1);
        let held = Held { remote: remote.clone(), name: name.to_owned(), owner, version };
        remote.handle().spawn(renew(held, until.clone(), stopped, done));
        Renewed { until, stop: Some(stop), ended: Mutex::new(ended) }
    }
}

impl Drop for Renewed {
    fn drop(&mut self) {
        // Whoever comes next would otherwise wait until its time is over.
        if self.stop.take().is_some_and(|stop| stop.send(()).is_ok()) {
            let _ = locked(&self.ended).recv_timeout(GIVEN_BACK);
        }
    }
}

/// What the task that renews a lease knows of it.
struct Held {
    remote: Remote,
    name: String,
    owner: String,
    version: UpdateVersion,
}

impl Held {
    /// Writes the blob anew while it is ours; `false` once it is another's.
    async fn write(&mut self, lives: Duration) -> Result<bool, object_store::Error> {
        let bytes = match lives {
            Duration::ZERO => json!({"owner": self.owner, "until": 0}).to_string().into_bytes(),
            lives => says(&self.owner, lives),
        };
        match self.remote.update_now(&self.name, bytes.clone(), Some(self.version.clone())).await? {
            Some(version) => self.version = version,
            // An answer that got lost may have been our own.
            None => match self.remote.blob_now(&self.name).await? {
                Some(blob) if is_of(&blob.bytes, &self.owner) => {
                    self.version = blob.version;
                    return Box::pin(self.write(lives)).await;
                }
                _ => return Ok(false),
            },
        }
        Ok(true)
    }
}

fn is_of(bytes: &[u8], owner: &str) -> bool {
    let json = serde_json::from_slice::<Json>(bytes).ok();
    json.is_some_and(|json| json.get("owner").and_then(Json::as_str) == Some(owner))
}

async fn renew(
    mut held: Held,
    until: Arc<Mutex<Option<Instant>>>,
    mut stopped: oneshot::Receiver<()>,
    done: std::sync::mpsc::SyncSender<()>,
) {
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(RENEWED) => {}
        }
        let begun = Instant::now();
        match held.write(LIVES).await {
            Ok(true) => *locked(&until) = Some(begun + LIVES),
            Ok(false) => {
                *locked(&until) = None;
                tracing::warn!(
                    lease = held.name,
                    "another process took the lease; its work is left to that one"
                );
                return;
            }
            // The next try may come through before its time is over.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(lease = held.name, error, "the lease could not be renewed; it is tried again");
            }
        }
    }
    let _ = held.write(Duration::ZERO).await;
    let _ = done.send(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_until_its_time_and_the_difference_of_clocks_are_over() {
        let bytes = json!({"owner": "x", "until": 1_000_000}).to_string().into_bytes();
        let clocks = CLOCKS.as_micros() as i64;
        assert!(is_held(&bytes, 1_000_000 + clocks - 1));
        assert!(!is_held(&bytes, 1_000_000 + clocks));
        assert!(!is_held(br#"{"owner":"x","until":0}"#, 0));
        assert!(!is_held(b"?", 0));
    }
}
