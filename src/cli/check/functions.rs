//! What Kubernetes adds to CEL and the rules use: functions of lists and strings, and loops over two variables.

use std::cmp::Ordering;
use std::sync::Arc;

use cel::extractors::{Identifier, This};
use cel::parser::Expression;
use cel::{Context, ExecutionError, FunctionContext, Value};

/// CEL with these.
pub(super) fn context() -> Context<'static> {
    let mut context = Context::default();
    context.add_function("lowerAscii", |This(text): This<Arc<String>>| text.to_ascii_lowercase());
    context.add_function("isSorted", |This(list): This<Arc<Vec<Value>>>| list.is_sorted_by(in_order));
    // With one variable both are macros, which the parser knows.
    context.add_function("all", all);
    context.add_function("exists", exists);
    context
}

fn in_order(one: &Value, next: &Value) -> bool {
    matches!(one.partial_cmp(next), Some(Ordering::Less | Ordering::Equal))
}

/// `list.all(index, item, condition)`.
fn all(
    frame: &FunctionContext<'_, '_>,
    This(list): This<Arc<Vec<Value>>>,
    index: Identifier,
    item: Identifier,
    condition: Expression,
) -> Result<Value, ExecutionError> {
    let found = first(frame, &list, [index, item], &condition, Wanted::Broken)?;
    Ok(Value::Bool(!found))
}

/// `list.exists(index, item, condition)`.
fn exists(
    frame: &FunctionContext<'_, '_>,
    This(list): This<Arc<Vec<Value>>>,
    index: Identifier,
    item: Identifier,
    condition: Expression,
) -> Result<Value, ExecutionError> {
    first(frame, &list, [index, item], &condition, Wanted::Met).map(Value::Bool)
}

/// What of a condition is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Met,
    Broken,
}

/// Whether there is an item of which the condition is so.
fn first(
    frame: &FunctionContext<'_, '_>,
    list: &[Value],
    [index, item]: [Identifier; 2],
    condition: &Expression,
    wanted: Wanted,
) -> Result<bool, ExecutionError> {
    let (index, item) = (String::from(index), String::from(item));
    for (place, value) in list.iter().enumerate() {
        let mut inner = frame.ptx.new_inner_scope();
        inner.add_variable_from_value(index.as_str(), i64::try_from(place).unwrap_or(i64::MAX));
        inner.add_variable_from_value(item.as_str(), value.clone());
        match inner.resolve(condition)? {
            Value::Bool(met) if met == (wanted == Wanted::Met) => return Ok(true),
            Value::Bool(_) => {}
            _ => return Err(frame.error("the condition gives no bool")),
        }
    }
    Ok(false)
}
