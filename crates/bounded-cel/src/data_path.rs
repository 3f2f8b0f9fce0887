//! Paths into `data` that an expression names: they locate a violation.

use crate::display;
use crate::syntax::{Expression, Kind};

/// Returns the JSON Pointer of the deepest value of `data` that contains every path the expression names.
pub fn common_pointer(expression: &Expression) -> String {
    let mut paths = Vec::new();
    collect_paths(expression, &mut paths);
    let mut paths = paths.into_iter();
    let Some(mut common) = paths.next() else {
        return String::new();
    };
    for path in paths {
        let shared = common
            .iter()
            .zip(&path)
            .take_while(|(one, other)| one == other)
            .count();
        common.truncate(shared);
    }
    display::pointer(&common)
}

fn collect_paths(expression: &Expression, paths: &mut Vec<Vec<String>>) {
    match path_of(expression) {
        Some(path) => paths.push(path),
        None => expression
            .children()
            .into_iter()
            .for_each(|child| collect_paths(child, paths)),
    }
}

/// Returns the keys and indices from `data` to the value an expression names. `None`: the expression is no constant path.
fn path_of(expression: &Expression) -> Option<Vec<String>> {
    let (parent, token) = match &expression.kind {
        Kind::Data => return Some(Vec::new()),
        Kind::Field(parent, name) | Kind::Has(parent, name) => (parent.as_ref(), name.to_string()),
        Kind::Index(operands) => {
            let [parent, index] = operands.as_ref();
            match &index.kind {
                Kind::Text(name) => (parent, name.to_string()),
                Kind::Int(position) => (parent, position.to_string()),
                _ => return None,
            }
        }
        _ => return None,
    };
    let mut path = path_of(parent)?;
    path.push(token);
    Some(path)
}
