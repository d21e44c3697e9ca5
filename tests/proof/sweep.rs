//! A story, played once for each of many disturbances.

use std::io::Write as _;

use futures::StreamExt as _;

use super::play::{Deed, Played, play};
use super::point::Point;
use super::story::Story;

/// So often a story is played until a point is met that was not met at once.
const PLAYS: usize = 4;

/// Writes on the run that a disturbance may cost, beside those of calls that are repeated: the one that takes the run over,
/// and for a call in doubt the one that begins its compensation and the one that ends it.
const MORE_WRITES: usize = 3;

/// Whether everything is to be tried, or a spread of it.
pub(crate) fn everything() -> bool {
    std::env::var("SAGA_PROVE").is_ok()
}

/// All of them with `SAGA_PROVE=1`; else every third, beginning elsewhere for each story.
pub(crate) fn spread<T>(story: &Story, all: Vec<T>) -> Vec<T> {
    if everything() { all } else { all.into_iter().skip(story.name.len() % 3).step_by(3).collect() }
}

/// Plays a story once for each disturbance, side by side, and says how many there were.
///
/// Fails when one does not come, when the story ends otherwise than undisturbed, or costs more.
pub(crate) async fn sweep(story: &Story, reference: &Played, what: &str, disturbances: &[(Point, Deed)]) {
    let plays =
        disturbances.iter().map(|disturbance| async move { (disturbance, until_met(story, disturbance).await) });
    let played: Vec<_> = futures::stream::iter(plays).buffer_unordered(usize::MAX).collect().await;
    for ((point, deed), played) in &played {
        let told = || format!("{}: {deed:?} {point}\n{}", story.name, played.evidence.told());
        assert!(played.met, "it does not come: {}", told());
        assert_eq!(played.left, reference.left, "{}", told());
        let most = reference.writes + MORE_WRITES + played.repeated;
        assert!(played.writes <= most, "{} writes of {most}: {}", played.writes, told());
    }
    report(what, played.len(), story.name);
}

async fn until_met(story: &Story, (point, deed): &(Point, Deed)) -> Played {
    for _ in 1..PLAYS {
        let played = play(story, Some((point, *deed))).await;
        if played.met {
            return played;
        }
    }
    play(story, Some((point, *deed))).await
}

/// Says how much was tried, also where the output of tests that pass is not shown.
pub(crate) fn report(what: &str, count: usize, of: &str) {
    writeln!(std::io::stdout().lock(), "{what} points: {count} ({of})").expect("written");
}
