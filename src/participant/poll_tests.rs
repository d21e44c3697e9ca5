//! Looks at calls in progress: GETs that ask for nothing to be done.

use std::sync::Arc;
use std::time::Duration;

use super::harness::{Caller, answering, not_sent, ok, response};
use super::{HttpOptions, Participant as _, SecretValue, StaticCredentials};
use crate::api::Reason;
use crate::api::definition::SecretKeyRef;
use crate::journal::Persisted;
use crate::saga::{Answer, HeaderValue, Polling};

fn polling(caller: &Caller, url: &str) -> Polling {
    let intent = caller.intent(url);
    Polling {
        run: intent.run,
        call: intent.call,
        step: intent.step,
        attempt: 3,
        fence: intent.fence,
        url: url.to_owned(),
        headers: Vec::new(),
        timeout: Duration::from_secs(60),
        first: caller.clock.now().monotonic,
        expires: intent.expires,
    }
}

async fn look(caller: &Caller, polling: Polling) -> Answer {
    caller.participant.poll(Arc::new(Persisted::assumed(polling))).await
}

#[tokio::test]
async fn a_look_is_a_get_without_key_or_body_and_with_the_calls_own_headers() {
    let (address, seen) = answering(ok("{}")).await;
    let key = SecretKeyRef { name: "api".into(), key: "token".into() };
    let credentials = StaticCredentials::default().with("api", "token", SecretValue::new("hush"));
    let caller = Caller::with(credentials, HttpOptions::default());
    let mut polling = polling(&caller, &format!("http://{address}/jobs/7?part=1"));
    polling.headers =
        vec![("X-Token".into(), HeaderValue::Secret(key)), ("X-Shop".into(), HeaderValue::Literal("a".into()))];
    assert_eq!(response(look(&caller, polling).await).status, 200);

    let request = seen.requests().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("get /jobs/7?part=1 http/1.1\r\n"), "{request}");
    for expected in [
        "saga-step: reserve",
        "saga-direction: forward",
        "saga-attempt: 3",
        "saga-fence: 7",
        "x-token: hush",
        "x-shop: a",
    ] {
        assert!(request.contains(&format!("\r\n{expected}\r\n")), "{expected} in {request}");
    }
    for absent in ["idempotency-key", "content-type", "content-length"] {
        assert!(!request.contains(absent), "{absent} in {request}");
    }
    assert!(request.ends_with("\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn a_look_says_how_long_it_waits_and_never_beyond_the_end_of_polling() {
    let (address, seen) = answering(ok("{}")).await;
    let caller = Caller::new();
    let now = caller.clock.now();
    let long = polling(&caller, &format!("http://{address}/"));
    let short = Polling { expires: now.monotonic.after(Duration::from_secs(30)), ..long.clone() };
    for polling in [long, short] {
        response(look(&caller, polling).await);
    }
    let deadlines: Vec<i64> =
        seen.requests().iter().map(|request| deadline(request).duration_since(now.wall).as_secs()).collect();
    assert!((55..=65).contains(&deadlines[0]) && (25..=31).contains(&deadlines[1]), "{deadlines:?}");
}

fn deadline(request: &str) -> jiff::Timestamp {
    let line = request.lines().find_map(|line| line.strip_prefix("saga-deadline: ")).expect("a deadline");
    line.parse().expect("an instant")
}

#[tokio::test]
async fn nothing_is_asked_after_the_end_of_polling_or_where_nobody_may_call() {
    let (address, seen) = answering(ok("{}")).await;
    let caller = Caller::new();
    let over = Polling { expires: caller.clock.now().monotonic, ..polling(&caller, &format!("http://{address}/")) };
    assert_eq!(not_sent(look(&caller, over).await).0, Reason::Timeout);
    let elsewhere = polling(&caller, "http://169.254.169.254/latest");
    assert_eq!(not_sent(look(&caller, elsewhere).await).0, Reason::DestinationNotAllowed);
    assert!(seen.requests().is_empty());
}
