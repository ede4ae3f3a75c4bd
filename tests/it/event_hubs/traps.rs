//! What the client library does that a consumer must survive, numbered as where they were found:
//!
//! 1 attached again it starts where it once started; 2 one link a partition and client; 3 a partition client
//! that is dropped is never given out again; 4 a fault of the store ends the processor; 5 it cannot be
//! stopped; 6 two of one name both own everything; 7 odd values panic; 8 two providers of cryptography;
//! 9 letters of names; 10 a checkpoint an event; 11 latest by default; 12 nothing is delivered once.

use std::time::Duration;

use agentrail::simulate::hubs::{Fault, Occasion, Role};

use super::rig::{Rig, eventually};

/// The links that read a partition.
fn readers(rig: &Rig, partition: &str) -> usize {
    let of = |node: &agentrail::simulate::hubs::Node| node.partition() == Some(partition);
    rig.hubs.links().iter().filter(|link| link.role == Role::Reads && of(&link.node)).count()
}

/// Traps 1 and 12: a cut makes the library begin again where it began; nothing of that is handed on.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_after_a_cut_goes_no_further() {
    let rig = Rig::new(1).await;
    rig.publish(0..500);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 500).await;
    for round in 1..=3 {
        rig.hubs.faults().drop_sockets();
        rig.publish(500 * round..500 * (round + 1));
        rig.stored(&consumer.lake, 500 * u64::from(round + 1)).await;
    }
    assert_eq!(consumer.handed(), 2000, "{:?}", consumer.partition("0"));
    consumer.stop().await;
}

/// Trap 1 with "latest": what is enqueued while nobody is connected would be passed over.
#[tokio::test(flavor = "multi_thread")]
async fn latest_passes_nothing_over_after_a_cut() {
    let rig = Rig::new(1).await;
    rig.configure("start = \"latest\"", "");
    let consumer = rig.consumer().await;
    rig.saved("0", -1).await;
    eventually("the reader", async || readers(&rig, "0") == 1).await;
    rig.hubs.stop();
    rig.publish(0..10);
    rig.hubs.resume().await.unwrap();
    rig.stored(&consumer.lake, 10).await;
    consumer.stop().await;
}

/// Within the service a reader may be given events again.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_gives_again_goes_no_further() {
    let rig = Rig::new(1).await;
    rig.publish(0..40);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 40).await;
    rig.hubs.faults().replay("h", "0", 30);
    rig.hubs.faults().drop_sockets();
    rig.publish(40..50);
    rig.stored(&consumer.lake, 50).await;
    assert_eq!(consumer.handed(), 50);
    assert_eq!(rig.hubs.faults().count(Fault::Replay), 1);
    consumer.stop().await;
}

/// Traps 2 and 3: after any fault there is one link again, and it is read.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_followed_by_one_link() {
    let rig = Rig::new(2).await;
    let consumer = rig.consumer().await;
    let faults = rig.hubs.faults();
    let mut sent = 0;
    for fault in 0..9 {
        eventually("both readers", async || readers(&rig, "0") == 1 && readers(&rig, "1") == 1).await;
        match fault {
            0 => _ = faults.close_connections(),
            1 => _ = faults.detach_readers("h", "0", "amqp:link:detach-forced"),
            2 => _ = faults.detach_readers("h", "1", "com.microsoft:server-busy"),
            3 => _ = faults.detach_readers("h", "0", "amqp:internal-error"),
            4 => {
                faults.busy(Occasion::Attach, 2);
                faults.drop_sockets();
            }
            5 => {
                faults.refuse_tokens(2);
                faults.drop_sockets();
            }
            6 => {
                faults.refuse_connections(3);
                faults.drop_sockets();
            }
            7 => _ = faults.expire_tokens(),
            _ => faults.busy(Occasion::Ask, 3),
        }
        rig.publish(sent..sent + 10);
        sent += 10;
        rig.stored(&consumer.lake, u64::from(sent)).await;
    }
    consumer.stop().await;
    assert_eq!(rig.numbers(), (0..sent).collect());
}

/// A link that another takes is not fought for: it is read again once the ownerships say that it is ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_link_is_left_and_had_again() {
    let rig = Rig::new(1).await;
    rig.publish(0..5);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 5).await;
    rig.hubs.faults().steal("h", "$Default", "0", 5).unwrap();
    eventually("the theft to be told", async || {
        consumer.partition("0").fault.is_some_and(|says| says.contains("another reader"))
    })
    .await;
    rig.publish(5..10);
    rig.hubs.faults().release("h", "$Default", "0").unwrap();
    rig.stored(&consumer.lake, 10).await;
    consumer.stop().await;
}

/// A partition whose delivery stopped for good, as was seen, is connected to anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_partition_with_events_ahead_is_connected_to_anew() {
    let rig = Rig::new(2).await;
    rig.publish(0..4);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 4).await;
    rig.hubs.faults().stall("h", "0");
    rig.publish(4..8);
    eventually("the silence to be noticed", async || {
        consumer.partition("0").fault.is_some_and(|says| says.contains("nothing came for"))
    })
    .await;
    assert_eq!(
        consumer.partition("1").reconnects,
        0,
        "the other one is silent as well, and has nothing to say"
    );
    rig.hubs.faults().resume("h", "0");
    rig.stored(&consumer.lake, 8).await;
    consumer.stop().await;
}

