//! Verdicts against the truth of a simulated organisation: never sure and wrong, in any order.

use crate::lake::Scratch;

/// Simulates, ingests the parts in an order, and scores.
fn score(seed: &str, order: [&str; 3]) -> serde_json::Value {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let out = out.to_str().unwrap();
    scratch.ok(&["simulate", "--seed", seed, "--days", "4", "--events-per-day", "300", "--out", out]);
    for part in order {
        scratch.ingest(std::path::Path::new(&format!("{out}/{part}.ndjson")));
    }
    let score = scratch.ok(&["score", "--truth", &format!("{out}/truth.ndjson"), "--format", "json"]);
    serde_json::from_str(&score).unwrap()
}

#[test]
fn what_is_sure_is_right_and_what_can_be_known_is_known() {
    for seed in ["1", "2"] {
        let facts_first = score(seed, ["facts", "hooks", "audit"]);
        assert_eq!(facts_first["lost"], 0);
        for (grade, tally) in facts_first["by_grade"].as_object().unwrap() {
            assert_eq!(tally["wrong"], 0, "{grade}: {tally}");
            if grade == "narrowed" {
                assert_eq!(tally["candidates"], tally["compatible"], "as many as brute force finds");
                assert_eq!(tally["listed"], tally["actions"], "the true agent among them");
            }
        }
        let number = |name: &str| facts_first[name].as_u64().unwrap();
        assert!(
            number("determined") > 200 && number("decided") * 100 >= number("determined") * 99,
            "{facts_first}"
        );
        // Evidence that comes after its events ends in the same verdicts.
        let events_first = score(seed, ["audit", "hooks", "facts"]);
        assert_eq!(facts_first["by_grade"], events_first["by_grade"]);
    }
}
