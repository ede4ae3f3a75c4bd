//! Each fault, seen through the Rust client.

use std::time::Duration;

use agentrail::simulate::hubs::{Fault, Hubs, Occasion, Options, Role};
use azure_messaging_eventhubs::{ProducerClient, SendEventOptions, StartLocation};

use crate::hubs::client::{
    SOON, anew, bodies, chain, consumer, from, nothing, producer, receiver, server, server_with, soon, take,
    unhurried, until,
};

fn to_partition_0() -> Option<SendEventOptions> {
    Some(SendEventOptions { partition_id: Some("0".to_owned()) })
}

fn fill(hubs: &Hubs, count: usize) {
    for n in 0..count {
        hubs.publish("h", "0", format!("{n}")).unwrap();
    }
}

fn stored(hubs: &Hubs) -> Vec<String> {
    let events = hubs.events("h", "0").unwrap();
    events.iter().map(|event| String::from_utf8(event.data().unwrap()).unwrap()).collect()
}

/// The client recovers by itself: from the place where it once began, so events come again.
#[test]
fn a_dropped_socket_brings_events_again() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 3);
        let consumer = consumer(&hubs).await;
        let receiver = receiver(&consumer, "0", from(StartLocation::Earliest, false)).await;
        assert_eq!(bodies(&take(&receiver, 3).await.unwrap()), ["0", "1", "2"]);
        assert_eq!(hubs.faults().drop_sockets(), 1);
        assert_eq!(hubs.faults().count(Fault::Drop), 1);
        hubs.publish("h", "0", "3").unwrap();
        assert_eq!(bodies(&take(&receiver, 4).await.unwrap()), ["0", "1", "2", "3"]);
    });
}

#[test]
fn a_forced_close_is_survived() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 2);
        let consumer = consumer(&hubs).await;
        let receiver = receiver(&consumer, "0", from(StartLocation::SequenceNumber(0), false)).await;
        assert_eq!(bodies(&take(&receiver, 1).await.unwrap()), ["1"]);
        assert_eq!(hubs.faults().close_connections(), 1);
        assert_eq!(bodies(&take(&receiver, 1).await.unwrap()), ["1"]);
        assert_eq!(hubs.faults().count(Fault::Close), 1);
    });
}

#[test]
fn a_detached_link_is_attached_again() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 2);
        let consumer = consumer(&hubs).await;
        let receiver = receiver(&consumer, "0", from(StartLocation::Earliest, false)).await;
        take(&receiver, 2).await.unwrap();
        assert_eq!(hubs.faults().detach_readers("h", "0", "amqp:link:detach-forced"), 1);
        assert_eq!(bodies(&take(&receiver, 2).await.unwrap()), ["0", "1"]);
        assert_eq!(hubs.faults().count(Fault::Detach), 1);
        let reads = hubs.attached().iter().filter(|link| link.role == Role::Reads).count();
        assert_eq!(reads, 2);
    });
}

#[test]
fn a_higher_owner_level_takes_the_partition() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 1);
        let level = |level| {
            let mut options = from(StartLocation::Earliest, false);
            options.owner_level = Some(level);
            options
        };
        let (first, second) = (consumer(&hubs).await, consumer(&hubs).await);
        let loser = receiver(&first, "0", level(1)).await;
        take(&loser, 1).await.unwrap();
        let winner = receiver(&second, "0", level(2)).await;
        take(&winner, 1).await.unwrap();
        let error = take(&loser, 1).await.unwrap_err();
        assert!(chain(&error).contains("LinkStolen"), "{}", chain(&error));
        assert_eq!(hubs.owner_level("h", "$Default", "0").unwrap(), Some(2));
        let third = consumer(&hubs).await;
        let refused = receiver(&third, "0", level(1)).await;
        let error = take(&refused, 1).await.unwrap_err();
        assert!(chain(&error).contains("with a higher epoch '2' already exists"), "{}", chain(&error));
        // Another group has owners of its own.
        assert_eq!(hubs.owner_level("h", "g", "0").unwrap(), None);
        hubs.publish("h", "0", "still").unwrap();
        assert_eq!(bodies(&take(&winner, 1).await.unwrap()), ["still"]);
    });
}

