//! Verdicts against the truth of a simulated organisation: never sure and wrong, in any order.

use crate::lake::Scratch;

/// Simulates, ingests the parts in an order, and scores.
fn score(seed: &str, order: [&str; 3], most_jobs: &str) -> serde_json::Value {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let out = out.to_str().unwrap();
    scratch.ok(&["simulate", "--seed", seed, "--days", "4", "--events-per-day", "300", "--out", out]);
    // What bears the id of another record comes after it, and changes nothing.
    for part in order.into_iter().chain(["forged"]) {
        let mut ingest = scratch.command(&["ingest", &format!("{out}/{part}.ndjson")]);
        let done = ingest.env("AGENTRAIL_ATTRIBUTE__MAX_JOBS", most_jobs).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let score = scratch.ok(&["score", "--truth", &format!("{out}/truth.ndjson"), "--format", "json"]);
    serde_json::from_str(&score).unwrap()
}

#[test]
fn what_is_sure_is_right_and_what_can_be_known_is_known() {
    let scored = score("1", ["facts", "hooks", "audit"], "400000");
    assert_eq!(scored["lost"], 0);
    for (grade, tally) in scored["by_grade"].as_object().unwrap() {
        // Of moments at which a pool was not heard of, the list of candidates says that it is not whole.
        if !grade.ends_with(", blind") {
            assert_eq!(tally["wrong"], 0, "{grade}: {tally}\n{}", scored["wrong"]);
        }
        if grade == "narrowed" {
            assert!(
                tally["candidates"].as_u64() <= tally["compatible"].as_u64(),
                "as few as brute force finds"
            );
            assert_eq!(tally["listed"], tally["by_agents"], "the true agent among them");
        }
    }
    let number = |name: &str| scored[name].as_u64().unwrap();
    assert!(number("determined") > 200 && number("decided") * 100 >= number("determined") * 99, "{scored}");
    // Evidence that comes after its events ends in the same verdicts (A1), and so does a memory of a
    // few jobs, which reads the rest from the lake again and again (A6).
    for (order, most_jobs) in [(["audit", "hooks", "facts"], "400000"), (["facts", "audit", "hooks"], "5")] {
        let again = score("1", order, most_jobs);
        assert_eq!(scored["by_grade"], again["by_grade"], "{order:?}");
    }
}
