//! Looks again at definitions whose runs came and went: seldom, because each look may cost a write.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::time::MissedTickBehavior;

use super::usage::Usage;
use super::{Context, Guarded};

/// How far `activeRuns` may be behind, and how long a definition that is being deleted may outlive its last run.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Definitions whose number of runs is not what their status says, and those that wait to go.
pub(super) fn concerned(context: Arc<Context>) -> impl Stream<Item = ObjectRef<Guarded>> {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ticks = stream::unfold(interval, |mut interval| async move {
        interval.tick().await;
        Some(((), interval))
    });
    ticks.flat_map(move |()| stream::iter(sweep(&context)))
}

fn sweep(context: &Context) -> Vec<ObjectRef<Guarded>> {
    let Some(usage) = Usage::of(&context.runs) else { return Vec::new() };
    let behind = |definition: &Guarded| {
        let Ok(definition) = &definition.0 else { return false };
        let said = definition.status.as_ref().and_then(|status| status.active_runs);
        definition.metadata.deletion_timestamp.is_some() || said != Some(usage.active(definition))
    };
    let definitions = context.definitions.state();
    definitions
        .iter()
        .filter(|definition| behind(definition))
        .map(|definition| ObjectRef::from_obj(&**definition))
        .collect()
}
