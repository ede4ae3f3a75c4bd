//! The Rust client, wrapped the way it has to be: with a time-out around everything that may never end, and
//! made anew after one.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Once};
use std::time::Duration;

use agentrail::simulate::hubs::{Hubs, Options};
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use azure_messaging_eventhubs::models::ReceivedEventData;
use azure_messaging_eventhubs::{
    ConsumerClient, EventReceiver, OpenReceiverOptions, ProducerClient, StartLocation, StartPosition,
};
use futures::StreamExt;

/// Longer than anything takes that ends at all, on a busy machine too.
pub const SOON: Duration = Duration::from_secs(30);

const TRIES: usize = 3;

/// What unwinds a test that waits for something that does not come.
struct Stuck(String);

/// Runs a test on one thread, where the client is least likely to lose an outcome. Where it has, and waits
/// for ever, the test begins anew with a server and clients of its own; a server at fault is so each time.
pub fn anew(test: impl AsyncFn()) {
    run(tokio::runtime::Builder::new_current_thread, test);
}

pub fn anew_on_threads(count: usize, test: impl AsyncFn()) {
    let threads = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(count);
        builder
    };
    run(threads, test);
}

fn run(runtime: impl Fn() -> tokio::runtime::Builder, test: impl AsyncFn()) {
    for tried in 1..=TRIES {
        let runtime = runtime().enable_all().build().unwrap();
        let Err(reason) = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test()))) else { return };
        match reason.downcast_ref::<Stuck>() {
            Some(Stuck(what)) => {
                assert!(tried < TRIES, "{what}, {tried} times");
                eprintln!("{what}: begun anew");
            }
            None => resume_unwind(reason),
        }
    }
}

/// Ends this try of a test, for [`anew`] to begin another.
pub fn stuck(what: String) -> ! {
    // Not a panic: nothing is to be told before the last try.
    resume_unwind(Box::new(Stuck(what)))
}

/// Does what is a race against the clock with more and more time, until it was fast enough.
pub async fn unhurried(mut attempt: impl AsyncFnMut(Duration) -> Option<()>) {
    for seconds in [1, 4, 16] {
        if attempt(Duration::from_secs(seconds)).await.is_some() {
            return;
        }
    }
    stuck("the machine is too slow".to_owned());
}

/// What must be done once in a process before TLS is touched, and makes logs visible on demand.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // With two providers compiled in, the client panics unless one is chosen; whoever was first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
    });
}

/// A server with one hub `h` of two partitions and a group `g`.
pub async fn server() -> Hubs {
    server_with(Options::default()).await
}

pub async fn server_with(options: Options) -> Hubs {
    prepare();
    let hubs = Hubs::start(options).await.unwrap();
    hubs.create("h", 2, &["g"]).unwrap();
    hubs
}

/// The output of `future`, which must come soon.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(output) => output,
        Err(_) => stuck(format!("{what} did not end")),
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[derive(Debug)]
pub struct Word(pub &'static str);

#[async_trait::async_trait]
impl TokenCredential for Word {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let ends = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        Ok(AccessToken::new(self.0, ends))
    }
}

pub async fn consumer(hubs: &Hubs) -> ConsumerClient {
    let opened = ConsumerClient::builder().with_custom_endpoint(hubs.endpoint()).open(
        hubs.host(),
        "h".to_owned(),
        Arc::new(Word("a word")),
    );
    soon("opening a consumer", opened).await.unwrap()
}

pub async fn producer(hubs: &Hubs) -> ProducerClient {
    let opened = ProducerClient::builder().with_custom_endpoint(hubs.endpoint()).open(
        hubs.host(),
        "h",
        Arc::new(Word("a word")),
    );
    soon("opening a producer", opened).await.unwrap()
}

pub fn from(location: StartLocation, inclusive: bool) -> OpenReceiverOptions {
    OpenReceiverOptions {
        start_position: Some(StartPosition { location, inclusive }),
        prefetch: Some(100),
        ..Default::default()
    }
}

pub async fn receiver(
    consumer: &ConsumerClient,
    partition: &str,
    options: OpenReceiverOptions,
) -> EventReceiver {
    let opened = consumer.open_receiver_on_partition(partition.to_owned(), Some(options));
    soon("opening a receiver", opened).await.unwrap()
}

/// The next `count` events, or the error that came before them.
pub async fn take(receiver: &EventReceiver, count: usize) -> azure_core::Result<Vec<ReceivedEventData>> {
    let mut events = Vec::new();
    let mut stream = pin!(receiver.stream_events());
    while events.len() < count {
        match soon("an event", stream.next()).await {
            Some(Ok(event)) => events.push(event),
            // Its session may hold the link still that it has been told is detached.
            Some(Err(error)) if chain(&error).contains("not unique") => stuck(error.to_string()),
            Some(Err(error)) => {
                return Err(azure_core::Error::new(azure_core::error::ErrorKind::Other, error));
            }
            None => panic!("the stream ended after {} events", events.len()),
        }
    }
    Ok(events)
}

/// Nothing comes for a while.
pub async fn nothing(receiver: &EventReceiver) {
    let mut stream = pin!(receiver.stream_events());
    let next = tokio::time::timeout(Duration::from_millis(400), stream.next()).await;
    assert!(next.is_err(), "something came: {:?}", next.map(|event| event.map(|e| e.map(|e| body(&e)))));
}

pub fn body(event: &ReceivedEventData) -> String {
    String::from_utf8(event.event_data().body().unwrap().to_vec()).unwrap()
}

pub fn bodies(events: &[ReceivedEventData]) -> Vec<String> {
    events.iter().map(body).collect()
}

/// An error with all that is behind it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(next) = source {
        text += &format!(" <- {next} {next:?}");
        source = next.source();
    }
    text
}
