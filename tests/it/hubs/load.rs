//! Many events, many links, and what is left after them.

use std::time::{Duration, Instant};

use agentrail::simulate::hubs::{Hubs, Options};
use azure_messaging_eventhubs::{OpenReceiverOptions, SendEventOptions, StartLocation};

use crate::hubs::client::{
    SOON, anew, consumer, from, prepare, producer, receiver, server_with, soon, stuck, take, until,
};

fn prefetch(count: u32) -> OpenReceiverOptions {
    OpenReceiverOptions { prefetch: Some(count), ..from(StartLocation::Earliest, false) }
}

async fn read_many(settled: bool, count: usize) -> Duration {
    let hubs = server_with(Options { settled, ..Options::default() }).await;
    for n in 0..count {
        hubs.publish("h", "0", format!("{n:0>1000}")).unwrap();
    }
    let client = consumer(&hubs).await;
    let reader = receiver(&client, "0", prefetch(2000)).await;
    let began = Instant::now();
    let events = take(&reader, count).await.unwrap();
    let numbers = events.iter().map(|event| event.sequence_number().unwrap());
    assert!(numbers.eq(0..count as i64));
    began.elapsed()
}

#[test]
fn many_events_come_in_order() {
    anew(async || {
        let settled = read_many(true, 20_000).await;
        let unsettled = read_many(false, 20_000).await;
        eprintln!("20,000 events: settled {settled:?}, unsettled {unsettled:?}");
    });
}

/// Sends one by one until an outcome is lost; how many have been answered.
async fn send_many(latency: Duration, count: usize, patience: Duration) -> usize {
    let hubs = server_with(Options { latency, ..Options::default() }).await;
    let sender = producer(&hubs).await;
    let to = || Some(SendEventOptions { partition_id: Some("0".to_owned()) });
    for n in 0..count {
        let sent = tokio::time::timeout(patience, sender.send_event(vec![0; 100], to())).await;
        let Ok(sent) = sent else { return n };
        sent.unwrap();
    }
    assert_eq!(hubs.events("h", "0").unwrap().len(), count);
    count
}

/// On one thread: with more, a busy machine may stop the client's for longer than any latency.
#[test]
fn outcomes_arrive_when_they_take_their_time() {
    anew(async || {
        if send_many(Options::default().latency, 500, SOON).await < 500 {
            stuck("an outcome was lost".to_owned());
        }
    });
}

/// Not a test of the server: it shows what the latency is for. `HUBS_RACE=1` runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_are_lost_when_they_come_at_once() {
    if std::env::var_os("HUBS_RACE").is_some() {
        for latency in [0, 1, 5].map(Duration::from_millis) {
            eprintln!(
                "latency {latency:?}: {} of 400 were answered",
                send_many(latency, 400, Duration::from_secs(3)).await
            );
        }
    }
}

#[test]
fn many_partitions_are_read_at_once() {
    anew(async || {
        prepare();
        let hubs = Hubs::start(Options::default()).await.unwrap();
        hubs.create("h", 32, &[]).unwrap();
        for partition in 0..32 {
            for n in 0..50 {
                hubs.publish("h", &partition.to_string(), format!("{n}")).unwrap();
            }
        }
        let client = consumer(&hubs).await;
        let mut readers = Vec::new();
        for partition in 0..32 {
            readers.push(receiver(&client, &partition.to_string(), prefetch(300)).await);
        }
        let all = readers.iter().map(|reader| take(reader, 50));
        for events in soon("all partitions", futures::future::join_all(all)).await {
            assert_eq!(events.unwrap().len(), 50);
        }
        assert_eq!(hubs.faults().drop_sockets(), 1);
        drop(readers);
        drop(client);
        until("all links to go", || hubs.links().is_empty()).await;
    });
}
