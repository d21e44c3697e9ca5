//! The command line as Markdown, from clap's own tree.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::cell;

/// The whole page.
pub(super) fn page(mut command: Command) -> String {
    command.build();
    let mut page =
        "# Command line\n\nMade from the code by `cargo xtask generate`: change the code, not this page.\n".to_owned();
    section(&mut page, &command, &[]);
    page
}

fn section(page: &mut String, command: &Command, above: &[&str]) {
    let path: Vec<&str> = above.iter().copied().chain([command.get_name()]).collect();
    add(page, format_args!("\n## `{}`\n\n", path.join(" ")));
    let about = command.get_long_about().or_else(|| command.get_about());
    add(page, format_args!("{}\n", about.map(ToString::to_string).unwrap_or_default()));
    let usage = command.clone().render_usage().to_string();
    add(page, format_args!("\n    {}\n", usage.trim_start_matches("Usage: ")));
    // Arguments of the whole program are told once, at its own section.
    let told = |arg: &&Arg| !arg.is_hide_set() && (above.is_empty() || !arg.is_global_set()) && !standard(arg);
    let arguments: Vec<&Arg> = command.get_arguments().filter(told).collect();
    if !arguments.is_empty() {
        page.push_str("\n| argument | default | environment | meaning |\n|---|---|---|---|\n");
        arguments.iter().for_each(|arg| row(page, arg));
    }
    let visible: Vec<&Command> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").collect();
    if !visible.is_empty() {
        page.push_str("\n| command | |\n|---|---|\n");
        for sub in &visible {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            add(page, format_args!("| `{}` | {} |\n", sub.get_name(), cell(&about)));
        }
    }
    visible.iter().for_each(|sub| section(page, sub, &path));
}

/// Every command has these.
fn standard(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

fn row(page: &mut String, arg: &Arg) {
    let values: Vec<String> = arg.get_value_names().into_iter().flatten().map(|name| format!("<{name}>")).collect();
    let more = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
    let value = if arg.get_action().takes_values() { values.join(" ") + more } else { String::new() };
    let names = [arg.get_short().map(|short| format!("-{short}")), arg.get_long().map(|long| format!("--{long}"))];
    let mut words: Vec<String> = vec![names.into_iter().flatten().collect::<Vec<_>>().join(", ")];
    words.push(value);
    words.retain(|word| !word.is_empty());
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    let environment = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
    let mut meaning = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && arg.get_action().takes_values())
        .map(|value| {
            let help = value.get_help().map(|help| format!(" ({})", help.to_string().trim_end_matches('.')));
            format!("`{}`{}", value.get_name(), help.unwrap_or_default())
        })
        .collect();
    if !possible.is_empty() {
        meaning = format!("{}. One of {}", meaning.trim_end_matches('.'), possible.join(", "));
    }
    let required = if arg.is_required_set() { "required" } else { "" };
    let default = if defaults.is_empty() { required.to_owned() } else { defaults.join(" ") };
    let words = cell(&words.join(" "));
    add(page, format_args!("| `{words}` | {default} | {environment} | {} |\n", cell(&meaning)));
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    page.write_fmt(text).unwrap_or_default();
}
