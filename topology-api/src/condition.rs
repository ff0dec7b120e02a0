//! A condition on the fields of a tuple, as people write it: `word == "storm" and count > 10`.
//!
//! Whoever looks at live tuples wants few of them. It is checked where the tuples are, so that the
//! others need not travel.

mod literal;
mod words;

use std::cmp::Ordering;

use serde_json::Value as Json;

use self::literal::{Literal, is_equal, order};
use self::words::{Word, split};

/// Longest text of a condition, in bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Most brackets and `not`s within each other.
const DEPTH_MAX: u32 = 32;

/// A condition on the fields of a tuple.
///
/// `FIELD OP VALUE` with `==`, `!=`, `<`, `<=`, `>`, `>=` and `contains` (of a text, a part; of a
/// list, an item), put together with `and`, `or`, `not` and brackets. Numbers are compared as
/// numbers, texts by their bytes; what is of different kinds is not equal and neither less nor more.
/// A value without quotes is of the kind of the field that it is compared with: `7` is a number to a
/// number and a text to a text, so `word contains 7` needs no quotes; in quotes it is a text only. A
/// field that a tuple has not got is `null`.
///
/// ```
/// use topology_api::runtime::Condition;
///
/// let few: Condition = "word contains 'st' and (count >= 3 or sure == true)".parse().unwrap();
/// let tuple = [("word".to_owned(), "storm".into()), ("count".to_owned(), 3.into())];
/// assert!(few.holds(&tuple));
/// assert_eq!(few.fields(), ["word", "count", "sure"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Is { field: String, test: Test, value: Literal },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

/// Why a text is no condition.
///
/// ```
/// use topology_api::runtime::Condition;
///
/// let error = "count = 3".parse::<Condition>().unwrap_err().to_string();
/// assert!(error.contains("`==`"), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no condition: {0}; write it as in: word == \"storm\" and count > 10")]
pub struct ConditionError(String);

impl Condition {
    /// Tells whether it holds for a tuple with these fields.
    #[must_use]
    pub fn holds(&self, fields: &[(String, Json)]) -> bool {
        self.0.holds(fields)
    }

    /// The fields it asks for, in its order, each once.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        self.0.name_fields(&mut fields);
        fields
    }
}

impl std::str::FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ConditionError(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
        }
        let words = split(text)?;
        let mut reader = Reader { words: &words, depth: 0 };
        let node = reader.any()?;
        match reader.words.first() {
            None => Ok(Self(node)),
            Some(word) => Err(ConditionError(format!("{} is left over", word.shown()))),
        }
    }
}

impl Node {
    fn holds(&self, fields: &[(String, Json)]) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(fields)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(fields)),
            Self::Not(node) => !node.holds(fields),
            Self::Is { field, test, value } => {
                let found = fields.iter().find(|(name, _)| name == field);
                test.holds(found.map_or(&Json::Null, |(_, found)| found), value)
            }
        }
    }

    fn name_fields<'a>(&'a self, fields: &mut Vec<&'a str>) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => {
                nodes.iter().for_each(|node| node.name_fields(fields));
            }
            Self::Not(node) => node.name_fields(fields),
            Self::Is { field, .. } if fields.contains(&field.as_str()) => {}
            Self::Is { field, .. } => fields.push(field),
        }
    }
}

impl Test {
    fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "==" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            "contains" => Self::Contains,
            _ => return None,
        })
    }

    fn holds(self, found: &Json, literal: &Literal) -> bool {
        let order = || order(found, literal.beside(found));
        match self {
            Self::Equal => is_equal(found, literal.beside(found)),
            Self::Unequal => !is_equal(found, literal.beside(found)),
            Self::Less => order() == Some(Ordering::Less),
            Self::AtMost => order().is_some_and(Ordering::is_le),
            Self::More => order() == Some(Ordering::Greater),
            Self::AtLeast => order().is_some_and(Ordering::is_ge),
            Self::Contains => match found {
                Json::String(text) => text.contains(literal.part()),
                Json::Array(items) => items.iter().any(|it| is_equal(it, literal.beside(it))),
                _ => false,
            },
        }
    }
}

