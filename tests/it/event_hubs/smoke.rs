//! What works when nothing goes wrong.

use agentrail::simulate::hubs::{Node, Role};
use agentrail::source::event_hubs::checkpoints::Mark;

use super::rig::{Rig, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_partitions_come_once_and_checkpoints_follow() {
    let rig = Rig::new(3).await;
    rig.publish(0..30);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 30).await;
    rig.publish(30..36);
    rig.stored(&consumer.lake, 36).await;
    for partition in ["0", "1", "2"] {
        rig.saved(partition, 11).await;
        let (mark, last) =
            (rig.mark(partition).await.unwrap(), rig.hubs.events("h", partition).unwrap().pop().unwrap());
        assert_eq!((mark.sequence, mark.offset), (last.sequence, Some(last.offset.to_string())));
        assert_eq!(mark.enqueued.map(|at| at.unix_micros() / 1000), Some(last.enqueued));
    }
    let readers: Vec<_> = rig.hubs.attached().into_iter().filter(|link| link.role == Role::Reads).collect();
    assert!(readers.iter().all(|link| link.level == Some(0)), "as the SDK's processor has it");
    assert!(matches!(readers[0].node, Node::Outlet { .. }), "{:?}", readers[0].node);
    let owners = rig.owners().await;
    assert_eq!(owners.len(), 3);
    assert!(owners.iter().all(|o| o.owner == owners[0].owner && o.owner.starts_with("agentrail-")));
    consumer.stop().await;
    assert!(rig.owners().await.iter().all(|o| o.owner.is_empty()), "released");
    eventually("all links to go", async || rig.hubs.links().is_empty()).await;
    assert_eq!(rig.numbers(), (0..36).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_replays_nothing_and_loses_nothing() {
    let rig = Rig::new(2).await;
    rig.publish(0..20);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 20).await;
    consumer.stop().await;
    rig.publish(20..50);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 50).await;
    assert_eq!(consumer.handed(), 30, "what a graceful stop has saved is not handed on again");
    consumer.stop().await;
    // One that dies has saved less, at the most: what comes again is kept once.
    let consumer = rig.consumer().await;
    rig.publish(50..70);
    rig.stored(&consumer.lake, 70).await;
    consumer.die().await;
    let consumer = rig.consumer().await;
    rig.publish(70..80);
    rig.stored(&consumer.lake, 80).await;
    consumer.stop().await;
    assert_eq!(rig.numbers(), (0..80).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_loses_nothing_from_its_first_moment_on() {
    let rig = Rig::new(2).await;
    rig.configure("start = \"latest\"", "");
    rig.publish(0..10);
    let consumer = rig.consumer().await;
    // Before the first event, and before anything is read, it is a number.
    for partition in ["0", "1"] {
        rig.saved(partition, 4).await;
    }
    consumer.die().await;
    rig.publish(10..20);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 10).await;
    consumer.stop().await;
    assert_eq!(rig.numbers(), (10..20).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_of_an_empty_partition_is_its_beginning() {
    let rig = Rig::new(1).await;
    rig.configure("", "start = \"latest\"");
    let consumer = rig.consumer().await;
    rig.saved("0", -1).await;
    consumer.die().await;
    rig.publish(0..3);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 3).await;
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_partition_begins_where_it_is_told() {
    let rig = Rig::new(3).await;
    rig.publish(0..30);
    rig.configure("start = \"latest\"", "starts = { 0 = \"4\", 1 = \"earliest\" }");
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 16).await;
    rig.saved("2", 9).await;
    consumer.stop().await;
    let expected = (0..30).filter(|n| n % 3 == 1 || n % 3 == 0 && n / 3 >= 4).collect();
    assert_eq!(rig.numbers(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_a_beginning() {
    let rig = Rig::new(1).await;
    for n in 0..6 {
        rig.hubs
            .publish_at("h", "0", crate::lake::audit_record(n), 1_790_000_000_000 + i64::from(n) * 1000)
            .unwrap();
    }
    // 1790000002.5 s after 1970.
    rig.configure("", "start = \"2026-09-21T14:13:22.5Z\"");
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 3).await;
    consumer.stop().await;
    assert_eq!(rig.numbers(), (3..6).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_another_sdk_is_gone_on_from() {
    let rig = Rig::new(1).await;
    rig.publish(0..10);
    // As Microsoft's SDKs write it: without our time.
    let kept = rig.hubs.events("h", "0").unwrap();
    let mark = Mark { sequence: 6, offset: Some(kept[6].offset.to_string()), enqueued: None };
    rig.store().save(&rig.group(), "0", &mark).await.unwrap();
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 3).await;
    assert_eq!(consumer.handed(), 3);
    consumer.stop().await;
    assert_eq!(rig.numbers(), (7..10).collect());
}
