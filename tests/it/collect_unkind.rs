//! Days of a simulated organisation, collected over its REST API at its unkindest, in simulated time.
//!
//! Time passes when every loop of the collectors waits for it, so days take seconds, and everything but
//! the clock is what `run` has: its composition, the calls over HTTP, the pipeline and the lake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use agentrail::app;
use agentrail::model::{Ticks, Time};
use agentrail::pipeline::Pipeline;
use agentrail::settings::Settings;
use agentrail::simulate::{Moods, Plan, Spelling, World, serve};
use agentrail::source::clock::Clock;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot, watch};

use crate::lake::Scratch;

/// Loops of the collectors of one organisation: its audit log; agents, jobs, builds, runs and the rest.
const LOOPS: usize = 6;
/// Calls a minute.
const BUDGET: usize = 30;

/// A clock that goes on when all loops sleep, until a moment.
struct Virtual {
    state: Mutex<Sleepers>,
    reached: Notify,
}

struct Sleepers {
    now: Time,
    until: Time,
    next: u64,
    waiting: BTreeMap<(Time, u64), oneshot::Sender<()>>,
}

impl Virtual {
    fn new(now: Time) -> Arc<Virtual> {
        let state = Sleepers { now, until: now, next: 0, waiting: BTreeMap::new() };
        Arc::new(Virtual { state: Mutex::new(state), reached: Notify::new() })
    }

    /// Lets time pass while nobody is there to see it.
    fn set(&self, now: Time) {
        self.state.lock().unwrap().now = now;
    }

    fn until(&self, until: Time) {
        let mut state = self.state.lock().unwrap();
        state.until = until;
        self.pass(&mut state);
    }

    /// Wakes the first of the sleepers once all sleep.
    fn pass(&self, state: &mut Sleepers) {
        // Those that were killed wait for nothing.
        state.waiting.retain(|_, sleeper| !sleeper.is_closed());
        if state.waiting.len() < LOOPS {
            return;
        }
        match state.waiting.pop_first() {
            Some(((at, _), sleeper)) if at <= state.until => {
                state.now = state.now.max(at);
                let _ = sleeper.send(());
            }
            Some((key, sleeper)) => {
                state.waiting.insert(key, sleeper);
                self.reached.notify_one();
            }
            None => {}
        }
    }
}

impl Clock for Virtual {
    fn now(&self) -> Time {
        self.state.lock().unwrap().now
    }

    fn sleep(&self, wait: Ticks) -> BoxFuture<'_, ()> {
        let mut state = self.state.lock().unwrap();
        let (woken, sleeps) = oneshot::channel();
        state.next += 1;
        let key = (state.now + wait.max(Ticks(1)), state.next);
        state.waiting.insert(key, woken);
        self.pass(&mut state);
        drop(state);
        Box::pin(async move { drop(sleeps.await) })
    }
}

/// What happens to the collectors while they run.
enum Fate {
    /// They run until a moment, and are killed while a call is under way.
    KilledAt(Time),
    /// Nothing runs for so long.
    Offline(Ticks),
}

/// An organisation, the service that shows it, and when it was asked for what.
struct Stage {
    plan: Plan,
    world: World,
    clock: Arc<Virtual>,
    endpoint: String,
    asked: Arc<Mutex<Vec<(Time, String)>>>,
    _server: tokio::task::JoinHandle<()>,
}

fn plan(seed: u64, days: usize) -> Plan {
    Plan { runs: 16 * days, days, seed, hasty: true, ..Plan::demo() }
}

/// Hours after the last event: it is late by as much as it may be, and the audit log is looked at once
/// an hour, if that look does not fail.
fn end(plan: &Plan) -> Time {
    plan.day + Ticks::days(plan.days as i64)
}

impl Stage {
    async fn new(plan: Plan) -> Stage {
        let clock = Virtual::new(plan.day - Ticks::seconds(1800));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let moods = Moods {
            seed: plan.seed,
            unkind_one_in: 20,
            stalls_one_in: 2000,
            page: 50,
            lag: Ticks::seconds(1800),
            ..Moods::default()
        };
        let (now, log) = (clock.clone(), asked.clone());
        let (address, server) = serve(World::build(&plan), moods, "127.0.0.1:0", move |request| {
            log.lock().unwrap().push((now.now(), request.path.clone()));
            now.now()
        })
        .await
        .unwrap();
        let endpoint = format!("http://{address}");
        Stage { world: World::build(&plan), plan, clock, endpoint, asked, _server: server }
    }

