//! Which step waits for which, and where in that order each role may stand.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Problem;
use super::set::Steps;
use crate::api::Reason;
use crate::api::definition::{Role, Step};

/// The dependencies of the steps of a definition. Names that are unknown or not earlier in the list are left out:
/// [`check`] names them.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    direct: Vec<Steps>,
    ancestors: Vec<Steps>,
}

impl Graph {
    pub(super) fn new(steps: &[Step]) -> Self {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut direct, mut ancestors): (Vec<Steps>, Vec<Steps>) = (Vec::new(), Vec::new());
        for (index, step) in steps.iter().enumerate() {
            let mut waits_for = Steps::default();
            match &step.depends_on {
                None => index.checked_sub(1).into_iter().for_each(|previous| waits_for.insert(previous)),
                Some(names) => {
                    names.iter().filter_map(|name| known.get(name.as_str())).for_each(|named| waits_for.insert(*named));
                }
            }
            let further = waits_for.iter().filter_map(|named| ancestors.get(named).copied());
            ancestors.push(further.fold(waits_for, Steps::union));
            direct.push(waits_for);
            known.entry(&step.name).or_insert(index);
        }
        Self { direct, ancestors }
    }

    /// What a step waits for by itself.
    pub(super) fn dependencies(&self, step: usize) -> Steps {
        self.direct.get(step).copied().unwrap_or_default()
    }

    /// What a step waits for, directly or through others.
    pub(super) fn ancestors(&self, step: usize) -> Steps {
        self.ancestors.get(step).copied().unwrap_or_default()
    }

    /// What waits for a step, directly or through others.
    pub(super) fn dependents(&self, step: usize) -> Steps {
        let mut all = Steps::default();
        let waiting = self.ancestors.iter().enumerate().filter(|(_, ancestors)| ancestors.contains(step));
        waiting.for_each(|(later, _)| all.insert(later));
        all
    }
}

/// Every mistake in the order of the steps and, where that is right, in the places of their roles.
pub(super) fn check(steps: &[Step]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        check_names(steps, index, step, &mut problems);
    }
    if problems.is_empty() {
        check_roles(steps, &mut problems);
    }
    problems
}

fn check_names(steps: &[Step], index: usize, step: &Step, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (place, name) in step.depends_on.iter().flatten().enumerate() {
        let found = steps.iter().position(|other| other.name == *name);
        let message = match found {
            None => format!("names the step '{name}', which is not in `spec.steps`"),
            Some(_) if !seen.insert(name) => format!("names the step '{name}' twice: take one of them out"),
            Some(found) if found == index => format!("names the step '{name}' itself: take it out"),
            Some(found) if found < index => continue,
            Some(found) if waits_for(steps, found, &step.name) => format!(
                "names the step '{name}', which waits for '{}' itself, directly or through others: a cycle, of which \
                 one name must go",
                step.name
            ),
            Some(_) => format!("names the step '{name}', which comes later in the list: put it before '{}'", step.name),
        };
        problems.push(graph(format!("spec.steps[{index}].dependsOn[{place}]"), message));
    }
}

/// Whether the `dependsOn` of a step name another, directly or through others, wherever they stand in the list.
fn waits_for(steps: &[Step], from: usize, wanted: &str) -> bool {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&Step> = steps.get(from).into_iter().collect();
    while let Some(step) = open.pop() {
        for name in step.depends_on.iter().flatten().filter(|name| seen.insert(name)) {
            open.extend(steps.iter().find(|other| other.name == *name));
        }
    }
    seen.contains(wanted)
}

fn check_roles(steps: &[Step], problems: &mut Vec<Problem>) {
    let mut pivots = steps.iter().enumerate().filter(|(_, step)| step.role == Role::Pivot).map(|(index, _)| index);
    let Some(pivot) = pivots.next() else {
        let retriable = steps.iter().enumerate().filter(|(_, step)| step.role == Role::Retriable);
        problems.extend(retriable.map(|(index, step)| {
            let message = format!(
                "is Retriable, and there is no Pivot that '{}' could come after: give a step `role: Pivot`, or use \
                 Compensatable",
                step.name
            );
            graph(format!("spec.steps[{index}].role"), message)
        }));
        return;
    };
    problems.extend(pivots.map(|second| {
        let message = format!(
            "is Pivot, and so is '{}': a run has one go/no-go; use Compensatable before it, Retriable after it",
            name(steps, pivot)
        );
        graph(format!("spec.steps[{second}].role"), message)
    }));
    let order = Graph::new(steps);
    let (before, after) = (order.ancestors(pivot), order.dependents(pivot));
    for (index, step) in steps.iter().enumerate().filter(|(index, _)| *index != pivot) {
        let (role, pivot) = (step.role, name(steps, pivot));
        let message = match (role, before.contains(index), after.contains(index)) {
            (Role::Pivot, ..) => continue,
            (_, false, false) => format!(
                "leaves '{}' beside the Pivot '{pivot}', where nothing may run: let {}, directly or through others",
                step.name,
                match role {
                    Role::Compensatable => format!("'{pivot}' depend on it"),
                    Role::Retriable => format!("it depend on '{pivot}'"),
                    Role::ReadOnly | Role::Pivot => format!("it depend on '{pivot}', or '{pivot}' on it"),
                }
            ),
            (Role::Compensatable, false, true) => {
                format!("is Compensatable after the Pivot '{pivot}': nothing is undone there; use Retriable")
            }
            (Role::Retriable, true, _) => {
                format!("is Retriable before the Pivot '{pivot}': the run may still fail there; use Compensatable")
            }
            (Role::Compensatable, true, _) | (Role::Retriable, false, true) | (Role::ReadOnly, ..) => continue,
        };
        let field = if before.contains(index) || after.contains(index) { "role" } else { "dependsOn" };
        problems.push(graph(format!("spec.steps[{index}].{field}"), message));
    }
}