/// Sockets that stay open and carry nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_says_nothing_is_given_up() {
    let rig = Rig::new(1).await;
    rig.publish(0..4);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 4).await;
    rig.hubs.faults().freeze();
    rig.publish(4..8);
    // New connections are not frozen.
    rig.stored(&consumer.lake, 8).await;
    consumer.stop().await;
}

/// Sequence numbers begin again: fewer events than were read, while somebody reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_made_again_is_read_from_its_beginning() {
    let rig = Rig::new(1).await;
    rig.publish(0..50);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 50).await;
    rig.hubs.delete("h").unwrap();
    rig.hubs.create("h", 1, &[]).unwrap();
    rig.publish(50..60);
    rig.stored(&consumer.lake, 60).await;
    rig.saved("0", 9).await;
    consumer.stop().await;
}

/// And the same while nobody reads: fewer, then more events than were read, at the same offsets.
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_made_again_meanwhile_is_noticed() {
    let rig = Rig::new(1).await;
    let mut sent = 0;
    for (round, count) in [20u32, 5, 30].into_iter().enumerate() {
        if round > 0 {
            rig.hubs.delete("h").unwrap();
            rig.hubs.create("h", 1, &[]).unwrap();
        }
        rig.publish(sent..sent + count);
        sent += count;
        let consumer = rig.consumer().await;
        rig.stored(&consumer.lake, u64::from(sent)).await;
        rig.saved("0", i64::from(count) - 1).await;
        consumer.stop().await;
    }
    assert_eq!(rig.numbers(), (0..sent).collect());
}

/// What retention took away is said, and not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_passed_over() {
    let rig = Rig::new(1).await;
    rig.publish(0..10);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 10).await;
    consumer.stop().await;
    rig.publish(10..30);
    rig.hubs.retire("h", "0", 20).unwrap();
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 20).await;
    consumer.stop().await;
    assert_eq!(rig.numbers(), (0..10).chain(20..30).collect());
}

/// Trap 4: a store that fails stops no reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_stops_nothing() {
    let rig = Rig::new(1).await;
    let folder = rig.scratch.path("checkpoints");
    rig.configure(&format!("checkpoints = \"{}\"", folder.display()), "");
    rig.publish(0..5);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 5).await;
    rig.saved("0", 4).await;
    let aside = rig.scratch.path("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    rig.publish(5..10);
    rig.stored(&consumer.lake, 10).await;
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    rig.saved("0", 9).await;
    consumer.stop().await;
}

/// Trap 5: told to stop in the middle of a flood, it ends at once and releases what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_releases_at_once() {
    let rig = Rig::new(2).await;
    rig.publish(0..3000);
    let consumer = rig.consumer().await;
    consumer.owns(2).await;
    eventually("the first", async || consumer.handed() > 0).await;
    consumer.stop().await;
    assert!(rig.owners().await.iter().all(|o| o.owner.is_empty()));
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 3000).await;
    consumer.stop().await;
    assert_eq!(rig.numbers(), (0..3000).collect());
}

/// Trap 6: each consumer has a name of its own, in ownerships and connections.
#[tokio::test(flavor = "multi_thread")]
async fn two_share_and_the_third_as_well() {
    let rig = Rig::new(4).await;
    let first = rig.consumer().await;
    first.owns(4).await;
    let second = rig.consumer().await;
    first.owns(2).await;
    second.owns(2).await;
    rig.publish(0..40);
    rig.stored(&first.lake, 40).await;
    first.stop().await;
    second.owns(4).await;
    rig.publish(40..80);
    rig.stored(&second.lake, 80).await;
    second.stop().await;
    assert_eq!(rig.numbers(), (0..80).collect());
}

/// One that dies is taken over from once its ownerships expire.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_one_is_taken_over_from() {
    let rig = Rig::new(2).await;
    let first = rig.consumer().await;
    first.owns(2).await;
    first.die().await;
    assert!(rig.owners().await.iter().all(|o| !o.owner.is_empty()));
    rig.publish(0..10);
    let second = rig.consumer().await;
    rig.stored(&second.lake, 10).await;
    second.stop().await;
}

/// Trap 10: checkpoints are far fewer than events, and back-pressure bounds what is under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_flows_through_little_room() {
    let rig = Rig::new(1).await;
    rig.configure("in_flight = 20\nin_flight_bytes = 8000\nprefetch = 50", "");
    rig.publish(0..2000);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 2000).await;
    rig.saved("0", 1999).await;
    assert_eq!(consumer.handed(), 2000);
    consumer.stop().await;
}

/// Trap 9: names are in lower case in the store, whatever the settings say.
#[tokio::test(flavor = "multi_thread")]
async fn letters_of_names_do_not_matter() {
    let rig = Rig::new(1).await;
    rig.publish(0..3);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 3).await;
    consumer.stop().await;
    rig.configure("", "consumer_group = \"$default\"");
    let consumer = rig.consumer().await;
    consumer.owns(1).await;
    rig.publish(3..5);
    rig.stored(&consumer.lake, 5).await;
    assert_eq!(consumer.handed(), 2);
    consumer.stop().await;
    tokio::time::sleep(Duration::ZERO).await;
}
