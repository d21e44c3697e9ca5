//! Operators with two operands, as the CEL specification has them.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::expr::budget::Budget;
use crate::expr::error::Fault;
use crate::expr::node::Binary;
use crate::expr::value::{List, Map, Value};

/// Applies an operator.
///
/// # Errors
/// Types that the operator does not work on, overflow, division by zero, the budget.
pub(super) fn apply<'v>(
    operator: Binary,
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, Fault> {
    let fail = || Err(mismatch(operator, left, right));
    match operator {
        Binary::Equal => Ok(Value::Bool(equal(left, right, budget)?)),
        Binary::NotEqual => Ok(Value::Bool(!equal(left, right, budget)?)),
        Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
            let Some(ordering) = compare(left, right, budget)? else { return fail() };
            Ok(Value::Bool(match (operator, ordering) {
                // NaN is not ordered.
                (_, None) => false,
                (Binary::Less, Some(ordering)) => ordering.is_lt(),
                (Binary::LessEqual, Some(ordering)) => ordering.is_le(),
                (Binary::Greater, Some(ordering)) => ordering.is_gt(),
                (_, Some(ordering)) => ordering.is_ge(),
            }))
        }
        Binary::In => match (left, right) {
            (_, Value::List(list)) => contains(list, left, budget).map(Value::Bool),
            (Value::Text(key), Value::Map(map)) => Ok(Value::Bool(map.get(key.as_str()).is_some())),
            // Keys are texts; no other value is one.
            (_, Value::Map(_)) => Ok(Value::Bool(false)),
            (_, _) => fail(),
        },
        Binary::Add => match (left, right) {
            (Value::Text(a), Value::Text(b)) => {
                let (a, b) = (a.as_str(), b.as_str());
                budget.spend_text(a.len() + b.len())?;
                Ok(Value::made([a, b].concat()))
            }
            (Value::List(a), Value::List(b)) => {
                budget.spend(a.len() + b.len())?;
                Ok(Value::list(a.iter().chain(b.iter()).collect()))
            }
            _ => arithmetic(operator, left, right),
        },
        Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Modulo => arithmetic(operator, left, right),
    }
}

