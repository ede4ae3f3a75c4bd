//! Objects in memory, and a pipeline that remembers what it was given.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::*;
use crate::source::Account;

/// What was handed over and not refused.
#[derive(Default)]
struct Kept {
    /// Names without what all begin with, and bytes.
    payloads: Vec<(String, String)>,
    positions: HashMap<String, String>,
    /// After so many payloads all are refused.
    most: Option<usize>,
}

struct Rig {
    store: Arc<dyn ObjectStore>,
    kept: Arc<Mutex<Kept>>,
    chunk: usize,
}

impl Rig {
    fn new(chunk: usize) -> Rig {
        Rig { store: Arc::new(InMemory::new()), kept: Arc::default(), chunk }
    }

    async fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.store.put(&Path::from(name), bytes.into().into()).await.unwrap();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// The way in, and who ends once nothing comes any more.
    fn intake(&self) -> (mpsc::Sender<Payload>, tokio::task::JoinHandle<()>) {
        let (intake, mut payloads) = mpsc::channel::<Payload>(4);
        let kept = self.kept.clone();
        let keeper = tokio::spawn(async move {
            while let Some(payload) = payloads.recv().await {
                let mut kept = kept.lock().unwrap();
                let outcome = if kept.most.is_some_and(|most| kept.payloads.len() >= most) {
                    Outcome::Failed { says: "it is full".to_owned() }
                } else {
                    if !payload.bytes.is_empty() {
                        let name = payload.source.trim_start_matches("az://c/").to_owned();
                        kept.payloads.push((name, String::from_utf8_lossy(&payload.bytes).into_owned()));
                    }
                    let position = payload.position.map(|position| (position.partition, position.value));
                    kept.positions.extend(position);
                    Outcome::Committed(Account::default())
                };
                let _ = payload.done.send(outcome);
            }
        });
        (intake, keeper)
    }

    fn settings(&self) -> Settings {
        Settings {
            chunk: self.chunk,
            max_document: 1 << 20,
            under_way: 1 << 20,
            every: Duration::from_millis(1),
            storage: Access::default(),
        }
    }

    fn listed(&self) -> Listed {
        Listed::new(self.store.clone(), Path::default(), "az://c/", "").unwrap()
    }

    /// Ingests all objects; what failed, and what was handed over.
    async fn ingest(&self) -> (Vec<String>, Vec<(String, String)>) {
        let (settings, (intake, keeper)) = (self.settings(), self.intake());
        let positions = |partition: &str| self.kept().positions.get(partition).cloned();
        let mut pass = Pass {
            settings: &settings,
            intake: &intake,
            positions: &positions,
            progress: |_: Progress<'_>| {},
            done: 0,
            total: 0,
            report: Report::default(),
        };
        pass.take_all(&self.listed(), "az://c/").await;
        let failed = pass.report.failed;
        drop(intake);
        keeper.await.unwrap();
        (failed, std::mem::take(&mut self.kept().payloads))
    }

    /// The same where nothing may fail: the names, and each one's bytes together.
    async fn all(&self) -> Vec<(String, String)> {
        let (failed, payloads) = self.ingest().await;
        assert!(failed.is_empty(), "{failed:?}");
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, bytes) in payloads {
            match all.last_mut() {
                Some((last, text)) if *last == name => text.push_str(&bytes),
                _ => all.push((name, bytes)),
            }
        }
        all
    }
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("{{\"n\":{}}}\n", 1000 + n)).collect()
}

fn owned(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_taken_once_in_order_of_their_names() {
    let rig = Rig::new(16);
    let [a, b] = [lines(0..20), lines(20..30)];
    rig.put("b/1", b.clone()).await;
    rig.put("a/2", a.clone()).await;
    rig.put("a/empty", "").await;
    assert_eq!(rig.all().await, owned(&[("a/2", &a), ("b/1", &b)]));
    assert_eq!(rig.all().await, []);
    // The same name with other bytes, as many of them.
    let other = lines(40..50);
    rig.put("b/1", other.clone()).await;
    assert_eq!(rig.all().await, owned(&[("b/1", &other)]));
    // Appended to: only that is new.
    rig.put("b/1", other + &lines(50..55)).await;
    assert_eq!(rig.all().await, owned(&[("b/1", &lines(50..55))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_broken_off_goes_on_behind_what_is_committed() {
    let rig = Rig::new(11);
    rig.put("a", lines(0..400)).await;
    rig.put("b", lines(400..401)).await;
    rig.kept().most = Some(300);
    let (failed, first) = rig.ingest().await;
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].contains("take `az://c/a`: it is full"), "{failed:?}");
    assert_eq!(first.len(), 300);
    rig.kept().most = None;
    let rest = rig.all().await;
    let begun = 2 * SAVE_EVERY as u32;
    assert_eq!(rest, owned(&[("a", &lines(begun..400)), ("b", &lines(400..401))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_read_and_a_damaged_one_goes_in_as_it_is() {
    let rig = Rig::new(64);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(lines(0..500).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(gzip.len() > 200);
    rig.put("1.gz", gzip[..gzip.len() / 2].to_vec()).await;
    rig.put("2.gz", gzip.clone()).await;
    let (failed, payloads) = rig.ingest().await;
    assert!(failed.is_empty(), "{failed:?}");
    let of =
        |name: &str| payloads.iter().filter(|(n, _)| n == name).map(|(_, b)| b.as_str()).collect::<Vec<_>>();
    assert_eq!(of("1.gz").last(), Some(&&*String::from_utf8_lossy(&gzip[..gzip.len() / 2])));
    assert_eq!(of("2.gz").concat(), lines(0..500));
    assert_eq!(rig.all().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_changes_while_it_is_read_is_taken_the_next_time() {
    let rig = Rig::new(16);
    rig.put("a", lines(0..10)).await;
    let items: Vec<_> = rig.listed().list().collect().await;
    rig.put("a", lines(10..20)).await;
    let (settings, (intake, _)) = (rig.settings(), rig.intake());
    let item = items.into_iter().next().unwrap().unwrap();
    let taken = take(&settings, &item, &intake, &|_| None, true, &mut |_| {}).await;
    assert!(says(&taken.unwrap_err()).contains("read `az://c/a`: it was changed while it was read"));
    rig.store.delete(&Path::from("a")).await.unwrap();
    let gone = take(&settings, &item, &intake, &|_| None, true, &mut |_| {}).await;
    assert!(says(&gone.unwrap_err()).contains("read `az://c/a`: it is not there any more"));
    rig.put("a", lines(10..20)).await;
    assert_eq!(rig.all().await, owned(&[("a", &lines(10..20))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_there_is_said() {
    let (failed, _) = Rig::new(16).ingest().await;
    assert_eq!(
        failed,
        ["find `az://c/`: no object has this name, is below it or matches it; correct the URL"]
    );
}
