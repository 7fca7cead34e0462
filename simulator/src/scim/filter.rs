//! SCIM filters: `eq`, `ne`, `co`, `sw`, `and`, `or` and parentheses. Observed by others: text in single quotes. Assumed: text is compared without regard to
//! case, as the protocol does by default.

use serde_json::Value;

/// Documented: at most this many comparisons and connectives.
const MOST_NODES: usize = 200;

#[derive(Debug)]
pub(super) enum Filter {
    Compare { attribute: String, operator: String, value: String },
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

impl Filter {
    pub fn accepts(&self, item: &Value) -> bool {
        match self {
            Self::And(left, right) => left.accepts(item) && right.accepts(item),
            Self::Or(left, right) => left.accepts(item) || right.accepts(item),
            Self::Compare { attribute, operator, value } => {
                let mut found = item;
                for name in attribute.split('.') {
                    found = member(found, name);
                }
                let found = match found {
                    Value::String(text) => text.to_lowercase(),
                    Value::Null => return operator == "ne",
                    other => other.to_string(),
                };
                match operator.as_str() {
                    "eq" => found == *value,
                    "ne" => found != *value,
                    "co" => found.contains(value.as_str()),
                    _ => found.starts_with(value.as_str()),
                }
            }
        }
    }
}

/// Attribute names have no case either.
fn member<'a>(item: &'a Value, name: &str) -> &'a Value {
    let found = item.as_object().and_then(|item| item.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
    found.map_or(&Value::Null, |(_, value)| value)
}

pub(super) fn parse(text: &str) -> Result<Filter, String> {
    let mut words = words(text)?;
    if words.len() / 2 > MOST_NODES {
        return Err(format!("a filter has at most {MOST_NODES} nodes"));
    }
    words.reverse();
    let filter = either(&mut words)?;
    words.is_empty().then_some(filter).ok_or_else(|| "the filter continues after its end".to_owned())
}

#[derive(Debug, PartialEq)]
enum Word {
    Plain(String),
    Quoted(String),
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            ' ' => {}
            '(' | ')' => words.push(Word::Plain(first.to_string())),
            '"' | '\'' => {
                let mut quoted = String::new();
                loop {
                    match rest.next().ok_or("a quote is not closed")? {
                        last if last == first => break,
                        '\\' => quoted.push(rest.next().ok_or("nothing follows a backslash")?),
                        other => quoted.push(other),
                    }
                }
                words.push(Word::Quoted(quoted.to_lowercase()));
            }
            _ => {
                let mut plain = first.to_string();
                while let Some(next) = rest.next_if(|next| !" ()\"".contains(*next)) {
                    plain.push(next);
                }
                words.push(Word::Plain(plain));
            }
        }
    }
    Ok(words)
}

/// Takes the next word (from the end) if it is this connective.
fn accept(words: &mut Vec<Word>, wanted: &str) -> bool {
    let found = matches!(words.last(), Some(Word::Plain(word)) if word.eq_ignore_ascii_case(wanted));
    if found {
        words.pop();
    }
    found
}

fn either(words: &mut Vec<Word>) -> Result<Filter, String> {
    let mut left = both(words)?;
    while accept(words, "or") {
        left = Filter::Or(Box::new(left), Box::new(both(words)?));
    }
    Ok(left)
}

fn both(words: &mut Vec<Word>) -> Result<Filter, String> {
    let mut left = one(words)?;
    while accept(words, "and") {
        left = Filter::And(Box::new(left), Box::new(one(words)?));
    }
    Ok(left)
}

fn one(words: &mut Vec<Word>) -> Result<Filter, String> {
    if accept(words, "(") {
        let inner = either(words)?;
        return if accept(words, ")") { Ok(inner) } else { Err("a parenthesis is not closed".to_owned()) };
    }
    let (Some(Word::Plain(attribute)), Some(Word::Plain(operator)), Some(value)) =
        (words.pop(), words.pop(), words.pop())
    else {
        return Err("a filter is: attribute operator value".to_owned());
    };
    let operator = operator.to_lowercase();
    if !["eq", "ne", "co", "sw"].contains(&operator.as_str()) {
        return Err(format!("unknown operator {operator}"));
    }
    let value = match value {
        Word::Quoted(text) => text,
        Word::Plain(bare) if bare == "true" || bare == "false" || bare.parse::<i64>().is_ok() => bare,
        Word::Plain(bare) => return Err(format!("'{bare}' must be quoted")),
    };
    Ok(Filter::Compare { attribute, operator, value })
}