#[test]
fn a_stranger_steals_until_it_leaves() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 1);
        let mut options = from(StartLocation::Earliest, false);
        options.owner_level = Some(0);
        let before = consumer(&hubs).await;
        let reader = receiver(&before, "0", options.clone()).await;
        take(&reader, 1).await.unwrap();
        assert_eq!(hubs.faults().steal("h", "$Default", "0", 5).unwrap(), 1);
        let error = take(&reader, 1).await.unwrap_err();
        assert!(chain(&error).contains("LinkStolen"), "{}", chain(&error));
        assert_eq!(hubs.faults().count(Fault::Steal), 1);
        let again = consumer(&hubs).await;
        let refused = receiver(&again, "0", options.clone()).await;
        assert!(take(&refused, 1).await.is_err());
        hubs.faults().release("h", "$Default", "0").unwrap();
        let last = consumer(&hubs).await;
        let reader = receiver(&last, "0", options).await;
        take(&reader, 1).await.unwrap();
    });
}

#[test]
fn a_refused_token_is_an_error() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 1);
        hubs.faults().refuse_tokens(1);
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        let error = take(&reader, 1).await.unwrap_err();
        assert!(chain(&error).contains("401") || chain(&error).contains("Unauthorized"), "{}", chain(&error));
        assert_eq!(hubs.faults().count(Fault::Token), 1);
        assert!(!hubs.tokens()[0].accepted);
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        take(&reader, 1).await.unwrap();
    });
}

#[test]
fn tokens_that_are_over_end_links() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 1);
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        take(&reader, 1).await.unwrap();
        assert_eq!(hubs.faults().expire_tokens(), 1);
        let error = take(&reader, 1).await.unwrap_err();
        assert!(chain(&error).contains("UnauthorizedAccess"), "{}", chain(&error));
    });
}

/// The link ends with its token when nobody puts another.
#[test]
fn a_token_ends_by_itself() {
    anew(async || unhurried(reads_until_the_token_ends).await);
}

/// Whether anything was read before.
async fn reads_until_the_token_ends(life: Duration) -> Option<()> {
    let hubs = server().await;
    fill(&hubs, 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token: &'static str = Box::leak(web_token(now + 1 + life.as_secs()).into_boxed_str());
    let opened = azure_messaging_eventhubs::ConsumerClient::builder()
        .with_custom_endpoint(hubs.endpoint())
        .open(hubs.host(), "h".to_owned(), std::sync::Arc::new(crate::hubs::client::Word(token)));
    let client = soon("opening", opened).await.unwrap();
    let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
    take(&reader, 1).await.ok()?;
    let error = take(&reader, 1).await.unwrap_err();
    assert!(chain(&error).contains("UnauthorizedAccess"), "{}", chain(&error));
    let refused = soon("properties", client.get_eventhub_properties()).await;
    assert!(refused.is_err());
    Some(())
}

/// A token whose only claim is its end, in seconds since 1970.
fn web_token(ends: u64) -> String {
    use base64::Engine as _;
    let claims = format!(r#"{{"exp":{ends}}}"#);
    format!("head.{}.signature", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn one_connection_is_cut_alone() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 1);
        let (first, second) = (consumer(&hubs).await, consumer(&hubs).await);
        let cut = receiver(&first, "0", from(StartLocation::Earliest, false)).await;
        let kept = receiver(&second, "0", from(StartLocation::Earliest, false)).await;
        take(&cut, 1).await.unwrap();
        let own = hubs.links().into_iter().find(|link| link.role == Role::Reads).unwrap().connection;
        take(&kept, 1).await.unwrap();
        assert_eq!(hubs.faults().drop_sockets_of(|link| link.connection == own), 1);
        take(&cut, 1).await.unwrap();
        hubs.publish("h", "0", "next").unwrap();
        assert_eq!(bodies(&take(&kept, 1).await.unwrap()), ["next"]);
    });
}

#[test]
fn a_busy_server_is_asked_again() {
    anew(async || {
        let hubs = server().await;
        let faults = hubs.faults();
        fill(&hubs, 1);
        let client = consumer(&hubs).await;
        faults.busy(Occasion::Ask, 1);
        soon("properties", client.get_eventhub_properties()).await.unwrap();
        faults.busy(Occasion::Attach, 1);
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        take(&reader, 1).await.unwrap();
        assert_eq!(faults.count(Fault::Busy), 2);
    });
}

/// The client sends again by itself, and for as long as its patience lasts.
#[test]
fn a_busy_server_refuses_sends() {
    anew(async || {
        let hubs = server().await;
        let faults = hubs.faults();
        let producer = producer(&hubs).await;
        faults.busy(Occasion::Send, 2);
        soon("sending", producer.send_event("a", to_partition_0())).await.unwrap();
        assert_eq!((stored(&hubs), faults.count(Fault::Busy)), (vec!["a".to_owned()], 2));
    });
}

