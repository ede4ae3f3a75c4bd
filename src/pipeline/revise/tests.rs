//! Cases of the second look: what is looked at, and what need not be.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::attribute::{Engine, Tolerance};
use crate::decode::{Delivery, Limits, decode};
use crate::pipeline::Pipeline;
use crate::pipeline::prepare::now;
use crate::pipeline::rows::RowSet;
use crate::source::Payload;

const ORG: &str = "5b000000-0000-4000-8000-0000000000c0";
const SHOP: &str = "5b000000-0000-4000-8000-000000000001";

fn event() -> String {
    format!(
        r#"{{"Id":"a1000000-0000-4000-8000-000000000001","ActionId":"Git.RepositoryCreated","Timestamp":"2026-03-05T10:05:00Z","ScopeId":"{ORG}","ScopeDisplayName":"contoso (Organization)","ProjectId":"{SHOP}","ProjectName":"shop","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"shop Build Service (contoso)","AuthenticationMechanism":"SessionToken_Unscoped","Data":{{}}}}"#
    )
}

fn job() -> String {
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/jobrequests","observed":"2026-03-05T23:00:00Z","status":200,"body":{{"value":[{{"requestId":2,"assignTime":"2026-03-05T10:00:00Z","receiveTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:10:00Z","result":"succeeded","hostId":"{ORG}","scopeId":"{SHOP}","planType":"Build","planId":"3d000000-0000-4000-8000-000000000002","jobId":"7f000000-0000-4000-8000-000000000001","poolId":11,"owner":{{"id":2,"name":"n.2"}},"reservedAgent":{{"id":2,"name":"builder"}}}}]}}}}"#
    )
}

fn settings() -> Settings {
    Settings {
        linger: std::time::Duration::ZERO,
        max_bytes: 1 << 20,
        limits: Limits::default(),
        tolerance: Tolerance::default(),
        retention: None,
        organization: None,
        max_jobs: 1000,
        max_news: 1000,
    }
}

async fn lake(folder: &tempfile::TempDir) -> Arc<Lake> {
    let settings = crate::store::Settings { free_floor_bytes: 0, ..crate::store::Settings::default() };
    Arc::new(Lake::open(&folder.path().join("lake"), settings).await.unwrap())
}

async fn give(intake: &mpsc::Sender<Payload>, text: &str) {
    let (done, outcome) = oneshot::channel();
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let (source, observed) = ("test".to_owned(), now());
    let payload = Payload { bytes, source, url: None, observed, about: None, position: None, done };
    intake.send(payload).await.unwrap();
    assert!(matches!(outcome.await.unwrap(), crate::source::Outcome::Committed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_given_with_what_its_own_lane_told_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let pipeline = Pipeline::start(lake.clone(), settings());
    give(&pipeline.bulk, &job()).await;
    give(&pipeline.bulk, &event()).await;
    pipeline.finish().await;
    let mut reviser = Reviser::take(lake.clone(), settings()).unwrap().unwrap();
    assert_eq!(reviser.pass().await.unwrap().looked_at, 0);
    // In any other order it is, and by whomever.
    let later = tempfile::tempdir().unwrap();
    let lake = self::lake(&later).await;
    let pipeline = Pipeline::start(lake.clone(), settings());
    give(&pipeline.bulk, &event()).await;
    give(&pipeline.push, &job()).await;
    pipeline.finish().await;
    let mut reviser = Reviser::take(lake.clone(), settings()).unwrap().unwrap();
    let revised = reviser.pass().await.unwrap();
    assert_eq!((revised.looked_at, revised.changed), (1, 1));
    assert_eq!(reviser.pass().await.unwrap().looked_at, 0, "once is enough");
}

/// Whoever decides may be slow: what it did not know may be committed, and looked at, before its
/// verdict is.
#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_comes_late_is_looked_at_with_what_was_looked_at_before() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let decided = now();
    let pipeline = Pipeline::start(lake.clone(), settings());
    give(&pipeline.push, &job()).await;
    pipeline.finish().await;
    let mut reviser = Reviser::take(lake.clone(), settings()).unwrap().unwrap();
    assert_eq!(reviser.pass().await.unwrap().looked_at, 0);

    let text = event();
    let delivery = Delivery { observed: decided, url: None, organization: None, limits: Limits::default() };
    let decoded = decode(text.as_bytes(), &delivery);
    let verdict = Engine::new(Tolerance::default()).decide(&decoded.events[0]);
    let mut rows = RowSet::default();
    rows.event(&decoded.events[0], &verdict, decided);
    lake.commit(&Writer::new(), rows.finish(Vec::new())).await.unwrap();
    let revised = reviser.pass().await.unwrap();
    assert_eq!((revised.looked_at, revised.changed), (1, 1));
    assert_eq!(revised.changes[0].agent.as_deref(), None, "one candidate, until the pools were heard");
    assert_eq!(reviser.pass().await.unwrap().looked_at, 0);
}

/// A lane that forgot what it learnt goes on under another name, so that what it told before counts
/// as told by somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_forgot_is_looked_after() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let pipeline = Pipeline::start(lake.clone(), Settings { max_jobs: 0, ..settings() });
    give(&pipeline.bulk, &job()).await;
    give(&pipeline.bulk, &event()).await;
    pipeline.finish().await;
    let writers = |table: &'static str| {
        let set = lake.files(table);
        let (column, _) = set.table.column("writer").unwrap();
        set.files[0].ranges.iter().find(|r| r.column == column).unwrap().min.clone()
    };
    assert_ne!(writers("facts"), writers("events"));
    let mut reviser = Reviser::take(lake.clone(), settings()).unwrap().unwrap();
    let revised = reviser.pass().await.unwrap();
    assert_eq!((revised.looked_at, revised.changed), (1, 0), "what the lake had was brought back");
}

