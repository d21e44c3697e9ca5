//! `demo` as people try it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "cli_local/support.rs"]
mod support;

use support::{end, operator, start, unread};

#[tokio::test]
async fn the_demo_tells_its_seven_stories_and_every_claim_holds() {
    let said = end(start(operator(&["demo"]))).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    // What is told between one title and the next.
    let stories: [(&str, &[&str]); 7] = [
        ("1. A saga that succeeds", &["Succeeded"]),
        ("2. A saga that fails", &["Compensated"]),
        ("3. A participant that is down", &["AttemptFailed", "Succeeded"]),
        ("4. A crash", &["engine 1 was killed", "TakenOver"]),
        ("5. The point of no return", &["AttemptFailed", "Succeeded"]),
        ("6. Try, then confirm or cancel", &["StepConfirmed", "Succeeded", "Compensated"]),
        ("7. A compensation that needs a person", &["Stalled", "Intervened", "CompensatedByHand"]),
    ];
    let mut rest = said.out.as_str();
    for (number, (title, words)) in stories.iter().enumerate() {
        rest = rest.split_once(title).unwrap_or_else(|| panic!("'{title}' in its place: {}", said.out)).1;
        let end = stories.get(number + 1).map_or("What the participants saw", |(title, _)| title);
        let story = rest.split_once(end).unwrap_or_else(|| panic!("'{end}' in its place: {}", said.out)).0;
        for word in *words {
            assert!(story.contains(word), "'{word}' in {title}: {story}");
        }
    }
    let (_, proved) = rest.split_once("What was proved").unwrap();
    let claims: Vec<&str> = proved.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(claims.len(), 18, "{proved}");
    assert!(claims.iter().all(|claim| claim.trim_start().starts_with("ok ")), "{proved}");
    assert!(!said.out.contains('\x1b'), "piped output is plain");
}

#[tokio::test]
async fn the_demo_does_not_care_whether_anybody_reads_it() {
    assert_eq!(unread(&["demo"]).await, Some(0));
}

#[tokio::test]
async fn two_demos_do_not_disturb_each_other() {
    let (one, other) = tokio::join!(end(start(operator(&["demo"]))), end(start(operator(&["demo"]))));
    assert_eq!((one.code, other.code), (Some(0), Some(0)), "{}{}", one.err, other.err);
}

#[tokio::test]
async fn the_environment_of_a_user_does_not_disturb_the_demo() {
    let mut command = operator(&["demo"]);
    command.env("SAGA_STATE", "/no/such/directory/state.redb").env("SAGA_LOG", "trace").env("SAGA_LOG_FORMAT", "json");
    let said = end(start(command)).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("order-4  TakenOver"), "{}", said.out);
}
