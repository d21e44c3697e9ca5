//! How fast sagas go on a local journal: every decision durable before it is acted on, real HTTP on loopback.
//!
//! `cargo bench --bench local -- [SAGAS] [--hung]`: each saga of [`common::shape`] at several concurrencies, in a closed
//! loop; with `--hung` instead healthy sagas beside some whose participant never answers. Every cell has a journal and an
//! engine of its own. The participant answers `{}` at once, from a process of its own. docs/performance.md says what the
//! figures mean.

mod bed;
#[path = "../common/mod.rs"]
mod common;
mod timed;

use std::process::ExitCode;

use self::bed::LocalBed;
use self::common::hung::{Hanging, compare};
use self::common::lanes::{Cell, closed};
use self::common::noop::Noop;
use self::common::process::Usage;
use self::common::shape::{HEALTHY, LANES, SHAPES, Shape, Urls, hanging};
use self::common::table::{self, figure, milliseconds};

/// Sagas of each cell: some seconds.
const SAGAS: usize = 4000;
/// One lane is slower.
const SINGLE: usize = 8;

fn main() -> ExitCode {
    common::run(async |arguments| {
        let noop = Noop::start().await?;
        let sagas = arguments.sagas.unwrap_or(SAGAS);
        if arguments.hung {
            return hung(&noop, sagas).await;
        }
        table::head(&[
            "saga",
            "lanes",
            "sagas/s",
            "p50 ms",
            "p99 ms",
            "undo p50",
            "undo p99",
            "cpu-s/1000",
            "RSS MiB",
            "writes",
            "disk KiB",
            "status B",
        ]);
        for shape in SHAPES {
            for lanes in LANES {
                let count = if lanes == 1 { sagas / SINGLE } else { sagas };
                cell(&noop, &shape, lanes, count.max(lanes)).await?;
            }
        }
        Ok(())
    })
}

async fn cell(noop: &Noop, shape: &Shape, lanes: usize, count: usize) -> Result<(), String> {
    let mut bed = LocalBed::new()?;
    // No such route: 404, which is a refusal.
    let [fine, refused] = ["noop", "refused"].map(|path| format!("{}/{path}", noop.url));
    let urls = Urls { forward: &fine, refused: &refused, undo: &fine };
    bed.apply(shape.name, &shape.definition(&urls)?).await?;
    let then = Usage::own();
    let cell = Cell { definition: shape.name, prefix: "run-", expected: shape.expected(), lanes, count };
    let seen = closed(&mut bed, cell).await?;
    let used = Usage::own().since(then);
    let (undo, sagas) = (bed.first_undo(), count as f64);
    table::line(&[
        shape.name.to_owned(),
        lanes.to_string(),
        figure(Some(seen.rate()), 0),
        milliseconds(&seen.latencies, 0.5),
        milliseconds(&seen.latencies, 0.99),
        milliseconds(&undo, 0.5),
        milliseconds(&undo, 0.99),
        figure(Some(used.cpu / sagas * 1000.0), 2),
        figure(Some(used.rss_mib), 0),
        figure(Some(bed.writes() as f64 / sagas), 1),
        figure(Some(used.written / sagas / 1024.0), 1),
        seen.status.to_string(),
    ]);
    Ok(())
}

async fn hung(noop: &Noop, sagas: usize) -> Result<(), String> {
    let mut bed = LocalBed::new()?;
    let participant = Hanging::start().await?;
    let fine = format!("{}/noop", noop.url);
    let urls = Urls { forward: &fine, refused: &fine, undo: &fine };
    bed.apply(HEALTHY.name, &HEALTHY.definition(&urls)?).await?;
    bed.apply("hung", &hanging(&participant.url)?).await?;
    compare(&mut bed, &participant, (HEALTHY.name, "hung"), sagas).await
}