    fn settings(&self, scratch: &Scratch) -> Settings {
        let set = [
            ("ORGANIZATIONS", "contoso"),
            ("ENDPOINT", &self.endpoint),
            ("CREDENTIAL", "pat"),
            ("PAT", "token"),
            ("REQUESTS_PER_MINUTE", &BUDGET.to_string()),
            ("TIMEOUT", "1"),
            ("AUDIT_EVERY", "3600"),
            ("AUDIT_BACKFILL_DAYS", "2"),
            ("JOBS_EVERY", "1800"),
            ("AGENTS_EVERY", "7200"),
            ("REST_EVERY", "21600"),
        ];
        let set = set.map(|(name, value)| (format!("AGENTRAIL_AZURE_DEVOPS__{name}"), value.to_owned()));
        let lake = ("AGENTRAIL_LAKE__PATH".to_owned(), scratch.lake().display().to_string());
        Settings::load(None, set.into_iter().chain([lake])).unwrap()
    }

    /// Collects until the end of the organisation's days, with what happens on the way.
    async fn collect(&self, scratch: &Scratch, fates: &[Fate]) {
        let settings = self.settings(scratch);
        let lake = app::open(&settings).await.unwrap();
        let pipeline = Pipeline::start(lake.clone(), app::pipeline_settings(&settings));
        let end = end(&self.plan);
        let mut fates = fates.iter();
        loop {
            let fate = fates.next();
            let until = match fate {
                Some(Fate::Offline(length)) => {
                    self.clock.set(self.clock.now() + *length);
                    continue;
                }
                Some(Fate::KilledAt(at)) => *at,
                None => end,
            };
            self.clock.until(until);
            let (_stop, stopped) = watch::channel(false);
            let mut sources = tokio::task::JoinSet::new();
            let clock: Arc<dyn Clock> = self.clock.clone();
            app::collect::start(&settings, clock, None, &pipeline.push, &lake, &stopped, &mut sources)
                .unwrap();
            tokio::select! {
                () = self.clock.reached.notified() => {}
                ended = sources.join_next() => panic!("a collector ended: {:?}", ended.map(|e| e.map(|e| e.map_err(|e| e.to_string())))),
            }
            if fate.is_none() {
                sources.shutdown().await;
                break;
            }
            // Time goes on to the next call, and the kill finds it under way.
            let calls = self.asked.lock().unwrap().len();
            self.clock.until(end);
            while self.asked.lock().unwrap().len() == calls {
                tokio::task::yield_now().await;
            }
            sources.shutdown().await;
        }
        pipeline.finish().await;
        // As `run` does every minute.
        lake.maintain().await.unwrap();
    }
}

/// How each event was decided in the end.
fn verdicts(scratch: &Scratch) -> BTreeMap<String, String> {
    scratch
        .sql("select event_id, action, executor, grade, agent_name, run_id, provisional from actions")
        .into_iter()
        .map(|mut row| (row["event_id"].take().as_str().unwrap().to_owned(), row.to_string()))
        .collect()
}

/// Verdicts on files of the same days: recorded traffic, hooks and the audit log.
fn from_files(world: &World) -> BTreeMap<String, String> {
    let scratch = Scratch::new();
    let mut text = (world.captures().join("\n") + "\n" + &world.hooks().join("\n") + "\n").into_bytes();
    for event in world.events() {
        event.write(Spelling::Rest, &mut text);
        text.push(b'\n');
    }
    scratch.ingest(&scratch.file("all.ndjson", text));
    verdicts(&scratch)
}

