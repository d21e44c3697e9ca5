//! A run that is deleted, with any propagation policy, at any of its writes; and a namespace that is: what was done is
//! undone, or finished where it cannot be undone any more, and nothing is left behind.
//!
//! By default each write meets one policy; with `SAGA_PROVE=1` each meets all of them.

mod common;
mod proof;

use std::sync::Arc;
use std::time::Duration;

use common::proxy::{Stage, Verdict};
use common::shop::{definition, eventually};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use kube::core::params::PropagationPolicy;
use proof::play::{Played, Theatre, play};
use proof::point::{Point, RUN, Trap};
use proof::story::{DIAMOND, SEQUENCE, SEQUENCE_UNDONE, Story, TRIP};
use proof::sweep::{everything, report};
use tokio::sync::{Notify, Semaphore};

/// Worlds side by side.
static ROOM: Semaphore = Semaphore::const_new(4);

/// Time for a deletion to come before the write that it is to come before.
const HEAD_START: Duration = Duration::from_millis(300);

/// Every way in which kubectl deletes.
fn ways() -> [DeleteParams; 4] {
    let with = |policy| DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    [
        with(PropagationPolicy::Background),
        with(PropagationPolicy::Foreground),
        with(PropagationPolicy::Orphan),
        // --force
        DeleteParams { grace_period_seconds: Some(0), ..with(PropagationPolicy::Background) },
    ]
}

/// What is deleted.
#[derive(Clone)]
enum Deleted {
    Run(DeleteParams),
    Namespace,
}

/// Deletes before the n-th write of the run lands, which then conflicts. Nothing but what the story says may be left.
async fn deleted_at(story: &Story, write: usize, deleted: Deleted) {
    let _room = ROOM.acquire().await.expect("open");
    let stage = Theatre::open(story).await;
    let operator = stage.operator();
    let reached = Arc::new(Notify::new());
    let (point, reach) = (Point { label: RUN.to_owned(), nth: write, stage: Stage::Asked }, reached.clone());
    stage.prepare(
        story,
        Some(Trap::new(point, move || {
            reach.notify_one();
            Verdict::Later(HEAD_START)
        })),
    );
    stage.shop.create(&definition("saga", stage.spec.clone())).await;
    stage.shop.ready("saga").await;
    let history = stage.begin(story).await;
    let run = stage.shop.runs.get("order").await.expect("there");
    reached.notified().await;
    match deleted {
        Deleted::Run(params) => drop(stage.shop.runs.delete("order", &params).await.expect("deleted")),
        Deleted::Namespace => {
            let namespaces: Api<Namespace> = Api::all(stage.shop.client.clone());
            namespaces.delete(&stage.shop.namespace, &DeleteParams::default()).await.expect("deleted");
            eventually("the namespace is gone", async || {
                let found = namespaces.get_opt(&stage.shop.namespace).await.expect("an answer");
                found.map_or(Ok(()), |namespace| Err(format!("{:#?}", namespace.status)))
            })
            .await;
        }
    }
    let evidence = stage.evidence(&run, history.until_gone().await, None);
    let mut found = evidence.violations();
    let last = &evidence.states.last().expect("states")["status"]["conditions"][0]["reason"];
    let standing = evidence.standing();
    let fits = match last.as_str() {
        Some("Succeeded") => standing == story.standing,
        Some("Compensated") => standing.is_empty(),
        None => evidence.wire.is_empty(),
        Some(_) => false,
    };
    if !fits {
        found.push(format!("it ended {last}, and {standing:?} stands"));
    }
    assert!(found.is_empty(), "{}, at write {write}: {found:#?}\n{}", story.name, evidence.told());
    drop((operator, history));
    stage.close().await;
}

async fn deleted_at_every_write(story: Story) {
    let Played { writes, .. } = play(&story, None).await;
    let mut worlds = Vec::new();
    for write in 0..writes {
        for (kind, way) in ways().into_iter().enumerate() {
            if everything() || write % ways().len() == kind {
                worlds.push(async move { deleted_at(&story, write, Deleted::Run(way)).await });
            }
        }
    }
    report("deletion", worlds.len(), story.name);
    futures::stream::iter(worlds).buffer_unordered(usize::MAX).for_each(async |()| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_deleted_at_any_write_is_undone_or_done() {
    deleted_at_every_write(SEQUENCE).await;
    deleted_at_every_write(SEQUENCE_UNDONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diamond_deleted_at_any_write_is_undone_before_its_pivot_and_done_after_it() {
    deleted_at_every_write(DIAMOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_deleted_at_any_write_is_cancelled_or_confirmed() {
    deleted_at_every_write(TRIP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_deleted_on_the_way_goes_when_its_saga_is_undone() {
    futures::future::join_all([3, 5].map(|write| deleted_at(&SEQUENCE, write, Deleted::Namespace))).await;
    deleted_at(&DIAMOND, 6, Deleted::Namespace).await;
}
