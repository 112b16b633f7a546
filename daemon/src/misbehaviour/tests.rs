// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

fn plan(rules: &[&str]) -> Plan {
    Plan {
        seed: 7,
        rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
    }
}

#[test]
fn rules_are_parsed_and_formatted_alike() {
    let texts = [
        "read#3:late=50",
        "read:twice",
        "open%12.5:wrong-id",
        "read#1:wrong-object",
        "read#2:short=4096",
        "read%0:empty",
        "open:never",
        "open#9:close-early",
        "open#1:refuse=5",
        "close#1:die=received",
        "read#1:die=before-write",
        "read#1:die=after-write",
        "read#1:die=before-answer",
        "open#1:die=after-answer",
    ];
    let plan = plan(&texts);
    assert_eq!(
        plan.rules.iter().map(Rule::to_string).collect::<Vec<_>>(),
        texts
    );
    let json = serde_json::to_string(&plan).unwrap();
    assert!(json.starts_with(r#"{"seed":7,"rules":["read#3:late=50","#));
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn errors_name_the_wrong_part() {
    let error = |text: &str| text.parse::<Rule>().unwrap_err().to_string();
    assert_eq!(
        error("late"),
        "the rule \"late\" is not KIND[#N|%P]:ACTION[=VALUE], as in read#3:late=50"
    );
    assert_eq!(
        error("write:twice"),
        "\"write\" is not a kind of message; use open, close or read"
    );
    for occurrence in ["#0", "#x", "%101", "%-1", "%NaN", "%"] {
        assert_eq!(
            error(&format!("read{occurrence}:twice")),
            format!("{occurrence:?} selects no messages; use #N with N from 1, or %P with P from 0 to 100")
        );
    }
    for (kind, action) in [
        ("close", "late"),
        ("open", "short"),
        ("read", "refuse"),
        ("read", "explode"),
    ] {
        assert_eq!(
            error(&format!("{kind}:{action}=1")),
            format!("{action:?} is not an action for {kind} messages; see ondined serve --help")
        );
    }
    for (rule, name, value) in [
        ("read:late", "late", ""),
        ("read:late=soon", "late", "soon"),
        ("read:twice=2", "twice", "2"),
        ("open:refuse=0", "refuse", "0"),
        ("open:refuse=4096", "refuse", "4096"),
        ("read:die=later", "die", "later"),
        ("open:die=after-write", "die", "after-write"),
        ("close:die=before-answer", "die", "before-answer"),
    ] {
        assert_eq!(
            error(rule),
            format!("{value:?} is not a valid value of {name}; see ondined serve --help")
        );
    }
    assert!(serde_json::from_str::<Plan>(r#"{"rules":["read:x"]}"#).is_err());
    assert!(serde_json::from_str::<Plan>(r#"{"rule":[]}"#).is_err());
}

#[test]
fn rules_apply_to_the_messages_they_select() {
    let plan = plan(&[
        "read#2:late=3",
        "read:late=4",
        "read#2:short=10",
        "open#2:never",
    ]);
    let mut matcher = plan.matcher();
    let first = matcher.next(MessageKind::Read);
    assert_eq!(
        (first.delay().as_millis(), first.write_limit()),
        (4, u64::MAX)
    );
    assert!(matcher.next(MessageKind::Open).is_empty());
    let second = matcher.next(MessageKind::Read);
    assert_eq!((second.delay().as_millis(), second.write_limit()), (7, 10));
    assert!(matcher.next(MessageKind::Open).has(Action::Never));
    assert!(matcher.next(MessageKind::Close).is_empty());
}

#[test]
fn a_seed_fixes_the_random_choices() {
    let run = |seed| {
        let mut matcher = Plan {
            seed,
            ..plan(&["read%25:twice"])
        }
        .matcher();
        (0..4000)
            .map(|_| matcher.next(MessageKind::Read).has(Action::Twice))
            .collect::<Vec<_>>()
    };
    let hits = run(1).iter().filter(|hit| **hit).count();
    assert!((800..1200).contains(&hits), "{hits} of 4000");
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
