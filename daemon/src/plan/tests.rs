// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

fn plan(rules: &[&str]) -> Plan {
    Plan {
        seed: 7,
        rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
    }
}

#[test]
fn rules_come_back_as_they_were_written() {
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
fn what_is_wrong_is_named() {
    let said = |text: &str| text.parse::<Rule>().unwrap_err().to_string();
    assert_eq!(
        said("late"),
        "the rule \"late\" is not KIND[#N|%P]:ACTION[=VALUE], as in read#3:late=50"
    );
    assert_eq!(
        said("write:twice"),
        "\"write\" is no message; there are open, close and read"
    );
    for when in ["#0", "#x", "%101", "%-1", "%NaN", "%"] {
        assert_eq!(
            said(&format!("read{when}:twice")),
            format!("{when:?} is neither a count from 1 nor a chance of 0 to 100 percent")
        );
    }
    for (kind, action) in [
        ("close", "late"),
        ("open", "short"),
        ("read", "refuse"),
        ("read", "explode"),
    ] {
        assert_eq!(
            said(&format!("{kind}:{action}=1")),
            format!("a message of kind {kind} cannot be answered with {action:?}")
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
        assert_eq!(said(rule), format!("{value:?} is not a value of {name}"));
    }
    assert!(serde_json::from_str::<Plan>(r#"{"rules":["read:x"]}"#).is_err());
    assert!(serde_json::from_str::<Plan>(r#"{"rule":[]}"#).is_err());
}

#[test]
fn rules_meet_their_messages() {
    let plan = plan(&[
        "read#2:late=3",
        "read:late=4",
        "read#2:short=10",
        "open#2:never",
    ]);
    let mut course = plan.course();
    let first = course.next(Kind::Read);
    assert_eq!((first.late().as_millis(), first.limit()), (4, u64::MAX));
    assert!(course.next(Kind::Open).is_good());
    let second = course.next(Kind::Read);
    assert_eq!((second.late().as_millis(), second.limit()), (7, 10));
    assert!(course.next(Kind::Open).has(Action::Never));
    assert!(course.next(Kind::Close).is_good());
}

#[test]
fn a_seed_decides_chances() {
    let run = |seed| {
        let mut course = Plan {
            seed,
            ..plan(&["read%25:twice"])
        }
        .course();
        (0..4000)
            .map(|_| course.next(Kind::Read).has(Action::Twice))
            .collect::<Vec<_>>()
    };
    let hits = run(1).iter().filter(|hit| **hit).count();
    assert!((800..1200).contains(&hits), "{hits} of 4000");
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
