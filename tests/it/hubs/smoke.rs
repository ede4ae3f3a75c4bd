//! What works when nothing goes wrong.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentrail::simulate::hubs::{Node, Options, Role};
use azure_messaging_eventhubs::models::EventData;
use azure_messaging_eventhubs::{
    ConsumerClient, EventDataBatchOptions, ProducerClient, SendEventOptions, StartLocation,
};

use crate::hubs::client::{
    Word, anew, bodies, chain, consumer, from, nothing, producer, receiver, server, server_with, soon, take,
    until,
};

#[test]
fn properties_are_read() {
    anew(async || {
        let hubs = server().await;
        let consumer = consumer(&hubs).await;
        let read = soon("hub properties", consumer.get_eventhub_properties()).await;
        let read = read.unwrap_or_else(|error| panic!("{error}, after {:?}", hubs.tokens()));
        assert_eq!((read.name.as_str(), read.partition_ids), ("h", vec!["0".to_owned(), "1".to_owned()]));
        let empty = soon("partition properties", consumer.get_partition_properties("1")).await.unwrap();
        assert!(empty.is_empty);
        assert_eq!((empty.last_enqueued_sequence_number, empty.last_enqueued_offset.as_str()), (-1, "-1"));
        hubs.publish("h", "1", "a").unwrap();
        hubs.publish("h", "1", "b").unwrap();
        let full = soon("partition properties", consumer.get_partition_properties("1")).await.unwrap();
        assert!(!full.is_empty);
        assert_eq!((full.beginning_sequence_number, full.last_enqueued_sequence_number), (0, 1));
        assert_eq!(full.last_enqueued_offset, "57");
        let missing = soon("missing partition", consumer.get_partition_properties("9")).await;
        assert!(missing.is_err());
    });
}

