//! Parser: builds the syntax tree and resolves names. Unknown names are errors.

use crate::functions::{self, Style};
use crate::lexer::{SyntaxError, Token, tokens};
use crate::operator::Operator;
use crate::pattern;
use crate::syntax::{Expression, Kind, Macro};

/// Maximum nesting of brackets, arguments and conditionals.
const MAX_NESTING: usize = 40;
/// Reserved words of the language.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Types that an expression can name.
const TYPES: [&str; 9] = [
    "bool",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// Parses an expression. `patterns` is the remaining number of regular expressions, which is reduced.
///
/// # Errors
/// If the syntax is invalid, a name is unknown, or nesting or the number of regular expressions is too large.
pub fn parse(text: &str, patterns: &mut usize) -> Result<Expression, SyntaxError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        nesting: 0,
        locals: Vec::new(),
        patterns,
    };
    let expression = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expression),
        token => Err(SyntaxError::new(
            parser.offset(),
            format!(
                "{} is not expected after a whole expression",
                describe(token)
            ),
        )),
    }
}

struct Parser<'p> {
    tokens: Vec<(usize, Token)>,
    next: usize,
    nesting: usize,
    /// Variables of the enclosing macros, outermost first.
    locals: Vec<String>,
    /// Remaining number of regular expressions.
    patterns: &'p mut usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn offset(&self) -> usize {
        self.offset_of(self.next)
    }

    fn offset_of(&self, token: usize) -> usize {
        self.tokens
            .get(token)
            .or(self.tokens.last())
            .map_or(0, |(at, _)| *at)
    }

    fn next_token(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn skip_sign(&mut self, sign: &'static str) -> bool {
        let is_next = *self.peek() == Token::Sign(sign);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), SyntaxError> {
        if self.skip_sign(sign) {
            return Ok(());
        }
        Err(SyntaxError::new(
            self.offset(),
            format!("`{sign}` is expected here, not {}", describe(self.peek())),
        ))
    }

    fn expression(&mut self) -> Result<Expression, SyntaxError> {
        if self.nesting >= MAX_NESTING {
            return Err(SyntaxError::new(
                self.offset(),
                format!("this is nested more than {MAX_NESTING} levels deep"),
            ));
        }
        self.nesting += 1;
        let condition = self.binary(0)?;
        let at = self.offset();
        let expression = if self.skip_sign("?") {
            let then = self.binary(0)?;
            self.expect(":")?;
            let other = self.expression()?;
            Expression::new(at, Kind::Conditional(Box::new([condition, then, other])))?
        } else {
            condition
        };
        self.nesting -= 1;
        Ok(expression)
    }

    /// Parses operands and infix operators with at least the given precedence.
    fn binary(&mut self, min_precedence: u8) -> Result<Expression, SyntaxError> {
        let mut left = self.unary()?;
        loop {
            let at = self.offset();
            let Some((infix, precedence)) =
                infix_operator(self.peek()).filter(|(_, precedence)| *precedence >= min_precedence)
            else {
                return Ok(left);
            };
            self.next += 1;
            let right = self.binary(precedence + 1)?;
            let kind = match (infix, left.kind) {
                (Infix::And, Kind::And(parts)) => Kind::And(appended(parts, right)),
                (Infix::Or, Kind::Or(parts)) => Kind::Or(appended(parts, right)),
                (infix, kind) => {
                    let left = Expression { kind, ..left };
                    match infix {
                        Infix::And => Kind::And(vec![left, right]),
                        Infix::Or => Kind::Or(vec![left, right]),
                        Infix::Operator(operator) => {
                            Kind::Binary(operator, Box::new([left, right]))
                        }
                    }
                }
            };
            left = Expression::new(at, kind)?;
        }
    }

    fn unary(&mut self) -> Result<Expression, SyntaxError> {
        let (start, first) = (self.next, self.peek().clone());
        while matches!(first, Token::Sign("!" | "-")) && *self.peek() == first {
            self.next += 1;
        }
        let mut signs = self.next - start;
        let mut operand = if let (Token::Sign("-"), &Token::Int(value)) = (&first, self.peek()) {
            // The minimum of i64 has no positive counterpart.
            signs -= 1;
            let at = self.offset_of(start + signs);
            self.next += 1;
            let value = 0_i64
                .checked_sub_unsigned(value)
                .ok_or_else(|| integer_too_large(at))?;
            let number = Expression::new(at, Kind::Int(value))?;
            self.members(number)?
        } else {
            let primary = self.primary()?;
            self.members(primary)?
        };
        for sign in (start..start + signs).rev() {
            let at = self.offset_of(sign);
            let operand_box = Box::new(operand);
            let kind = if first == Token::Sign("!") {
                Kind::Not(operand_box)
            } else {
                Kind::Negate(operand_box)
            };
            operand = Expression::new(at, kind)?;
        }
        Ok(operand)
    }

    fn primary(&mut self) -> Result<Expression, SyntaxError> {
        let at = self.offset();
        let kind = match self.next_token() {
            Token::Int(value) => {
                Kind::Int(i64::try_from(value).map_err(|_| integer_too_large(at))?)
            }
            Token::Uint(value) => Kind::Uint(value),
            Token::Double(value) => Kind::Double(value),
            Token::Text(text) => Kind::Text(text.into()),
            Token::Name(name) => return self.name(at, &name),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => Kind::List(self.list("]", Self::expression)?.into_iter().collect()),
            Token::Sign("{") => {
                Kind::Map(self.list("}", Self::entry)?.into_iter().flatten().collect())
            }
            token => {
                return Err(SyntaxError::new(
                    at,
                    format!("a value is expected here, not {}", describe(&token)),
                ));
            }
        };
        Expression::new(at, kind)
    }

    /// Resolves a name that is no field: a call, a literal, a variable or a type.
    fn name(&mut self, at: usize, name: &str) -> Result<Expression, SyntaxError> {
        if self.skip_sign("(") {
            return self.call(at, name);
        }
        let kind = match name {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "null" => Kind::Null,
            _ => match self.locals.iter().rposition(|local| local == name) {
                Some(local) => Kind::Local(local),
                None if name == "data" => Kind::Data,
                None if name == "input" => Kind::Input,
                None => match TYPES.into_iter().find(|known| *known == name) {
                    Some(known) => Kind::Type(known),
                    None => return Err(self.unknown_variable(at, name)),
                },
            },
        };
        Expression::new(at, kind)
    }

    fn unknown_variable(&self, at: usize, name: &str) -> SyntaxError {
        let mut known = vec!["`data`".to_owned(), "`input`".to_owned()];
        known.extend(self.locals.iter().map(|local| format!("`{local}`")));
        SyntaxError::new(
            at,
            format!(
                "the variable `{name}` is not known; here are {}",
                known.join(", ")
            ),
        )
    }

    fn call(&mut self, at: usize, name: &str) -> Result<Expression, SyntaxError> {
        if name == "has" {
            let field = self.expression()?;
            self.expect(")")?;
            return match field.kind {
                Kind::Field(of, name) => Expression::new(at, Kind::Has(of, name)),
                _ => Err(SyntaxError::new(
                    at,
                    "`has` takes a field, as in `has(data.end)`",
                )),
            };
        }
        let arguments = self.list(")", Self::expression)?;
        self.function(at, name, Style::Global, arguments)
    }

    fn function(
        &mut self,
        at: usize,
        name: &str,
        style: Style,
        mut arguments: Vec<Expression>,
    ) -> Result<Expression, SyntaxError> {
        if name == "matches" && arguments.len() == 2 {
            let (pattern, text) = (arguments.pop(), arguments.pop());
            if let (Some(pattern), Some(text)) = (pattern, text) {
                let Kind::Text(source) = &pattern.kind else {
                    return Err(SyntaxError::new(
                        pattern.offset,
                        "the regular expression of `matches` has to be written as a string",
                    ));
                };
                let remaining = self.patterns.checked_sub(1);
                *self.patterns = remaining.ok_or_else(|| {
                    SyntaxError::new(at, "the rules have too many regular expressions together")
                })?;
                return Expression::new(
                    at,
                    Kind::Matches(
                        Box::new(text),
                        Box::new(pattern::compile(source, pattern.offset)?),
                    ),
                );
            }
        }
        let function = functions::find(name, style, arguments.len())
            .map_err(|message| SyntaxError::new(at, message))?;
        Expression::new(at, Kind::Call(function, arguments))
    }

    /// Parses field accesses, index accesses and method calls after a value.
    fn members(&mut self, mut value: Expression) -> Result<Expression, SyntaxError> {
        loop {
            let at = self.offset();
            if self.skip_sign("[") {
                let index = self.expression()?;
                self.expect("]")?;
                value = Expression::new(at, Kind::Index(Box::new([value, index])))?;
            } else if self.skip_sign(".") {
                let at = self.offset();
                let Token::Name(name) = self.next_token() else {
                    return Err(SyntaxError::new(
                        at,
                        "a field's name is expected after `.`; any other name goes into `[\"…\"]`",
                    ));
                };
                value = if self.skip_sign("(") {
                    self.method(at, &name, value)?
                } else {
                    field(at, value, name)?
                };
            } else {
                return Ok(value);
            }
        }
    }

    fn method(
        &mut self,
        at: usize,
        name: &str,
        receiver: Expression,
    ) -> Result<Expression, SyntaxError> {
        let Some(macro_kind) = Macro::from_name(name) else {
            let mut arguments = vec![receiver];
            arguments.extend(self.list(")", Self::expression)?);
            return self.function(at, name, Style::Member, arguments);
        };
        let variable_at = self.offset();
        let variable = match self.next_token() {
            Token::Name(variable) if !is_reserved(&variable) => variable,
            _ => {
                return Err(SyntaxError::new(
                    variable_at,
                    format!("`{name}` takes the name of a variable first"),
                ));
            }
        };
        self.expect(",")?;
        self.locals.push(variable);
        let mut rest = self.list(")", Self::expression)?;
        self.locals.pop();
        let kind = match (rest.pop(), rest.pop(), rest.pop()) {
            (Some(each), None, _) => Kind::Comprehension(macro_kind, Box::new([receiver, each])),
            (Some(value), Some(condition), None) if macro_kind == Macro::Map => {
                Kind::FilterMap(Box::new([receiver, condition, value]))
            }
            _ => {
                return Err(SyntaxError::new(
                    at,
                    format!("`{name}` takes the name of a variable and an expression"),
                ));
            }
        };
        Expression::new(at, kind)
    }

    /// Parses a comma-separated list up to and including `end`.
    fn list<T>(
        &mut self,
        end: &'static str,
        item: impl Fn(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let mut items = Vec::new();
        while !self.skip_sign(end) {
            items.push(item(self)?);
            if !self.skip_sign(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn entry(&mut self) -> Result<[Expression; 2], SyntaxError> {
        let key = self.expression()?;
        self.expect(":")?;
        Ok([key, self.expression()?])
    }
}

enum Infix {
    And,
    Or,
    Operator(Operator),
}

/// Returns the infix operator of a token with its precedence. `None`: no infix operator.
fn infix_operator(token: &Token) -> Option<(Infix, u8)> {
    let operator = |operator, precedence| Some((Infix::Operator(operator), precedence));
    let sign = match token {
        Token::Name(name) if name == "in" => return operator(Operator::In, 2),
        Token::Sign(sign) => *sign,
        _ => return None,
    };
    match sign {
        "||" => Some((Infix::Or, 0)),
        "&&" => Some((Infix::And, 1)),
        "==" => operator(Operator::Equal, 2),
        "!=" => operator(Operator::Unequal, 2),
        "<" => operator(Operator::Less, 2),
        "<=" => operator(Operator::LessOrEqual, 2),
        ">" => operator(Operator::Greater, 2),
        ">=" => operator(Operator::GreaterOrEqual, 2),
        "+" => operator(Operator::Add, 3),
        "-" => operator(Operator::Subtract, 3),
        "*" => operator(Operator::Multiply, 4),
        "/" => operator(Operator::Divide, 4),
        "%" => operator(Operator::Remainder, 4),
        _ => None,
    }
}

fn appended(mut parts: Vec<Expression>, part: Expression) -> Vec<Expression> {
    parts.push(part);
    parts
}

fn field(at: usize, of: Expression, name: String) -> Result<Expression, SyntaxError> {
    if matches!(name.as_str(), "true" | "false" | "null" | "in") {
        return Err(SyntaxError::new(
            at,
            format!("`{name}` is kept by the language; write `[\"{name}\"]`"),
        ));
    }
    Expression::new(at, Kind::Field(Box::new(of), name.into()))
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "true" | "false" | "null" | "in") || RESERVED.contains(&name)
}

fn integer_too_large(at: usize) -> SyntaxError {
    SyntaxError::new(
        at,
        "this whole number does not fit into 64 bits with a sign; an unsigned one ends in `u`",
    )
}

fn describe(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
        Token::Text(_) => "a string".to_owned(),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end".to_owned(),
    }
}
