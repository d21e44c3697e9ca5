//! `HttpParticipant` over connections that are used again, closed, reset or held: wire requests never exceed attempts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::HttpOptions;
use super::credentials::StaticCredentials;
use super::harness::{Caller, answering, lost, not_sent, ok, response, serve};
use crate::api::Reason;
use crate::saga::Answer;

#[tokio::test]
async fn a_reset_after_reading_is_lost_and_not_sent_again() {
    let (address, seen) = serve(|mut peer| async move {
        peer.request().await;
        peer.stream.set_zero_linger().unwrap();
    })
    .await;
    let caller = Caller::new();
    for _ in 0..5 {
        assert_eq!(lost(caller.call(&format!("http://{address}/")).await), Reason::ConnectionFailed);
    }
    assert_eq!(seen.requests().len(), 5);
}

#[tokio::test]
async fn connections_are_used_again_and_one_that_was_closed_costs_no_doubt() {
    // Every connection serves two requests and is closed by the server in silence.
    let (address, seen) = serve(|mut peer| async move {
        for _ in 0..2 {
            if peer.request().await.is_none() {
                return;
            }
            peer.write(ok("{}")).await;
        }
    })
    .await;
    let caller = Caller::new();
    let mut lost = 0;
    for sent in 1..=20 {
        lost += match caller.call(&format!("http://{address}/")).await {
            Answer::Response(_) => 0,
            // On a slow machine the request may be faster than the news of the close.
            Answer::Lost { .. } => 1,
            Answer::NotSent { message, .. } => panic!("{message}"),
        };
        assert!(seen.requests().len() <= sent && seen.requests().len() + lost >= sent);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!((10..20).contains(&seen.connections()), "{}", seen.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wire_requests_never_exceed_attempts_when_idle_connections_close_at_any_time() {
    let (address, seen) = serve(|mut peer| async move {
        while peer.request().await.is_some() {
            peer.write(ok("{}")).await;
            // Some close at once, some a little later, some never.
            if peer.number % 3 < 2 {
                tokio::time::sleep(Duration::from_micros((peer.number as u64 % 7) * 150)).await;
                return;
            }
        }
    })
    .await;
    let caller = Arc::new(Caller::new());
    let (mut answered, mut lost, mut unsent) = (0, 0, 0);
    for _ in 0..60 {
        let calls = (0..5).map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call(&format!("http://{address}/")).await })
        });
        for answer in futures::future::join_all(calls).await {
            match answer.unwrap() {
                Answer::Response(_) => answered += 1,
                Answer::Lost { .. } => lost += 1,
                Answer::NotSent { .. } => unsent += 1,
            }
        }
    }
    assert_eq!(answered + lost + unsent, 300);
    assert_eq!(unsent, 0);
    // A lost one may have been read by the server or not.
    let seen = seen.requests().len();
    assert!((answered..=answered + lost).contains(&seen), "{seen} on the wire, {answered} answered, {lost} lost");
}

#[tokio::test]
async fn an_early_answer_on_an_idle_connection_is_nobodys() {
    // The second answer was not asked for.
    let (address, seen) = answering(ok("1") + &ok("2")).await;
    let caller = Caller::new();
    for sent in 1..=3 {
        assert_eq!(response(caller.call(&format!("http://{address}/")).await).body, json!(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!((seen.requests().len(), seen.connections()), (sent, sent));
    }
}

#[tokio::test]
async fn a_half_closed_idle_connection_gets_no_second_request() {
    let (address, seen) = serve(|mut peer| async move {
        peer.request().await;
        peer.write(ok("{}")).await;
        peer.stream.shutdown().await.unwrap();
        // Still reads: a request written here would be seen, and counted.
        peer.request().await;
    })
    .await;
    let caller = Caller::new();
    for sent in 1..=5 {
        let answer = caller.call(&format!("http://{address}/")).await;
        assert!(matches!(answer, Answer::Response(_) | Answer::Lost { .. }), "{answer:?}");
        assert_eq!(seen.requests().len(), sent);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_call_that_is_cut_closes_its_connection() {
    let closed = Arc::new(tokio::sync::Notify::new());
    let notify = closed.clone();
    let (address, seen) = serve(move |mut peer| {
        let notify = notify.clone();
        async move {
            peer.request().await;
            peer.linger().await;
            notify.notify_one();
        }
    })
    .await;
    let caller = Arc::new(Caller::new());
    let at_work = caller.clone();
    let call = tokio::spawn(async move { at_work.call(&format!("http://{address}/")).await });
    while seen.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    call.abort();
    closed.notified().await;
    assert_eq!(seen.requests().len(), 1);
}

#[tokio::test]
async fn one_that_hangs_takes_no_more_than_its_share() {
    let (hanging, seen) = serve(|mut peer| async move {
        peer.request().await;
        peer.linger().await;
    })
    .await;
    let (healthy, _) = answering(ok("{}")).await;
    let options = HttpOptions { calls_per_origin: 2, ..HttpOptions::default() };
    let caller = Arc::new(Caller::with(StaticCredentials::default(), options));
    let held: Vec<_> = (0..2)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call(&format!("http://{hanging}/")).await })
        })
        .collect();
    while seen.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (reason, message) = not_sent(caller.call_briefly(hanging).await);
    assert_eq!(reason, Reason::ConnectionFailed);
    assert!(message.contains("too many calls"), "{message}");
    assert_eq!(response(caller.call(&format!("http://{healthy}/")).await).status, 200);
    assert_eq!(seen.requests().len(), 2);
    held.iter().for_each(tokio::task::JoinHandle::abort);
}
