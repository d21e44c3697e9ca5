//! The small worlds that are explored.

use super::scenario::{Keeps, Kind, Null, PEOPLE, STRONG, Scenario, Tenancy, WISHES, saga};
use super::service::Anomaly;

/// Participants that keep P1 to P5: no promise may break.
pub fn strong() -> Vec<Scenario> {
    let two = || saga(&["a", "b"], 2, "");
    let pivot = || saga(&["a", "p Pivot", "r Retriable"], 2, "");
    let groups = "compensationPolicy: {order: Parallel, onExhausted: Continue}";
    vec![
        Scenario::new("one attempt", saga(&["a"], 1, "")),
        Scenario { refuses: Some(0), ..Scenario::new("one step that is refused", saga(&["a"], 1, "")) },
        Scenario::new("one step", saga(&["a"], 2, "")),
        Scenario { refuses: Some(1), ..Scenario::new("two steps, the second refused", two()) },
        Scenario { refuses: Some(2), ..Scenario::new("three steps, the third refused", saga(&["a", "b", "c"], 1, "")) },
        Scenario { refuses: Some(1), tenancy: Tenancy::Exclusive, ..Scenario::new("one owner alone", two()) },
        Scenario {
            refuses: Some(1),
            tenancy: Tenancy::Elected,
            ..Scenario::new("two who believe that they lead", two())
        },
        Scenario {
            works_on: Some(0),
            tenancy: Tenancy::Elected,
            ..Scenario::new("two who believe that they lead, and a call in progress", saga(&["a"], 1, ""))
        },
        Scenario { wishes: WISHES, ..Scenario::new("people who change their minds", two()) },
        Scenario { refuses: Some(1), wishes: WISHES, ..Scenario::new("as before, while undoing", two()) },
        Scenario {
            skew: [0, 3_600_000],
            kinds: &[Kind::Crash, Kind::Pause, Kind::Late, Kind::Jump, Kind::Error],
            ..Scenario::new("a deadline, and wrong clocks", saga(&["a", "b"], 2, "activeDeadlineSeconds: 4"))
        },
        Scenario {
            kinds: &[Kind::Size, Kind::Crash, Kind::Write, Kind::Error],
            ..Scenario::new("a store that refuses the size", two())
        },
        Scenario {
            refuses: Some(0),
            ..Scenario::new("two branches, one refused", saga(&["a <", "b <", "c <a,b"], 1, ""))
        },
        Scenario { refuses: Some(3), ..Scenario::new("a diamond", saga(&["a", "b <a", "c <a", "d <b,c"], 1, "")) },
        Scenario { refuses: Some(2), ..Scenario::new("a step that reads", saga(&["a", "b ReadOnly", "c"], 1, "")) },
        Scenario {
            refuses: Some(2),
            stuck: Some(0),
            ..Scenario::new("undone in groups, one of them stuck", saga(&["a !5", "b", "c"], 1, groups))
        },
        Scenario {
            refuses: Some(2),
            stuck: Some(1),
            wishes: PEOPLE,
            ..Scenario::new("a stuck compensation, and people", saga(&["a", "b", "c"], 1, ""))
        },
        Scenario { wishes: WISHES, ..Scenario::new("a Pivot and what follows it", pivot()) },
        Scenario {
            refuses: Some(1),
            wishes: PEOPLE,
            ..Scenario::new("a Pivot that is refused, and people", saga(&["a", "p Pivot"], 2, ""))
        },
        Scenario {
            refuses: Some(1),
            wishes: PEOPLE,
            ..Scenario::new("a Retriable that is refused, and people", saga(&["p Pivot", "r Retriable"], 1, ""))
        },
        Scenario { wishes: PEOPLE, ..Scenario::new("try, confirm, cancel", saga(&["a confirm", "b confirm"], 1, "")) },
        Scenario {
            works_on: Some(0),
            refuses: Some(1),
            ..Scenario::new("a call in progress", saga(&["a", "b"], 1, ""))
        },
        Scenario {
            works_on: Some(0),
            wishes: WISHES,
            ..Scenario::new("a call in progress, and people", saga(&["a"], 1, ""))
        },
        Scenario {
            works_on: Some(0),
            tenancy: Tenancy::Exclusive,
            ..Scenario::new("a Pivot in progress", saga(&["p Pivot", "r Retriable"], 1, ""))
        },
    ]
}

/// Participants that keep less: what breaks is what the table of guarantees.md says, and nothing else.
pub fn weak() -> Vec<Scenario> {
    let unfenced = Keeps { fences: false, ..STRONG };
    let with = |name, keeps, anomalies| Scenario { keeps, anomalies, ..Scenario::new(name, saga(&["a"], 1, "")) };
    vec![
        with("without P3", unfenced, &[Anomaly::Hanging]),
        with("without P3, P4 by the key of the action", Keeps { bars: true, ..unfenced }, &[]),
        with("without P4", Keeps { null: Null::Refused, ..STRONG }, &[Anomaly::NullRefused]),
        with("without P4, and harmful", Keeps { null: Null::Harmful, ..STRONG }, &[Anomaly::Harm]),
        with("without P1", Keeps { remembers: false, ..STRONG }, &[Anomaly::Duplicate]),
        with("P1 alone", Keeps { null: Null::Refused, ..unfenced }, &[Anomaly::NullRefused]),
        Scenario {
            kinds: &[Kind::Crash, Kind::Pause, Kind::Write, Kind::Late],
            ..with("P1, P4, P6, and no answer ever false", Keeps { punctual: true, ..unfenced }, &[])
        },
        Scenario {
            kinds: &[Kind::Proxy],
            ..with("P1, P4, P6, behind a proxy", Keeps { punctual: true, ..unfenced }, &[Anomaly::Hanging])
        },
        with("neither P1 nor P3", Keeps { remembers: false, ..unfenced }, &[Anomaly::Duplicate, Anomaly::Hanging]),
    ]
}