#[test]
fn one_partition_stalls_alone() {
    anew(async || {
        let hubs = server().await;
        let faults = hubs.faults();
        fill(&hubs, 1);
        let client = consumer(&hubs).await;
        let stalled = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        take(&stalled, 1).await.unwrap();
        faults.stall("h", "0");
        fill(&hubs, 1);
        nothing(&stalled).await;
        hubs.publish("h", "1", "other").unwrap();
        let other = receiver(&client, "1", from(StartLocation::Earliest, false)).await;
        assert_eq!(bodies(&take(&other, 1).await.unwrap()), ["other"]);
        // Its properties tell that it is behind.
        let read = soon("properties", client.get_partition_properties("0")).await.unwrap();
        assert_eq!(read.last_enqueued_sequence_number, 1);
        faults.resume("h", "0");
        assert_eq!(take(&stalled, 1).await.unwrap()[0].sequence_number(), Some(1));
        assert_eq!(faults.count(Fault::Stall), 1);
    });
}

#[test]
fn sends_stall_and_go_on() {
    anew(async || {
        let hubs = server().await;
        let producer = producer(&hubs).await;
        soon("sending", producer.send_event("a", to_partition_0())).await.unwrap();
        hubs.faults().stall_sends("h");
        // The one that is waited for already is taken still.
        let mut send = std::pin::pin!(async {
            for body in ["b", "c"] {
                producer.send_event(body, to_partition_0()).await.unwrap();
            }
        });
        assert!(tokio::time::timeout(Duration::from_millis(400), &mut send).await.is_err());
        hubs.faults().resume_sends("h");
        soon("sending", send).await;
        assert_eq!(stored(&hubs), ["a", "b", "c"]);
    });
}

#[test]
fn a_tail_comes_again_after_a_reconnect() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 5);
        let first = consumer(&hubs).await;
        let reader = receiver(&first, "0", from(StartLocation::Earliest, false)).await;
        take(&reader, 5).await.unwrap();
        hubs.faults().replay("h", "0", 2);
        let second = consumer(&hubs).await;
        let reader = receiver(&second, "0", from(StartLocation::SequenceNumber(4), false)).await;
        assert_eq!(bodies(&take(&reader, 2).await.unwrap()), ["3", "4"]);
        assert_eq!(hubs.faults().count(Fault::Replay), 1);
        fill(&hubs, 1);
        assert_eq!(take(&reader, 1).await.unwrap()[0].sequence_number(), Some(5));
    });
}

/// The client waits for ever: whoever sends needs a time-out of his own, and then stores twice.
#[test]
fn a_lost_outcome_stores_twice() {
    anew(async || {
        let hubs = server().await;
        let sender = producer(&hubs).await;
        hubs.faults().lose_outcomes(1);
        let mut sent = std::pin::pin!(sender.send_event("a", to_partition_0()));
        tokio::select! {
            answer = &mut sent => panic!("an outcome came: {answer:?}"),
            () = until("an outcome to be lost", || hubs.faults().count(Fault::Silence) == 1) => {}
        }
        assert!(tokio::time::timeout(Duration::from_millis(300), sent).await.is_err());
        let sender = producer(&hubs).await;
        soon("sending", sender.send_event("a", to_partition_0())).await.unwrap();
        assert_eq!(stored(&hubs), ["a", "a"]);
        assert_eq!(hubs.faults().count(Fault::Silence), 1);
    });
}