/// Whether the list holds an element equal to `wanted`.
pub(super) fn contains(list: &List<'_>, wanted: &Value<'_>, budget: &mut Budget) -> Result<bool, Fault> {
    for element in list.iter() {
        if equal(&element, wanted, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Equality: numbers by their value whatever their types, other types only with themselves.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<bool, Fault> {
    budget.spend(1)?;
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => {
            budget.spend_bytes(a.as_str().len().min(b.as_str().len()))?;
            a.as_str() == b.as_str()
        }
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(&a, &b, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => return equal_maps(a, b, budget),
        _ => numbers(left, right) == Some(Some(Ordering::Equal)),
    })
}

fn equal_maps(left: &Map<'_>, right: &Map<'_>, budget: &mut Budget) -> Result<bool, Fault> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (key, a) in left.iter() {
        budget.spend_bytes(key.len())?;
        let Some(b) = right.get(key) else { return Ok(false) };
        if !equal(&a, &b, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two values: nothing where their types have none, `Some(None)` with NaN.
fn compare(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<Option<Option<Ordering>>, Fault> {
    Ok(match (left, right) {
        (Value::Text(a), Value::Text(b)) => {
            budget.spend_bytes(a.as_str().len().min(b.as_str().len()))?;
            Some(Some(a.as_str().cmp(b.as_str())))
        }
        (Value::Bool(a), Value::Bool(b)) => Some(Some(a.cmp(b))),
        _ => numbers(left, right),
    })
}

/// The order of two numbers on the number line, exactly: no integer is rounded to a double.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    Some(match (left, right) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), _) => with_double(integer(right)?, *a).map(Ordering::reverse),
        (_, Value::Double(b)) => with_double(integer(left)?, *b),
        _ => Some(integer(left)?.cmp(&integer(right)?)),
    })
}

fn integer(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(int) => Some(i128::from(*int)),
        Value::Uint(uint) => Some(i128::from(*uint)),
        Value::Null | Value::Bool(_) | Value::Double(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn with_double(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // The cast saturates, far outside of 64 bits.
    let whole = double.trunc() as i128;
    Some(integer.cmp(&whole).then_with(|| 0f64.total_cmp(&(double.fract() + 0.0))))
}

/// `+ - * / %` of two numbers of the same type; CEL converts none.
fn arithmetic<'v>(operator: Binary, left: &Value<'v>, right: &Value<'v>) -> Result<Value<'v>, Fault> {
    let by_zero = matches!(operator, Binary::Divide | Binary::Modulo)
        && matches!(right, Value::Int(0) | Value::Uint(0))
        && std::mem::discriminant(left) == std::mem::discriminant(right);
    if by_zero {
        return Err(Fault::DivisionByZero);
    }
    let result = match (operator, left, right) {
        (Binary::Add, Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int),
        (Binary::Subtract, Value::Int(a), Value::Int(b)) => a.checked_sub(*b).map(Value::Int),
        (Binary::Multiply, Value::Int(a), Value::Int(b)) => a.checked_mul(*b).map(Value::Int),
        (Binary::Divide, Value::Int(a), Value::Int(b)) => a.checked_div(*b).map(Value::Int),
        (Binary::Modulo, Value::Int(a), Value::Int(b)) => a.checked_rem(*b).map(Value::Int),
        (Binary::Add, Value::Uint(a), Value::Uint(b)) => a.checked_add(*b).map(Value::Uint),
        (Binary::Subtract, Value::Uint(a), Value::Uint(b)) => a.checked_sub(*b).map(Value::Uint),
        (Binary::Multiply, Value::Uint(a), Value::Uint(b)) => a.checked_mul(*b).map(Value::Uint),
        (Binary::Divide, Value::Uint(a), Value::Uint(b)) => a.checked_div(*b).map(Value::Uint),
        (Binary::Modulo, Value::Uint(a), Value::Uint(b)) => a.checked_rem(*b).map(Value::Uint),
        (Binary::Add, Value::Double(a), Value::Double(b)) => Some(Value::Double(a + b)),
        (Binary::Subtract, Value::Double(a), Value::Double(b)) => Some(Value::Double(a - b)),
        (Binary::Multiply, Value::Double(a), Value::Double(b)) => Some(Value::Double(a * b)),
        (Binary::Divide, Value::Double(a), Value::Double(b)) => Some(Value::Double(a / b)),
        _ => return Err(mismatch(operator, left, right)),
    };
    result.ok_or(Fault::Overflow(symbol(operator)))
}

fn mismatch(operator: Binary, left: &Value<'_>, right: &Value<'_>) -> Fault {
    let number = |value: &Value<'_>| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_));
    let hint = match (operator, left, right) {
        (_, a, b) if number(a) && number(b) => "; convert with `int(...)`, `uint(...)` or `double(...)`",
        (Binary::Add, Value::Text(_), b) if number(b) || matches!(b, Value::Bool(_)) => "; convert with `string(...)`",
        (Binary::Add, a, Value::Text(_)) if number(a) || matches!(a, Value::Bool(_)) => "; convert with `string(...)`",
        (_, Value::Null, _) | (_, _, Value::Null) => "; test with `!= null` and `? :`",
        (_, _, _) => "",
    };
    Fault::Operator { operator: symbol(operator), left: left.kind(), right: right.kind(), hint }
}

fn symbol(operator: Binary) -> &'static str {
    match operator {
        Binary::Add => "+",
        Binary::Subtract => "-",
        Binary::Multiply => "*",
        Binary::Divide => "/",
        Binary::Modulo => "%",
        Binary::Equal => "==",
        Binary::NotEqual => "!=",
        Binary::Less => "<",
        Binary::LessEqual => "<=",
        Binary::Greater => ">",
        Binary::GreaterEqual => ">=",
        Binary::In => "in",
    }
}

/// `-value`
pub(super) fn negate<'v>(value: &Value<'v>) -> Result<Value<'v>, Fault> {
    match value {
        Value::Int(int) => int.checked_neg().map(Value::Int).ok_or(Fault::Overflow("-")),
        Value::Double(double) => Ok(Value::Double(-double)),
        Value::Null | Value::Bool(_) | Value::Uint(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            Err(Fault::Type { place: "the operand of `-`", wanted: "an int or a double", found: value.kind() })
        }
    }
}

/// A list of the elements, for a range: a list itself, or the sorted keys of a map.
pub(super) fn range<'v>(value: Value<'v>, budget: &mut Budget) -> Result<List<'v>, Fault> {
    match value {
        Value::List(list) => Ok(list),
        Value::Map(map) => {
            let mut keys = Vec::with_capacity(map.len());
            for key in map.keys() {
                budget.spend_bytes(key.len())?;
                keys.push(Value::made(key.to_owned()));
            }
            Ok(List::Made(Rc::new(keys)))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Text(_) => {
            Err(Fault::Type { place: "the range of a comprehension", wanted: "a list or a map", found: value.kind() })
        }
    }
}