/// What could not be read when an event was decided is no reason to refuse it, and not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn days_that_could_not_be_read_are_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let pipeline = Pipeline::start(lake.clone(), settings());
    give(&pipeline.push, &job()).await;
    pipeline.finish().await;
    let facts = lake.files("facts").files[0].path.clone();
    let path = folder.path().join("lake/facts").join(&facts);
    let away = folder.path().join("away");
    std::fs::rename(&path, &away).unwrap();

    let pipeline = Pipeline::start(lake.clone(), settings());
    assert!(Unread::of(&lake).is_none());
    give(&pipeline.push, &event()).await;
    assert!(Unread::of(&lake).is_some());
    let mut reviser = Reviser::take(lake.clone(), settings()).unwrap().unwrap();
    assert!(reviser.pass().await.is_err());
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(reviser.pass().await.unwrap().changed, 1);
    assert!(Unread::of(&lake).is_some(), "until all that was decided then is committed");
    pipeline.finish().await;
}

/// A day told in a bad order, a commit each: events first and last, registrations and listings after what
/// they explain.
fn day() -> Vec<String> {
    let mut all = Vec::new();
    for n in 1..=6_u32 {
        let (id, minute) = (format!("00000000000{n}\""), format!("T10:0{n}:00Z"));
        let one = event().replace("000000000001\",\"ActionId", &format!("{id},\"ActionId"));
        all.push(one.replace("T10:05:00Z", &minute));
        if n % 3 == 0 {
            let (from, until) = (format!("T10:0{}:30Z", n - 3), format!("T10:0{}:30Z", n - 1));
            let job = job().replace("T10:00:00Z", &from).replace("T10:10:00Z", &until);
            let job = job.replace(r#""requestId":2"#, &format!(r#""requestId":{n}"#));
            all.push(job.replace(r#""id":2"#, &format!(r#""id":{n}"#)));
            all.push(format!(
                r#"{{"Id":"a2000000-0000-4000-8000-00000000000{n}","ActionId":"Library.AgentAdded","Timestamp":"2026-03-05T09:00:00Z","ScopeId":"{ORG}","ActorUserId":"ada","ActorDisplayName":"Ada","Data":{{"AgentId":{n},"AgentName":"builder","AgentPoolId":11}}}}"#
            ));
            all.push(format!(
                r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"2026-03-05T2{}:00:00Z","status":200,"body":{{"value":[{{"id":{n},"name":"builder","version":"4","osDescription":"Linux","systemCapabilities":{{"Agent.ComputerName":"vm-{n}"}}}}]}}}}"#,
                n / 3
            ));
        }
    }
    all.push(r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T23:00:00Z","status":200,"body":{"value":[{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}]}}"#.to_owned());
    all.push(r#"{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-04T00:00:00Z","until":"2026-03-05T23:00:00Z"}"#.to_owned());
    all
}

/// Twenty agents of a pool as they were listed on a day, each on the machine of its month; not all of them
/// on every day.
fn listing(day: Date) -> String {
    let agents: Vec<String> = (1..=20)
        .filter(|agent| match agent {
            3 => day < Date::parse("2026-02-01").unwrap(),
            4 => day > Date::parse("2026-03-20").unwrap(),
            _ => true,
        })
        .map(|agent| {
            let machine = format!("vm-{agent}-{}", &day.to_string()[..7]);
            format!(r#"{{"id":{agent},"name":"builder-{agent}","version":"4","osDescription":"Linux","createdOn":"2026-01-01T00:00:00.1234567Z","systemCapabilities":{{"Agent.ComputerName":"{machine}"}}}}"#)
        })
        .collect();
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"{day}T08:00:00Z","status":200,"body":{{"value":[{}]}}}}"#,
        agents.join(",")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn of_agents_seen_every_day_only_what_bears_on_an_event_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(&folder).await;
    let first = Date::parse("2026-01-05").unwrap();
    let mut texts: Vec<String> = (0..100).map(|day| listing(first.plus_days(day))).collect();
    for n in 2..=4 {
        let job = job().replace(r#""requestId":2"#, &format!(r#""requestId":{n}"#));
        texts.push(job.replace(r#""reservedAgent":{"id":2"#, &format!(r#""reservedAgent":{{"id":{n}"#)));
    }
    let pipeline = Pipeline::start(lake.clone(), settings());
    let mut whole = Engine::new(Tolerance::default());
    let delivery = Delivery { observed: now(), url: None, organization: None, limits: Limits::default() };
    for text in &texts {
        give(&pipeline.bulk, text).await;
        decode(text.as_bytes(), &delivery).facts.iter().for_each(|fact| whole.learn(fact));
    }
    pipeline.finish().await;

    let mut attributor = Attributor::new(&settings());
    attributor.tell_of(Date::parse("2026-03-05").unwrap(), &lake).await.unwrap();
    assert!(attributor.engine.held() * 4 < whole.held(), "{} of {}", attributor.engine.held(), whole.held());
    for (n, machine) in [(2, "vm-2-2026-03"), (3, "vm-3-2026-01"), (4, "vm-4-2026-03")] {
        let text = event().replace("Git.RepositoryCreated", "Library.ServiceConnectionExecuted");
        let text = text.replace(r#""Data":{}"#, &format!(r#""Data":{{"RequestId":{n}}}"#));
        let decoded = decode(text.as_bytes(), &delivery);
        let verdict = attributor.engine.decide(&decoded.events[0]);
        assert_eq!(verdict.agent.as_ref().unwrap().machine.as_deref(), Some(machine));
        assert_eq!(verdict, whole.decide(&decoded.events[0]), "agent {n}");
    }
}

async fn verdicts(lake: &Lake) -> String {
    let sql = "select event_id, executor, grade, agent_id, machine, run_id, provisional, missing, identities, candidates, \
        array_length(evidence) from actions order by event_id";
    let batches = news::rows(&session(lake, &[]).unwrap(), sql).await.unwrap();
    datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}

/// Property: however few news a part takes in, and wherever it is cut off, the end is the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_the_same_however_small_the_parts_of_a_look_are() {
    let mut ends = Vec::new();
    for (max_news, crashes) in [(usize::MAX, false), (7, true), (1, true)] {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake(&folder).await;
        let settings = Settings { max_news, ..settings() };
        let pipelines = [
            Pipeline::start(lake.clone(), settings.clone()),
            Pipeline::start(lake.clone(), settings.clone()),
        ];
        for (n, text) in day().iter().enumerate() {
            give(&pipelines[n % 2].push, text).await;
        }
        for pipeline in pipelines {
            pipeline.finish().await;
        }
        let (mut parts, mut more) = (0, true);
        let mut reviser = Reviser::take(lake.clone(), settings.clone()).unwrap().unwrap();
        while more {
            let before = lake.position(PARTITION);
            more = reviser.part(&mut Revised::default()).await.unwrap();
            parts += 1;
            if crashes && parts % 3 != 0 {
                // Another process goes on, every other time from where the crash left no cursor.
                drop(reviser);
                if parts % 3 == 1 {
                    lake.save_position(PARTITION, &before.unwrap_or_default()).await.unwrap();
                    more = true;
                }
                reviser = Reviser::take(lake.clone(), settings.clone()).unwrap().unwrap();
            }
        }
        assert_eq!(reviser.pass().await.unwrap().changed, 0);
        ends.push((max_news, crashes, parts, verdicts(&lake).await));
    }
    let parts: Vec<_> = ends.iter().map(|(_, _, parts, _)| *parts).collect();
    assert!(parts[0] == 1 && parts[1] > 1 && parts[2] > parts[1], "{parts:?}");
    assert!(ends[0].3.contains("sole") && ends[0].3.contains("vm-3"), "{}", ends[0].3);
    for (max_news, crashes, _, end) in &ends {
        assert_eq!(*end, ends[0].3, "{max_news} news a part, crashes {crashes}");
    }
}

/// A record of the audit log about a pool that no list shows.
fn of_pool(number: u8, action: &str, time: &str) -> String {
    format!(
        r#"{{"Id":"a3000000-0000-4000-8000-0000000000{number:02}","ActionId":"Library.{action}","Timestamp":"{time}","ScopeId":"{ORG}","ScopeDisplayName":"contoso (Organization)","ActorUserId":"ada","ActorDisplayName":"Ada","Data":{{"AgentId":7,"AgentName":"hidden-7","AgentPoolId":12,"AgentPoolName":"hidden"}}}}"#
    )
}

/// What counts whenever it was told is known to a process that begins much later, and re-opens what was
/// decided without it.
#[tokio::test(flavor = "multi_thread")]
async fn pools_and_ends_of_long_ago_count_after_a_restart() {
    let pools = r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T23:00:00Z","status":200,"body":{"count":1,"value":[{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}]}}"#;
    let heard = r#"{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-04T00:00:00Z","until":"2026-03-05T23:00:00Z"}"#;
    let facts = [job(), pools.to_owned(), heard.to_owned()];
    let (added, gone) = (
        of_pool(1, "AgentAdded", "2025-11-01T10:00:00Z"),
        of_pool(2, "AgentPoolDeleted", "2026-01-01T10:00:00Z"),
    );
    // Each part is taken in by a process of its own.
    let end = async |parts: &[&[String]]| {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake(&folder).await;
        for part in parts {
            let pipeline = Pipeline::start(lake.clone(), settings());
            for text in *part {
                give(&pipeline.push, text).await;
            }
            pipeline.finish().await;
            Reviser::take(lake.clone(), settings()).unwrap().unwrap().pass().await.unwrap();
        }
        let sql = "select grade from actions where action like 'Git%'";
        let batches = news::rows(&session(&lake, &[]).unwrap(), sql).await.unwrap();
        datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
    };
    let event = [event()];
    let by_name = [&added, &gone].map(|text| text.replace(r#""AgentPoolId":12,"#, ""));
    for [added, gone] in [[added, gone], by_name.clone()] {
        let (added, gone) = ([added], [gone]);
        let hidden = [&added[..], &facts, &event];
        for (parts, grade) in [
            (&hidden[..], "narrowed"),
            (&[&facts[..], &event, &added], "narrowed"),
            (&[&added, &gone, &facts, &event], "sole"),
            (&[&facts, &event, &added, &gone], "sole"),
        ] {
            let end = end(parts).await;
            assert!(end.contains(grade), "{grade} expected of {} parts of {added:?}: {end}", parts.len());
        }
    }
    // Its agent is in a pool that is known: that was called so before.
    let seen = r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"2026-03-06T08:00:00Z","status":200,"body":{"value":[{"id":7,"name":"hidden-7","version":"4","osDescription":"Linux"}]}}"#;
    let renamed = end(&[&facts, &event, &by_name[..1], &[seen.to_owned()]]).await;
    assert!(renamed.contains("sole"), "{renamed}");
}
