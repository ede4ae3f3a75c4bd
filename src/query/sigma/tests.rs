//! What compiles, what is refused and by which name, and that nothing of a rule gets out of its quotes.

use super::*;

fn files(rules: &[&str]) -> Vec<(String, String, String)> {
    rules
        .iter()
        .enumerate()
        .map(|(n, text)| (format!("r{n}"), format!("r{n}.yml"), (*text).to_owned()))
        .collect()
}

fn rule(detection: &str) -> String {
    format!(
        "title: t\nid: 11111111-1111-4111-8111-111111111111\nname: base\nlogsource:\n  product: azure\n  service: azuredevops\ndetection:\n{detection}\n"
    )
}

fn sql(detection: &str) -> String {
    let (done, refused) = compile(&files(&[&rule(detection)]));
    assert!(refused.is_empty(), "{refused:?}");
    done[0].0.sql.clone()
}

fn refusal(text: &str) -> String {
    let (done, refused) = compile(&files(&[text]));
    assert!(done.is_empty(), "{done:?}");
    refused[0].1.clone()
}

#[test]
fn nothing_of_a_rule_gets_out_of_its_quotes() {
    let hostile = "  s:\n    ActionId: \"a' or 1=1 --\"\n    Data.x') or (1=1: \"$from\"\n    UserAgent|re: \"it's\"\n  condition: s";
    let text = sql(hostile);
    assert!(text.contains("lower(action) = 'a'' or 1=1 --'"), "{text}");
    assert!(text.contains("json_member(data, 'x'') or (1=1')"), "{text}");
    assert!(text.contains("'it''s'"), "{text}");
    let (done, _) = compile(&files(&[
        &rule("  s:\n    Area: x\n  condition: s").replace("title: t", "title: \"it's ') or\"")
    ]));
    assert!(done[0].0.sql.contains("'it''s '') or'"));
}

#[test]
fn a_rule_is_told_with_its_level_tags_and_actions() {
    let text = rule(
        "  s:\n    ActionId:\n      - Git.A\n      - Git.B\n  f:\n    Area: x\n  condition: s and not f",
    ) + "level: high\ntags:\n  - attack.t1578.002\n  - attack.persistence\n";
    let (done, _) = compile(&files(&[&text]));
    let own = &done[0].0;
    assert_eq!((own.name.as_str(), own.severity.as_str()), ("sigma_r0", "high"));
    assert_eq!(
        (own.attack.join(" "), own.actions.join(" ")),
        ("T1578.002".to_owned(), "Git.A Git.B".to_owned())
    );
    assert_eq!(own.mirrors, ["sigma:11111111-1111-4111-8111-111111111111"]);
}

#[test]
fn what_cannot_be_said_in_sql_is_refused_by_name() {
    let part = |item: &str| rule(&format!("  s:\n    {item}\n  condition: s"));
    for (text, says) in [
        (part("EventID: 4688"), "`EventID`"),
        (part("UserAgent|base64: x"), "`base64`"),
        (part("UserAgent|windash|contains: -x"), "windash"),
        (part("UserAgent|re: '(?=x)'"), "(?=x)"),
        (part("IpAddress|cidr: 10.0.0.0/40"), "10.0.0.0/40"),
        (rule("  s:\n    Area: x\n  timeframe: 5m\n  condition: s"), "timeframe"),
        (rule("  s:\n    Area: x\n  condition: t"), "`t`"),
        (part("Area: x").replace("azuredevops", "auditlogs"), "service: auditlogs"),
        (part("Area: x").replace("product: azure", "product: windows"), "product: windows"),
    ] {
        let told = refusal(&text);
        assert!(told.contains(says), "{told}");
    }
    let base = rule("  s:\n    ActionId: Git.A\n  condition: s");
    let correlation = |more: &str| {
        format!(
            "title: c\ncorrelation:\n  rules:\n    - base\n  group-by:\n    - ActorUserId\n  timespan: 10m\n{more}"
        )
    };
    for (more, says) in [
        ("  type: temporal_ordered\n", "temporal_ordered"),
        ("  type: event_count\n  condition:\n    lt: 3\n", "never over"),
        ("  type: value_count\n  condition:\n    gte: 3\n", "value_count"),
    ] {
        let (done, refused) = compile(&files(&[&base, &correlation(more)]));
        assert!(done.is_empty() && refused[0].1.contains(says), "{done:?} {refused:?}");
    }
    let (done, refused) =
        compile(&files(&[&base, &correlation("  type: event_count\n  condition:\n    gte: 3\n")]));
    assert_eq!((done.len(), refused.len()), (1, 0), "{refused:?}");
    assert_eq!(done[0].0.actions, ["Git.A"]);
}
