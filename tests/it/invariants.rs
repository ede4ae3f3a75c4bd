//! Invariants of the design that are properties of the whole program, each under its name; those of the engine
//! alone are with it.

use proptest::prelude::*;

use crate::lake::Scratch;

/// What a simulated organisation recorded, each line one record or page of records.
struct World {
    scratch: Scratch,
    audit: Vec<String>,
    facts: Vec<String>,
}

fn world(seed: u64) -> World {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let seed = seed.to_string();
    let days = ["--days", "2", "--events-per-day", "150"];
    scratch.ok(&[&["simulate", "--seed", &seed, "--out", out.to_str().unwrap()][..], &days].concat());
    let lines = |name: &str| {
        let text = std::fs::read_to_string(out.join(name)).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    World { audit: lines("audit.ndjson"), facts: lines("facts.ndjson"), scratch }
}

impl World {
    /// A lake of these parts, one after another, decided with a memory of so many jobs.
    fn lake(&self, parts: &[Vec<String>], most_jobs: usize) -> Scratch {
        let lake = Scratch::new();
        for (number, part) in parts.iter().enumerate() {
            let path = self.scratch.file(&format!("{number}.ndjson"), part.join("\n"));
            let mut ingest = lake.command(&["ingest", path.to_str().unwrap()]);
            let done = ingest.env("AGENTRAIL_ATTRIBUTE__MAX_JOBS", most_jobs.to_string()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        lake
    }

    /// The records as nobody would send them: each part begins somewhere else, and tells some of what was told.
    fn unkindly(&self, turn: usize, parts: usize) -> Vec<Vec<String>> {
        let mut all: Vec<String> = self.audit.iter().chain(&self.facts).cloned().collect();
        let (count, size) = (all.len(), all.len().div_ceil(parts));
        all.rotate_left(turn % count);
        let mut out: Vec<Vec<String>> = all.chunks(size).map(<[String]>::to_vec).collect();
        out.push(all.into_iter().step_by(1 + turn % 5).collect());
        out
    }

    fn straight(&self) -> Vec<Vec<String>> {
        vec![self.facts.clone(), self.audit.clone()]
    }
}

const VERDICTS: &str =
    "select event_id, executor, grade, agent_id, run_id, provisional from actions order by event_id";

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a2_every_event_leaves_exactly_once(seed in 0u64..1000, turn in 1usize..10_000, parts in 2usize..4) {
        let world = world(seed);
        let (straight, other) =
            (world.lake(&world.straight(), 400_000), world.lake(&world.unkindly(turn, parts), 400_000));
        let ids = "select event_id from lake.events order by event_id";
        let (expected, told) = (straight.sql(ids), other.sql(ids));
        prop_assert!(expected.len() > 100);
        prop_assert_eq!(&told, &expected);
        prop_assert_eq!(other.sql("select event_id from actions order by event_id"), expected);
        let distinct = other.count("select count(distinct event_id) from actions");
        prop_assert_eq!(distinct as usize, told.len());
    }

    #[test]
    fn a4_spans_of_one_key_never_overlap(seed in 0u64..1000, turn in 1usize..10_000, parts in 2usize..4) {
        let world = world(seed);
        let lake = world.lake(&world.unkindly(turn, parts), 400_000);
        prop_assert!(lake.count("select count(*) from agents") > 5);
        let overlaps = "select count(*) from (
            select until, lead(\"from\") over (partition by coalesce(organization, organization_id), pool_id, agent_id order by \"from\") as next
            from agents) where next is not null and (until is null or until > next)";
        prop_assert_eq!(lake.count(overlaps), 0);
    }

    #[test]
    fn a6_memory_is_bounded_by_the_window(seed in 0u64..1000, most_jobs in 1usize..20) {
        let world = world(seed);
        // What a memory of few jobs lets go is read from the lake again.
        let few = world.lake(&world.straight(), most_jobs).sql(VERDICTS);
        let all = world.lake(&world.straight(), 400_000).sql(VERDICTS);
        prop_assert!(all.len() > 100);
        prop_assert_eq!(few, all);
    }
}
