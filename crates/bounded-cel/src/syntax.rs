//! An expression as a tree, no deeper than [`MAX_DEPTH`].

use crate::functions::Function;
use crate::lexer::SyntaxError;
use crate::pattern::Pattern;

/// Levels of a tree. A level of evaluation takes well under a kilobyte of a stack.
const MAX_DEPTH: u8 = 96;

/// A part of an expression, and the offset of the byte that stands for it.
#[derive(Debug)]
pub struct Expression {
    pub kind: Kind,
    pub offset: usize,
    /// Levels, this one included.
    pub depth: u8,
}

#[derive(Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    /// The name of a type, which is a value too.
    Type(&'static str),
    Data,
    Input,
    /// The variable of the macro that is the n-th one around, counted from the outermost.
    Local(usize),
    Field(Box<Expression>, Box<str>),
    Has(Box<Expression>, Box<str>),
    Index(Box<[Expression; 2]>),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Binary(Operator, Box<[Expression; 2]>),
    /// Condition, then, else.
    Conditional(Box<[Expression; 3]>),
    List(Vec<Expression>),
    /// A key and its value, one after the other.
    Map(Vec<Expression>),
    /// A receiver is the first argument.
    Call(&'static Function, Vec<Expression>),
    Matches(Box<Expression>, Box<Pattern>),
    /// What is gone through, and what is evaluated for each element.
    Comprehension(Macro, Box<[Expression; 2]>),
    /// `map` with a condition: what is gone through, the condition, the value.
    FilterMap(Box<[Expression; 3]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// Whether it gives true or false.
    pub const fn is_predicate(self) -> bool {
        !matches!(
            self,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Remainder
        )
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// What goes through a list, or through the keys of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl Macro {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exists" => Self::Exists,
            "exists_one" | "existsOne" => Self::ExistsOne,
            "filter" => Self::Filter,
            "map" => Self::Map,
            _ => return None,
        })
    }

    /// Whether its second argument is a condition.
    pub const fn takes_condition(self) -> bool {
        !matches!(self, Self::Map)
    }
}

impl Expression {
    /// A part with what is below it.
    ///
    /// # Errors
    /// When it would be too deep.
    pub fn new(offset: usize, kind: Kind) -> Result<Self, SyntaxError> {
        let below = kind
            .children()
            .into_iter()
            .map(|part| part.depth)
            .max()
            .unwrap_or_default();
        if below >= MAX_DEPTH {
            return Err(SyntaxError::new(
                offset,
                format!("the expression has more than {MAX_DEPTH} levels here"),
            ));
        }
        Ok(Self {
            kind,
            offset,
            depth: below + 1,
        })
    }

    pub fn children(&self) -> Vec<&Self> {
        self.kind.children()
    }
}

impl Kind {
    fn children(&self) -> Vec<&Expression> {
        match self {
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Type(_)
            | Self::Data
            | Self::Input
            | Self::Local(_) => Vec::new(),
            Self::Field(part, _)
            | Self::Has(part, _)
            | Self::Matches(part, _)
            | Self::Not(part)
            | Self::Negate(part) => {
                vec![part]
            }
            Self::Index(parts) | Self::Binary(_, parts) | Self::Comprehension(_, parts) => {
                parts.iter().collect()
            }
            Self::Conditional(parts) | Self::FilterMap(parts) => parts.iter().collect(),
            Self::And(parts)
            | Self::Or(parts)
            | Self::List(parts)
            | Self::Map(parts)
            | Self::Call(_, parts) => parts.iter().collect(),
        }
    }
}