/// What a lake of collected days says once it has what no REST API tells: hooks, sign-ins to Entra, and
/// the operator's inventory.
fn settle(scratch: &Scratch, world: &World) -> BTreeMap<String, String> {
    let is_outside = |line: &&String| line.contains("SignInLogs") || line.starts_with(r#"{"inventory""#);
    let sign_ins = world.captures().iter().filter(is_outside);
    let lines: Vec<&str> = world.hooks().iter().chain(sign_ins).map(String::as_str).collect();
    scratch.ingest(&scratch.file("rest.ndjson", lines.join("\n") + "\n"));
    verdicts(scratch)
}

fn score(scratch: &Scratch, world: &World) -> serde_json::Value {
    let truth = world.events().iter().map(|event| event.truth_line() + "\n");
    let truth = scratch.file("truth.ndjson", truth.collect::<String>());
    let score = scratch.ok(&["score", "--format", "json", "--truth", truth.to_str().unwrap()]);
    serde_json::from_str(&score).unwrap()
}

fn same(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) {
    let differ: Vec<_> = left.iter().filter(|(id, verdict)| right.get(*id) != Some(verdict)).collect();
    let differ: Vec<_> =
        differ.iter().map(|(id, verdict)| format!("{id}\n  {verdict}\n  {:?}", right.get(*id))).collect();
    assert!(differ.is_empty() && left.len() == right.len(), "{} differ\n{}", differ.len(), differ.join("\n"));
}

/// Collects the days of a seed, ends as files of them do, and is never sure and wrong.
async fn ends_as_files_do(plan: Plan, fates: &[Fate]) -> (Stage, Scratch) {
    let (stage, scratch) = (Stage::new(plan).await, Scratch::new());
    stage.collect(&scratch, fates).await;
    let world = &stage.world;
    let verdicts = settle(&scratch, world);
    let score = score(&scratch, world);
    assert_eq!(score["lost"], 0);
    for grade in ["exact", "sole", "run"] {
        let wrong = &score["by_grade"][grade]["wrong"];
        assert!(wrong == 0 || wrong.is_null(), "{grade}: {score}");
    }
    let determined = score["determined"].as_u64().unwrap();
    assert!(determined > 60 && score["decided"] == determined, "{score}");
    same(&from_files(world), &verdicts);
    (stage, scratch)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unkind_service_ends_in_the_verdicts_of_files_within_its_budget() {
    let (stage, scratch) = ends_as_files_do(plan(1, 2), &[]).await;
    // Jobs of ten seconds are seen, though it is looked seldom.
    let short = "select count(*) from jobs where request_id is not null and agent_name is not null \
                 and finished - received = interval '10 seconds'";
    assert_eq!(scratch.count(short), 4);
    // Never more calls in a minute than are allowed, and as many when there is much to ask.
    let asked = stage.asked.lock().unwrap();
    let most = (0..asked.len()).map(|first| {
        let minute = asked[first].0 + Ticks::seconds(60);
        asked[first..].iter().take_while(|(at, _)| *at < minute).count()
    });
    assert_eq!(most.max(), Some(BUDGET));
    // Nothing is claimed of what may still come.
    let late = end(&stage.plan) - Ticks::seconds(1800);
    let claimed = |source: &str, after: Time| {
        scratch.count(&format!(
            "select count(*) from coverage where source = '{source}' and until > timestamp '{after}'"
        ))
    };
    assert_eq!((claimed("audit", late), claimed("jobs", end(&stage.plan))), (0, 0));
    assert!(claimed("audit", late - Ticks::seconds(4 * 3600)) > 0 && claimed("jobs", late) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_middle_of_calls_change_no_verdict() {
    let plan = plan(2, 1);
    let at = |hours: f64| Fate::KilledAt(plan.day + Ticks((hours * 3600e7) as i64));
    let fates = [at(-0.4), at(7.3), at(9.85), at(13.1), at(15.34)];
    ends_as_files_do(plan, &fates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_offline_changes_no_verdict() {
    let plan = plan(3, 2);
    let at = plan.day + Ticks::seconds(9 * 3600 + 1234);
    ends_as_files_do(plan, &[Fate::KilledAt(at), Fate::Offline(Ticks::days(1))]).await;
}

/// Requests are seen at other moments than in files, so the verdicts are not the same; but they are right. With looks
/// half an hour apart a request that one agent loses to another in between is seen with the second alone: what the
/// first did is told of nobody, or of who else ran. In the days of this seed none that did something lost its own.
#[tokio::test(flavor = "multi_thread")]
async fn pools_and_runs_of_every_kind_are_collected() {
    let (stage, scratch) = (Stage::new(Plan { varied: true, ..plan(6, 1) }).await, Scratch::new());
    stage.collect(&scratch, &[]).await;
    settle(&scratch, &stage.world);
    let score = score(&scratch, &stage.world);
    // Work goes on over midnight, when nobody listens any more.
    let last = end(&stage.plan) - Ticks::seconds(2 * 3600);
    let late = stage.world.events().iter().filter(|event| event.occurred > last).count();
    assert!(score["lost"].as_u64().unwrap() <= late as u64, "{late}: {score}");
    for grade in ["exact", "sole", "run", "narrowed", "not_agent"] {
        let wrong = &score["by_grade"][grade]["wrong"];
        assert!(wrong == 0 || wrong.is_null(), "{grade}: {score}");
    }
    let pools = "select count(distinct pool_id) from jobs where request_id is not null";
    assert_eq!(scratch.count(pools), 8);
    assert!(score["determined"].as_u64().unwrap() > 60 && score["decided"] == score["determined"], "{score}");
}
