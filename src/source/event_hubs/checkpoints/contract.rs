//! What every store of checkpoints must do; each adapter passes the same checks.

use std::sync::Arc;

use azure_core::http::Etag;
use azure_messaging_eventhubs::CheckpointStore as _;
use azure_messaging_eventhubs::models::{Checkpoint, Ownership};

use super::*;

fn group() -> Group {
    Group {
        namespace: "NS.servicebus.windows.net".into(),
        hub: "Hub".into(),
        consumer_group: "$Default".into(),
    }
}

async fn one_of_two_claims_wins(store: &Checkpoints) {
    let group = group();
    assert!(store.owners(&group).await.unwrap().is_empty());
    let first = store.claim(&group, "0", "a", None).await.unwrap().unwrap();
    assert!(store.claim(&group, "0", "b", None).await.unwrap().is_none(), "created twice");
    let renewed = store.claim(&group, "0", "a", Some(&first.etag)).await.unwrap().unwrap();
    assert_ne!(renewed.etag, first.etag, "a renewal is seen");
    assert!(store.claim(&group, "0", "b", Some(&first.etag)).await.unwrap().is_none(), "a stale claim");
    // An ETag that was listed is as good as one that was answered.
    let listed = store.owners(&group).await.unwrap();
    assert_eq!((listed.len(), listed[0].owner.as_str(), listed[0].partition.as_str()), (1, "a", "0"));
    let taken = store.claim(&group, "0", "b", Some(&listed[0].etag)).await.unwrap().unwrap();
    store.claim(&group, "0", "", Some(&taken.etag)).await.unwrap().unwrap();
    assert_eq!(store.owners(&group).await.unwrap()[0].owner, "", "released");
    let gone = store.claim(&group, "7", "a", Some(&taken.etag)).await.unwrap();
    assert!(gone.is_none(), "an ownership that is not there is not renewed");
}

async fn races_have_one_winner(store: &Checkpoints) {
    let group = Group { hub: "raced".into(), ..group() };
    let mut etag: Option<String> = None;
    for round in 0..5 {
        let claims = (0..8).map(|n| {
            let (store, group, etag) = (store.clone(), group.clone(), etag.clone());
            async move { store.claim(&group, "0", &format!("{round}-{n}"), etag.as_deref()).await.unwrap() }
        });
        let won: Vec<Written> = futures::future::join_all(claims).await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "round {round}");
        etag = Some(won[0].etag.clone());
    }
}

async fn marks_are_kept_by_partition(store: &Checkpoints) {
    let group = group();
    let mark = |sequence: i64| Mark {
        sequence,
        offset: Some(format!("{}", sequence * 56)),
        enqueued: Some(Time::from_unix_millis(1_780_000_000_000 + sequence)),
    };
    store.save(&group, "0", &mark(7)).await.unwrap();
    store.save(&group, "1", &mark(8)).await.unwrap();
    store.save(&group, "0", &mark(9)).await.unwrap();
    let other = Group { consumer_group: "other".into(), ..group.clone() };
    store.save(&other, "0", &Mark::none()).await.unwrap();
    let marks = store.marks(&group).await.unwrap();
    assert_eq!(marks.into_iter().collect::<Vec<_>>(), [("0".to_owned(), mark(9)), ("1".to_owned(), mark(8))]);
    assert_eq!(store.marks(&other).await.unwrap()["0"], Mark::none());
}

async fn the_sdk_sees_the_same(store: &Checkpoints) {
    let names = ("ns.servicebus.windows.net", "sdk", "$Default");
    let ownership = |etag: Option<Etag>, owner: &str| Ownership {
        fully_qualified_namespace: names.0.into(),
        event_hub_name: names.1.into(),
        consumer_group: names.2.into(),
        partition_id: "3".into(),
        owner_id: Some(owner.into()),
        etag,
        last_modified_time: None,
    };
    let claimed = store.claim_ownership(&[ownership(None, "a")]).await.unwrap();
    assert!(claimed[0].last_modified_time.is_some());
    assert!(
        store.claim_ownership(&[ownership(None, "b")]).await.unwrap().is_empty(),
        "a lost race is no error"
    );
    let again = store.claim_ownership(&[ownership(claimed[0].etag.clone(), "a")]).await.unwrap();
    assert_ne!(again[0].etag, claimed[0].etag);
    let listed = store.list_ownerships(names.0, names.1, names.2).await.unwrap();
    assert_eq!(listed[0].owner_id.as_deref(), Some("a"));
    let checkpoint = Checkpoint {
        fully_qualified_namespace: names.0.into(),
        event_hub_name: names.1.into(),
        consumer_group: names.2.into(),
        partition_id: "3".into(),
        offset: Some("56".into()),
        sequence_number: Some(1),
    };
    store.update_checkpoint(checkpoint).await.unwrap();
    let listed = store.list_checkpoints(names.0, names.1, names.2).await.unwrap();
    assert_eq!((listed[0].offset.as_deref(), listed[0].sequence_number), (Some("56"), Some(1)));
    assert!(store.claim_ownership(&[Ownership::default()]).await.is_err(), "names are needed");
}

async fn all(store: Checkpoints) {
    one_of_two_claims_wins(&store).await;
    races_have_one_winner(&store).await;
    marks_are_kept_by_partition(&store).await;
    the_sdk_sees_the_same(&store).await;
}

#[tokio::test]
async fn a_folder() {
    let folder = tempfile::tempdir().unwrap();
    all(Checkpoints::new(Folder(folder.path().join("deep/down")))).await;
    let path = folder.path().join("deep/down/ns.servicebus.windows.net/hub/$default/checkpoint/0.json");
    assert!(path.exists(), "names are in lower case");
}

#[tokio::test]
async fn blobs_in_memory() {
    all(Checkpoints::new(Blobs::new(Arc::new(object_store::memory::InMemory::new()), "some/prefix"))).await;
}

#[tokio::test]
async fn blobs_of_an_account() {
    // An Azurite, or a storage account: `BLOBS_URL`, `BLOBS_ACCOUNT`, `BLOBS_KEY`, `BLOBS_ENDPOINT`.
    let word = |name: &str| std::env::var(name).unwrap_or_default();
    if word("BLOBS_URL").is_empty() {
        println!("skipped: BLOBS_URL names no container");
        return;
    }
    let account = Account {
        // A folder of its own each time.
        url: format!(
            "{}/{}",
            word("BLOBS_URL"),
            SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
        ),
        name: word("BLOBS_ACCOUNT"),
        endpoint: word("BLOBS_ENDPOINT"),
        key: Some(word("BLOBS_KEY")),
        credential: None,
    };
    all(Checkpoints::new(Blobs::azure(account).unwrap())).await;
}

#[tokio::test]
async fn a_file_that_a_power_cut_left_empty_is_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Checkpoints::new(Folder(folder.path().to_owned()));
    store.save(&group(), "0", &Mark::none()).await.unwrap();
    let path = folder.path().join("ns.servicebus.windows.net/hub/$default/checkpoint/0.json");
    std::fs::write(&path, b"").unwrap();
    assert!(store.marks(&group()).await.unwrap().is_empty());
    store.save(&group(), "0", &Mark::none()).await.unwrap();
    assert_eq!(store.marks(&group()).await.unwrap().len(), 1);
}