#[test]
fn what_is_sent_is_received() {
    anew(async || {
        let hubs = server().await;
        let producer = producer(&hubs).await;
        let to = |partition: &str| Some(SendEventOptions { partition_id: Some(partition.to_owned()) });
        for n in 0..5 {
            let event = EventData::builder()
                .with_body(format!("event {n}").into_bytes())
                .add_property("n".to_owned(), n as i64)
                .with_content_type("text/plain".to_owned())
                .with_message_id(format!("id-{n}"))
                .build();
            soon("sending", producer.send_event(event, to("0"))).await.unwrap();
        }
        let consumer = consumer(&hubs).await;
        let receiver = receiver(&consumer, "0", from(StartLocation::Earliest, false)).await;
        let events = take(&receiver, 5).await.unwrap();
        assert_eq!(bodies(&events), ["event 0", "event 1", "event 2", "event 3", "event 4"]);
        let numbers: Vec<_> = events.iter().map(|e| e.sequence_number().unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!(events[1].offset().as_deref(), Some("63"));
        assert!(events[0].enqueued_time().unwrap() <= SystemTime::now());
        let data = events[3].event_data();
        assert_eq!(data.properties().unwrap().len(), 1);
        assert_eq!(data.content_type(), Some("text/plain"));
        hubs.publish("h", "0", "late").unwrap();
        assert_eq!(bodies(&take(&receiver, 1).await.unwrap()), ["late"]);
    });
}

#[test]
fn batches_keep_together_by_key() {
    anew(async || {
        let hubs = server().await;
        let producer = producer(&hubs).await;
        for key in ["a", "b", "c", "d"] {
            let options = EventDataBatchOptions { partition_key: Some(key.to_owned()), ..Default::default() };
            let batch = soon("a batch", producer.create_batch(Some(options))).await.unwrap();
            for n in 0..10 {
                assert!(batch.try_add_event_data(format!("{key}{n}"), None).unwrap());
            }
            soon("sending a batch", producer.send_batch(batch, None)).await.unwrap();
        }
        let counts: Vec<_> = ["0", "1"].map(|p| hubs.events("h", p).unwrap().len()).to_vec();
        assert_eq!(counts.iter().sum::<usize>(), 40);
        let consumer = consumer(&hubs).await;
        for (partition, count) in ["0", "1"].into_iter().zip(counts) {
            let receiver = receiver(&consumer, partition, from(StartLocation::Earliest, false)).await;
            let events = take(&receiver, count).await.unwrap();
            for pair in events.windows(2) {
                assert_eq!(pair[0].sequence_number().unwrap() + 1, pair[1].sequence_number().unwrap());
            }
            for ten in events.chunks(10) {
                let key = ten[0].partition_key().clone().unwrap();
                assert!(ten.iter().all(|e| e.partition_key().as_ref() == Some(&key)), "{key}");
                assert!(bodies(ten)[0].starts_with(&key));
            }
        }
    });
}

#[test]
fn readers_start_where_they_asked() {
    anew(async || {
        let hubs = server().await;
        for n in 0..6 {
            hubs.publish("h", "0", format!("{n}")).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let kept = hubs.events("h", "0").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(kept[3].enqueued as u64);
        let given = [
            (from(StartLocation::Earliest, false), 0),
            (from(StartLocation::Offset(kept[2].offset.to_string()), false), 3),
            (from(StartLocation::Offset(kept[2].offset.to_string()), true), 2),
            (from(StartLocation::SequenceNumber(3), false), 4),
            (from(StartLocation::SequenceNumber(3), true), 3),
            (from(StartLocation::EnqueuedTime(time), false), 4),
        ];
        for (options, first) in given {
            let consumer = consumer(&hubs).await;
            let what = format!("{options:?}");
            let receiver = receiver(&consumer, "0", options).await;
            let expected: Vec<String> = (first..6).map(|n: usize| n.to_string()).collect();
            let events = take(&receiver, expected.len()).await.unwrap();
            assert_eq!(bodies(&events), expected, "{what}");
        }
        let consumer = consumer(&hubs).await;
        let receiver = receiver(&consumer, "0", from(StartLocation::Latest, false)).await;
        nothing(&receiver).await;
        hubs.publish("h", "0", "new").unwrap();
        assert_eq!(bodies(&take(&receiver, 1).await.unwrap()), ["new"]);
    });
}

#[test]
fn what_is_missing_is_named() {
    anew(async || {
        let hubs = server().await;
        let opened = ConsumerClient::builder()
            .with_custom_endpoint(hubs.endpoint())
            .with_consumer_group("nobody".to_owned())
            .open(hubs.host(), "h".to_owned(), Arc::new(Word("a word")));
        let strangers = soon("opening", opened).await.unwrap();
        let reader = receiver(&strangers, "0", from(StartLocation::Earliest, false)).await;
        let error = chain(&take(&reader, 1).await.unwrap_err());
        assert!(error.contains("NotFound") && error.contains("nobody"), "{error}");
        let client = consumer(&hubs).await;
        let reader = receiver(&client, "7", from(StartLocation::Earliest, false)).await;
        let error = chain(&take(&reader, 1).await.unwrap_err());
        assert!(error.contains("between 0 and 1"), "{error}");
        let opened = ProducerClient::builder().with_custom_endpoint(hubs.endpoint()).open(
            hubs.host(),
            "elsewhere",
            Arc::new(Word("a word")),
        );
        let producer = soon("opening", opened).await.unwrap();
        let error = chain(&soon("sending", producer.send_event("x", None)).await.unwrap_err());
        assert!(error.contains("NotFound") && error.contains("elsewhere"), "{error}");
    });
}

#[test]
fn retention_lets_go_of_the_oldest() {
    anew(async || {
        let hubs = server().await;
        for n in 0..5 {
            hubs.publish_at("h", "0", format!("{n}"), 1000 * n).unwrap();
        }
        hubs.retire("h", "0", 3).unwrap();
        let client = consumer(&hubs).await;
        let read = soon("properties", client.get_partition_properties("0")).await.unwrap();
        assert_eq!((read.beginning_sequence_number, read.last_enqueued_sequence_number), (3, 4));
        // A checkpoint that is too old starts with what is left, and nobody says so.
        let reader = receiver(&client, "0", from(StartLocation::SequenceNumber(0), false)).await;
        let events = take(&reader, 2).await.unwrap();
        assert_eq!(bodies(&events), ["3", "4"]);
        assert_eq!(events[1].enqueued_time(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(4)));
        hubs.retire("h", "0", 5).unwrap();
        let read = soon("properties", client.get_partition_properties("0")).await.unwrap();
        assert_eq!((read.is_empty, read.beginning_sequence_number), (true, 4));
    });
}

#[test]
fn tokens_and_links_are_recorded() {
    anew(async || {
        let hubs = server().await;
        hubs.publish("h", "1", "x").unwrap();
        let opened = ConsumerClient::builder()
            .with_custom_endpoint(hubs.endpoint())
            .with_consumer_group("g".to_owned())
            .open(hubs.host(), "h".to_owned(), Arc::new(Word("the token")));
        let consumer = soon("opening", opened).await.unwrap();
        let mut options = from(StartLocation::Earliest, false);
        options.owner_level = Some(7);
        let receiver = receiver(&consumer, "1", options).await;
        take(&receiver, 1).await.unwrap();
        let tokens = hubs.tokens();
        assert!(tokens.iter().all(|t| t.text == "the token" && t.kind == "jwt" && t.accepted), "{tokens:?}");
        let link = hubs.links().into_iter().find(|link| link.role == Role::Reads).unwrap();
        let node = Node::Outlet { hub: "h".to_owned(), group: "g".to_owned(), partition: "1".to_owned() };
        assert_eq!((link.node, link.level), (node, Some(7)));
        assert_eq!(link.filter.as_deref(), Some("amqp.annotation.x-opt-offset > '-1'"));
        assert_eq!(hubs.owner_level("h", "g", "1").unwrap(), Some(7));
        soon("closing the receiver", receiver.close()).await.unwrap();
        until("the link to go", || hubs.links().iter().all(|link| link.role != Role::Reads)).await;
        assert_eq!(hubs.owner_level("h", "g", "1").unwrap(), None);
    });
}

#[test]
fn shared_access_is_checked() {
    anew(async || {
        let hubs = server().await;
        hubs.publish("h", "0", "x").unwrap();
        let text = hubs.connection_string();
        let opened = ProducerClient::builder()
            .with_custom_endpoint(hubs.endpoint())
            .open_with_connection_string(&text, Some("h"));
        let producer = soon("opening", opened).await.unwrap();
        soon("sending", producer.send_event("signed", None)).await.unwrap();
        assert!(hubs.tokens().iter().all(|t| t.kind == "servicebus.windows.net:sastoken" && t.accepted));
        let forged = text.replace("SAS_KEY_VALUE", "another");
        let opened = ConsumerClient::builder()
            .with_custom_endpoint(hubs.endpoint())
            .open_with_connection_string(&forged, Some("h"));
        let consumer = soon("opening", opened).await.unwrap();
        let refused = soon("reading", consumer.get_eventhub_properties()).await;
        assert!(refused.is_err());
        assert!(hubs.tokens().iter().any(|t| !t.accepted));
    });
}

#[test]
fn events_wait_for_their_outcome_on_request() {
    anew(async || {
        let hubs = server_with(Options { settled: false, ..Options::default() }).await;
        for n in 0..3000 {
            hubs.publish("h", "0", format!("{n}")).unwrap();
        }
        let consumer = consumer(&hubs).await;
        let receiver = receiver(&consumer, "0", from(StartLocation::Earliest, false)).await;
        assert_eq!(take(&receiver, 3000).await.unwrap().len(), 3000);
    });
}