/// What the producer does after a cut: it is up to it to be rebuilt.
async fn send_through(hubs: &Hubs, body: &'static str) {
    for _ in 0..5 {
        let sender: ProducerClient = producer(hubs).await;
        let sent = tokio::time::timeout(SOON / 4, sender.send_event(body, to_partition_0())).await;
        if matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
    panic!("{body} was not sent");
}

#[test]
fn a_restart_keeps_what_was_stored() {
    anew(async || {
        let hubs = server().await;
        send_through(&hubs, "before").await;
        let port = hubs.port();
        hubs.stop();
        let opened = azure_messaging_eventhubs::ConsumerClient::builder()
            .with_custom_endpoint(hubs.endpoint())
            .open(hubs.host(), "h".to_owned(), std::sync::Arc::new(crate::hubs::client::Word("w")));
        assert!(soon("opening", opened).await.is_err());
        hubs.resume().await.unwrap();
        assert_eq!(hubs.port(), port);
        send_through(&hubs, "after").await;
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        // What was sent again for want of an outcome is there more than once.
        let mut all = bodies(&take(&reader, stored(&hubs).len()).await.unwrap());
        all.dedup();
        assert_eq!(all, ["before", "after"]);
    });
}

#[test]
fn a_hub_made_again_counts_from_the_start() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 3);
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        take(&reader, 3).await.unwrap();
        hubs.delete("h").unwrap();
        let error = take(&reader, 1).await.unwrap_err();
        assert!(chain(&error).contains("NotFound"), "{}", chain(&error));
        hubs.create("h", 1, &[]).unwrap();
        assert_eq!(hubs.publish("h", "0", "new").unwrap(), 0);
        // A checkpoint of the life before is past the end.
        let client = consumer(&hubs).await;
        let late = receiver(&client, "0", from(StartLocation::SequenceNumber(2), false)).await;
        let error = take(&late, 1).await.unwrap_err();
        assert!(chain(&error).contains("The supplied sequence number '2' is invalid"), "{}", chain(&error));
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        assert_eq!(bodies(&take(&reader, 1).await.unwrap()), ["new"]);
    });
}

#[test]
fn a_frozen_socket_thaws() {
    anew(async || {
        let hubs = server().await;
        fill(&hubs, 1);
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
        take(&reader, 1).await.unwrap();
        assert_eq!(hubs.faults().freeze(), 1);
        fill(&hubs, 1);
        nothing(&reader).await;
        hubs.faults().thaw();
        assert_eq!(take(&reader, 1).await.unwrap()[0].sequence_number(), Some(1));
    });
}

#[test]
fn a_refused_connection_is_an_error_at_once() {
    anew(async || {
        let hubs = server().await;
        hubs.faults().refuse_connections(1);
        let opened = azure_messaging_eventhubs::ConsumerClient::builder()
            .with_custom_endpoint(hubs.endpoint())
            .open(hubs.host(), "h".to_owned(), std::sync::Arc::new(crate::hubs::client::Word("w")));
        assert!(soon("opening", opened).await.is_err());
        assert_eq!(hubs.faults().count(Fault::Refuse), 1);
        consumer(&hubs).await;
    });
}

#[test]
fn a_silent_client_is_cut_off_and_a_quiet_one_is_not() {
    anew(async || unhurried(is_quiet_then_silent).await);
}

/// Whether the client could show its signs of life in time.
async fn is_quiet_then_silent(idle: Duration) -> Option<()> {
    let hubs = server_with(Options { idle, ..Options::default() }).await;
    let client = consumer(&hubs).await;
    fill(&hubs, 1);
    let reader = receiver(&client, "0", from(StartLocation::Earliest, false)).await;
    take(&reader, 1).await.ok()?;
    // Longer than silence is borne. Its heartbeats come after exactly its time.
    tokio::time::sleep(idle * 5 / 2).await;
    fill(&hubs, 1);
    let events = take(&reader, 1).await.ok()?;
    if hubs.attached().iter().filter(|link| link.role == Role::Reads).count() > 1 {
        return None;
    }
    assert_eq!(events[0].sequence_number(), Some(1));
    hubs.faults().freeze();
    until("the link to go", || hubs.links().iter().all(|link| link.role != Role::Reads)).await;
    Some(())
}

/// What the client does with a send that is under way when its socket goes is its own affair: it has been seen
/// to wait for ever. A client made anew goes on.
#[test]
fn a_send_under_way_at_a_cut_is_sent_anew() {
    anew(async || {
        let hubs = server().await;
        let sender = producer(&hubs).await;
        soon("sending", sender.send_event("a", to_partition_0())).await.unwrap();
        hubs.faults().stall_sends("h");
        let mut send = std::pin::pin!(async {
            let _ = sender.send_event("b", to_partition_0()).await;
            sender.send_event("c", to_partition_0()).await
        });
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut send).await.is_err());
        assert_eq!(hubs.faults().drop_sockets(), 1);
        hubs.faults().resume_sends("h");
        let ended = tokio::time::timeout(Duration::from_secs(5), send).await;
        eprintln!("the sends under way: {:?}", ended.map(|sent| sent.map_err(|error| error.to_string())));
        send_through(&hubs, "d").await;
        assert_eq!(stored(&hubs).last().map(String::as_str), Some("d"));
    });
}
