//! `demo`: a day of a simulated organisation through the real sources, then what one asks of it.

mod hub;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use super::{Failure, ask, ingest, open, pipeline_settings, service, session};
use crate::cli::{Demo, Detect};
use crate::model::Time;
use crate::pipeline::Pipeline;
use crate::query::{Format, render, write};
use crate::settings::Settings;
use crate::simulate::{Plan, Spelling, World, export_csv, page};
use crate::source::webhook;

/// The reports shown, of those that ask for nothing.
const SHOWN: [&str; 3] = ["agents_replaced", "grades", "build_identity_alarms"];
/// The detection shown.
const DETECTED: &str = "agent_replaced";

/// Builds the lake, then traces and reports.
pub(super) async fn run(demo: Demo, mut settings: Settings) -> Result<u8, Failure> {
    let folder = match demo.keep {
        Some(folder) => folder,
        None => fresh_folder()?,
    };
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::says(format!(
            "make the demo's lake in `{}`: the folder is not empty; name a new one with --keep",
            folder.display()
        )));
    }
    settings.lake.path.clone_from(&folder);
    settings.lake.retention_days = 0;
    let world = World::build(&Plan::demo());
    let lake = open(&settings).await?;
    say(&format!(
        "A day of the simulated organisation `contoso`, into the lake {}\n\
         At noon somebody with a stolen token put a machine of their own in the place of an agent.\n",
        folder.display()
    ))?;

    let recording = folder.join("_recording");
    let files = record(&world, &recording)?;
    let (facts, _, failed) = ingest::once(&lake, &settings, &files[..1], false, false).await?;
    stop_if(failed)?;
    say(&format!("  files    {} records of recorded REST traffic\n", facts.records))?;

    let pipeline = Pipeline::start(lake.clone(), pipeline_settings(&settings));
    settings.webhook.listen = "127.0.0.1:0".to_owned();
    settings.webhook.hec_tokens = vec!["demo-token".to_owned()];
    let checked = service::webhook_settings(&settings.webhook)?;
    let fail = |e| Failure::of("start the webhook for the demo", e);
    let listener = webhook::bind(&checked).await.map_err(fail)?;
    let address = listener.local_addr().map_err(|e| Failure::of("find the port of the demo's webhook", e))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(webhook::serve_on(listener, checked, pipeline.push.clone(), async {
        let _ = stopped.await;
    }));
    let (half, until) = parts(&world);
    let hooks: Vec<String> = world.hooks().to_vec();
    let hec: Vec<String> = world.events()[..half].chunks(20).map(hec_body).collect();
    let sent = (hooks.len(), half);
    let posted = tokio::task::spawn_blocking(move || {
        hooks.iter().try_for_each(|body| post(address, "/hooks", "", body))?;
        hec.iter().try_for_each(|body| {
            post(address, "/services/collector", "Authorization: Splunk demo-token\r\n", body)
        })
    });
    posted.await.map_err(|e| Failure::of("send to the demo's webhook", e))??;
    let _ = stop.send(());
    server.await.map_err(|e| Failure::of("stop the demo's webhook", e))?.map_err(fail)?;
    pipeline.finish().await;
    say(&format!(
        "  webhook  {} service hooks and {} audit events in Splunk's form, each durable before its 200\n",
        sent.0, sent.1
    ))?;

    hub::read(&lake, &settings, &world.events()[half..until]).await?;
    say(&format!(
        "  hub      {} audit events in Event Grid's form, from four partitions of Event Hubs\n",
        until - half
    ))?;

    let (events, _, failed) = ingest::once(&lake, &settings, &files[1..], false, false).await?;
    stop_if(failed)?;
    say(&format!("  files    {} more audit events as a REST page and a CSV export\n\n", events.events))?;

    let session = session(&lake, &settings)?;
    say(&format!("Who did this? $ agentrail trace {}\n", world.highlight()))?;
    let trace = session
        .trace(world.highlight(), 1)
        .await
        .map_err(|e| Failure::of("trace an action of the demo", e))?;
    say(&render(&trace, std::io::IsTerminal::is_terminal(&std::io::stdout())))?;
    for name in SHOWN {
        say(&format!("\n$ agentrail report {name}\n"))?;
        let fail = |e| Failure::of(format!("show the report `{name}`"), e);
        let answer = session.report(name, &[]).await.map_err(fail)?;
        let mut text = Vec::new();
        write(answer, Format::Table, &mut text)
            .await
            .map_err(|e| Failure::of(format!("show the report `{name}`"), e))?;
        ask::print(&text)?;
    }
    let since = world.events().first().map_or(Time(0), |event| event.occurred).date().start();
    say(&format!("\n$ agentrail detect {DETECTED} --since {}\n", since.date()))?;
    let asked = Detect {
        names: vec![DETECTED.to_owned()],
        since,
        until: None,
        params: Vec::new(),
        dry_run: false,
        format: crate::cli::Format::Table,
    };
    super::detect::run(asked, &settings).await?;
    let lake = folder.display();
    say(&format!(
        "\nTry next:\n  \
         agentrail --lake {lake} trace linux-build-01\n  \
         agentrail --lake {lake} report identity_actions --param identity=deployer\n  \
         agentrail --lake {lake} detect --since {}\n  \
         agentrail --lake {lake} sql \"select action, executor, grade, agent_name from actions limit 10\"\n  \
         agentrail --lake my-lake ingest exports/*.json\n\
         (from a checkout: cargo run -- --lake {lake} trace linux-build-01)\n",
        since.date()
    ))?;
    Ok(0)
}

