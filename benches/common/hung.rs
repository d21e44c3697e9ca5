//! Healthy sagas beside sagas whose participant never answers.
//!
//! Rounds with and without take turns, so that whatever else the machine does meets both alike.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use saga_operator::saga::End;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::lanes::{Bed, Cell, Seen, closed};
use super::{table, text};

/// Sagas that hang.
pub(crate) const HUNG: usize = 200;
/// Rounds of each kind.
const ROUNDS: usize = 3;
const LANES: usize = 16;
/// Longest until the calls of all sagas that hang are on the wire.
const PATIENCE: Duration = Duration::from_secs(60);

/// A participant that answers only when it is let go.
pub(crate) struct Hanging {
    pub(crate) url: String,
    hangs: watch::Sender<bool>,
    arrived: watch::Receiver<usize>,
}

impl Hanging {
    pub(crate) async fn start() -> Result<Self, String> {
        let (hangs, hanging) = watch::channel(true);
        let (arriving, arrived) = watch::channel(0);
        let arriving = Arc::new(arriving);
        let answer = async move || {
            let mut hanging = hanging.clone();
            arriving.send_modify(|arrived| *arrived += 1);
            // Whoever lets go last ends the process, too.
            drop(hanging.wait_for(|hangs| !hangs).await);
            Json(json!({}))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(text)?;
        let url = format!("http://{}/hang", listener.local_addr().map_err(text)?);
        let service = axum::serve(listener, Router::new().route("/hang", post(answer)));
        tokio::spawn(service.into_future());
        Ok(Self { url, hangs, arrived })
    }
}

/// Measures both ways in turns and prints the ratios. `healthy` and `hung` name the definitions.
pub(crate) async fn compare(
    bed: &mut impl Bed,
    hanging: &Hanging,
    (healthy, hung): (&str, &str),
    count: usize,
) -> Result<(), String> {
    let cell = Cell { definition: healthy, prefix: "warm-", expected: End::Succeeded, lanes: LANES, count };
    closed(bed, Cell { count: count / 2, ..cell }).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (free, beside) = (format!("free{round}-"), format!("beside{round}-"));
        without.push(closed(bed, Cell { prefix: &free, ..cell }).await?);
        hanging.hangs.send_replace(true);
        let before = *hanging.arrived.borrow();
        for index in 0..HUNG {
            bed.begin(hung, format!("hung{round}-{index}"));
        }
        let mut arrived = hanging.arrived.clone();
        let all = arrived.wait_for(|arrived| *arrived >= before + HUNG);
        tokio::time::timeout(PATIENCE, all).await.map_err(text)?.map_err(text)?;
        let seen = closed(bed, Cell { prefix: &beside, ..cell }).await?;
        hanging.hangs.send_replace(false);
        if seen.others > 0 {
            return Err(format!("{} sagas that hang have ended", seen.others));
        }
        with.push(seen);
        for _ in 0..HUNG {
            bed.ended().await?;
        }
    }
    table::head(&["beside", "lanes", "sagas/s", "p50 ms", "p99 ms"]);
    for (name, rounds) in [("nothing", &without), ("200 hung", &with)] {
        for seen in rounds {
            let [p50, p99] = [0.5, 0.99].map(|part| table::milliseconds(&seen.latencies, part));
            table::line(&[name.to_owned(), LANES.to_string(), table::figure(Some(seen.rate()), 1), p50, p99]);
        }
    }
    let ratio = |of: fn(&Seen) -> f64| median(&with, of) / median(&without, of);
    let p50 = |seen: &Seen| table::at(&seen.latencies, 0.5).unwrap_or_default().as_secs_f64();
    println!("medians beside 200 hung sagas: {:.2} x the rate, {:.2} x the p50", ratio(Seen::rate), ratio(p50));
    Ok(())
}

fn median(rounds: &[Seen], of: fn(&Seen) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