struct Reader<'a> {
    words: &'a [Word],
    depth: u32,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&Word> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn takes(&mut self, wanted: &Word) -> bool {
        let is_next = self.words.first() == Some(wanted);
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    fn any(&mut self) -> Result<Node, ConditionError> {
        let mut nodes = vec![self.all()?];
        while self.takes(&Word::Plain("or".into())) {
            nodes.push(self.all()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self) -> Result<Node, ConditionError> {
        let mut nodes = vec![self.one()?];
        while self.takes(&Word::Plain("and".into())) {
            nodes.push(self.one()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn one(&mut self) -> Result<Node, ConditionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ConditionError(format!("more than {DEPTH_MAX} brackets or `not`s")));
        }
        let node = if self.takes(&Word::Plain("not".into())) {
            Node::Not(Box::new(self.one()?))
        } else if self.takes(&Word::Symbol("(".into())) {
            let node = self.any()?;
            if !self.takes(&Word::Symbol(")".into())) {
                return Err(ConditionError("a bracket is not closed".into()));
            }
            node
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, ConditionError> {
        let field = match self.next() {
            Some(Word::Plain(field) | Word::Quoted(field)) => field.clone(),
            Some(other) => {
                return Err(ConditionError(format!("a field should stand at {}", other.shown())));
            }
            None => return Err(ConditionError("it ends where a field should stand".into())),
        };
        let tests = "==, !=, <, <=, >, >= or contains";
        let test = match self.next() {
            Some(Word::Symbol(symbol)) if symbol == "=" => {
                return Err(ConditionError("equal is written `==`".into()));
            }
            Some(Word::Symbol(symbol) | Word::Plain(symbol)) => Test::of(symbol),
            _ => None,
        };
        let test = test.ok_or_else(|| ConditionError(format!("`{field}` wants {tests}")))?;
        let value = match self.next() {
            Some(Word::Quoted(text)) => Literal::Text(Json::from(text.clone())),
            Some(Word::Plain(text)) => Literal::plain(text),
            _ => return Err(ConditionError(format!("`{field}` is compared with nothing"))),
        };
        Ok(Node::Is { field, test, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let fields = [
            ("word".to_owned(), Json::from("storm")),
            ("count".to_owned(), Json::from(10)),
            ("share".to_owned(), Json::from(0.5)),
            ("tags".to_owned(), serde_json::json!(["a", 2])),
        ];
        text.parse::<Condition>().expect(text).holds(&fields)
    }

    #[test]
    fn fields_are_compared_by_their_kind() {
        for text in [
            "word == storm",
            "word == 'storm'",
            "word != \"st\\\"orm\"",
            "word contains tor",
            "word >= squall",
            "count == 10.0",
            "count>9 and count<=10",
            "share < 1",
            "tags contains 2",
            "missing == null",
            "not count > 10 and not (word == x or share > 0.5)",
            "count == 1 and word == storm or share == 0.5",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "word == Storm",
            "count == '10'",
            "count < word",
            "count contains 1",
            "tags contains b",
            "missing > 0",
            "word == storm and (count == 1 or share == 1)",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn a_value_without_quotes_is_of_the_kind_of_its_field() {
        let fields = [
            ("code".to_owned(), Json::from("a7")),
            ("zip".to_owned(), Json::from("07")),
            ("year".to_owned(), Json::from("2024")),
            ("date".to_owned(), Json::from("2024-05-01")),
            ("sure".to_owned(), Json::from("true")),
            ("nothing".to_owned(), Json::from("null")),
            ("count".to_owned(), Json::from(7)),
            ("mixed".to_owned(), serde_json::json!(["7", 8])),
        ];
        let holds = |text: &str| text.parse::<Condition>().expect(text).holds(&fields);
        for text in [
            "code contains 7",
            "code contains '7'",
            "not code contains 8",
            "zip == 07",
            "zip != 7",
            "year == 2024",
            "year == '2024'",
            "year != 2025",
            "date > 2024",
            "date < 2025",
            "sure == true",
            "sure contains true",
            "nothing != null",
            "nothing == 'null'",
            "nothing contains null",
            "count == 7",
            "mixed contains 7",
            "mixed contains '7'",
            "mixed contains 8",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "code == 7",
            "year == 2024.0",
            "count == '7'",
            "count contains 7",
            "mixed contains '8'",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_a_reason() {
        let deep = "(".repeat(1_000);
        for (text, part) in [
            ("", "ends where a field"),
            ("word", "wants =="),
            ("word = x", "`==`"),
            ("word == ", "compared with nothing"),
            ("word == x y", "`y` is left over"),
            ("(word == x", "not closed"),
            ("word == 'x", "does not end"),
            ("== 3", "a field should stand"),
            (deep.as_str(), "brackets"),
        ] {
            let error = text.parse::<Condition>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