fn name(steps: &[Step], index: usize) -> &str {
    steps.get(index).map_or("", |step| step.name.as_str())
}

fn graph(field: String, message: String) -> Problem {
    Problem::new(field, Reason::InvalidGraph, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(list: &[(&str, Role, Option<&[&str]>)]) -> Vec<Step> {
        let step = |(name, role, after): &(&str, Role, Option<&[&str]>)| Step {
            name: (*name).to_owned(),
            role: *role,
            depends_on: after.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            ..Step::default()
        };
        list.iter().map(step).collect()
    }

    fn found(list: &[(&str, Role, Option<&[&str]>)]) -> Vec<String> {
        check(&steps(list)).iter().map(ToString::to_string).collect()
    }

    use Role::{Compensatable as C, Pivot as P, ReadOnly as O, Retriable as R};

    #[test]
    fn a_plain_list_is_a_sequence_and_an_empty_list_waits_for_nothing() {
        let graph =
            Graph::new(&steps(&[("a", C, None), ("b", C, None), ("c", C, Some(&[])), ("d", C, Some(&["b", "c"]))]));
        let list = |set: Steps| set.iter().collect::<Vec<_>>();
        assert_eq!(list(graph.ancestors(1)), [0]);
        assert!(list(graph.ancestors(2)).is_empty());
        assert_eq!(list(graph.dependencies(3)), [1, 2]);
        assert_eq!(list(graph.ancestors(3)), [0, 1, 2]);
        assert_eq!(list(graph.dependents(0)), [1, 3]);
    }

    #[test]
    fn a_ladder_of_sixty_four_steps_is_read_at_once() {
        let names: Vec<String> = (0..64).map(|index| format!("s{index}")).collect();
        let ladder: Vec<Step> = (0..64)
            .map(|index: usize| Step {
                name: names[index].clone(),
                depends_on: Some(names[index.saturating_sub(2)..index].to_vec()),
                ..Step::default()
            })
            .collect();
        assert_eq!(Graph::new(&ladder).ancestors(63).iter().count(), 63);
    }

    #[test]
    fn a_good_graph_has_no_mistake() {
        let diamond = [
            ("a", C, None),
            ("b", C, Some(&["a"][..])),
            ("c", O, Some(&["a"])),
            ("p", P, Some(&["b", "c"])),
            ("r", R, None),
        ];
        assert_eq!(found(&diamond), Vec::<String>::new());
    }

    #[test]
    fn names_that_cannot_be_waited_for_are_named() {
        let list = [("a", C, Some(&["c", "a", "x"][..])), ("b", C, Some(&["a", "a"])), ("c", C, None)];
        assert_eq!(
            found(&list),
            [
                "spec.steps[0].dependsOn[0]: names the step 'c', which comes later in the list: put it before 'a'",
                "spec.steps[0].dependsOn[1]: names the step 'a' itself: take it out",
                "spec.steps[0].dependsOn[2]: names the step 'x', which is not in `spec.steps`",
                "spec.steps[1].dependsOn[1]: names the step 'a' twice: take one of them out",
            ]
        );
    }

    #[test]
    fn a_cycle_is_named_as_one_and_hides_what_follows_from_it() {
        let list = [
            ("a", C, Some(&["c"][..])),
            ("b", C, Some(&["a"])),
            ("c", C, Some(&["b"])),
            ("p", P, Some(&["c"])),
            ("d", C, Some(&["e", "f"])),
            ("e", C, Some(&["f"])),
            ("f", C, Some(&["f"])),
        ];
        assert_eq!(
            found(&list),
            [
                "spec.steps[0].dependsOn[0]: names the step 'c', which waits for 'a' itself, directly or through \
                 others: a cycle, of which one name must go",
                "spec.steps[4].dependsOn[0]: names the step 'e', which comes later in the list: put it before 'd'",
                "spec.steps[4].dependsOn[1]: names the step 'f', which comes later in the list: put it before 'd'",
                "spec.steps[5].dependsOn[0]: names the step 'f', which comes later in the list: put it before 'e'",
                "spec.steps[6].dependsOn[0]: names the step 'f' itself: take it out",
            ]
        );
    }

    #[test]
    fn roles_in_the_wrong_place_are_named() {
        assert_eq!(
            found(&[("a", C, None), ("r", R, None)]),
            ["spec.steps[1].role: is Retriable, and there is no Pivot that 'r' could come after: give a step \
              `role: Pivot`, or use Compensatable"]
        );
        assert_eq!(
            found(&[
                ("r", R, None),
                ("p", P, None),
                ("c", C, None),
                ("q", P, None),
                ("o", O, Some(&[])),
                ("d", C, Some(&[])),
                ("s", R, Some(&[])),
            ]),
            [
                "spec.steps[3].role: is Pivot, and so is 'p': a run has one go/no-go; use Compensatable before it, \
                 Retriable after it",
                "spec.steps[0].role: is Retriable before the Pivot 'p': the run may still fail there; use Compensatable",
                "spec.steps[2].role: is Compensatable after the Pivot 'p': nothing is undone there; use Retriable",
                "spec.steps[4].dependsOn: leaves 'o' beside the Pivot 'p', where nothing may run: let it depend on \
                 'p', or 'p' on it, directly or through others",
                "spec.steps[5].dependsOn: leaves 'd' beside the Pivot 'p', where nothing may run: let 'p' depend on it, \
                 directly or through others",
                "spec.steps[6].dependsOn: leaves 's' beside the Pivot 'p', where nothing may run: let it depend on 'p', \
                 directly or through others",
            ]
        );
    }
}