fn say(text: &str) -> Result<(), Failure> {
    ask::print(text.as_bytes()).map(|_| ())
}

fn stop_if(failed: Vec<String>) -> Result<(), Failure> {
    failed.into_iter().next().map_or(Ok(()), |says| Err(Failure::says(says)))
}

fn fresh_folder() -> Result<PathBuf, Failure> {
    let number =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let folder = std::env::temp_dir().join(format!("agentrail-demo-{number}"));
    std::fs::create_dir_all(&folder)
        .map_err(|e| Failure::of(format!("make the folder `{}`", folder.display()), e))?;
    Ok(folder)
}

/// Where the audit events divide: those of the webhook, of the hub, of files.
fn parts(world: &World) -> (usize, usize) {
    let all = world.events().len();
    (all / 2, all * 3 / 4)
}

/// Writes what goes in as files: the REST traffic first, then the last quarter of the audit events.
fn record(world: &World, folder: &std::path::Path) -> Result<Vec<String>, Failure> {
    let events = world.events();
    let (_, most) = parts(world);
    let rest = most + (events.len() - most) / 2;
    let fail = |e| Failure::of(format!("write the recording to `{}`", folder.display()), e);
    std::fs::create_dir_all(folder).map_err(fail)?;
    let parts: [(&str, Vec<u8>); 3] = [
        (
            "rest-traffic.ndjson",
            world.captures().iter().flat_map(|l| [l.as_bytes(), b"\n"].concat()).collect(),
        ),
        ("audit-page.json", page(&events[most..rest])),
        ("audit-export.csv", export_csv(&events[rest..])),
    ];
    parts
        .into_iter()
        .map(|(name, bytes)| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(fail)?;
            Ok(path.display().to_string())
        })
        .collect()
}

fn hec_body(events: &[crate::simulate::SimEvent]) -> String {
    let mut body = String::new();
    for event in events {
        let mut record = Vec::new();
        event.write(Spelling::Export, &mut record);
        body.push_str(&format!("{{\"event\":{}}}", String::from_utf8_lossy(&record)));
    }
    body
}

/// A plain HTTP exchange: anything but a 200 fails.
fn post(address: std::net::SocketAddr, path: &str, headers: &str, body: &str) -> Result<(), Failure> {
    let fail = |e: std::io::Error| Failure::of(format!("send to {path} of the demo's webhook"), e);
    let mut stream = std::net::TcpStream::connect(address).map_err(fail)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(fail)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(fail)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(fail)?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(());
    }
    Err(Failure::says(format!(
        "send to {path} of the demo's webhook: it answered {}",
        answer.lines().next().unwrap_or_default()
    )))
}
