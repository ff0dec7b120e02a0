//! Values of a condition, and how they stand to those of tuples.

use std::cmp::Ordering;

use serde_json::Value as Json;

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(Json),
    /// Without quotes, and as JSON no text: which it is is known once there is a field.
    Plain {
        value: Json,
        text: Json,
    },
}

impl Literal {
    /// A number, true, false or null; else a text that needs no quotes.
    pub(super) fn plain(text: &str) -> Self {
        let as_text = Json::from(text);
        match serde_json::from_str(text) {
            Ok(value) => Self::Plain { value, text: as_text },
            Err(_) => Self::Text(as_text),
        }
    }

    /// What it is to a field, or an item of a list, that was found.
    pub(super) fn beside(&self, found: &Json) -> &Json {
        match self {
            Self::Text(text) => text,
            // `!= null` asks whether there is a field, whatever its text.
            Self::Plain { value: Json::Null, .. } => &Json::Null,
            Self::Plain { text, .. } if found.is_string() => text,
            Self::Plain { value, .. } => value,
        }
    }

    /// What it is as a part of a text.
    pub(super) fn part(&self) -> &str {
        let (Self::Text(text) | Self::Plain { text, .. }) = self;
        text.as_str().unwrap_or_default()
    }
}

/// Tells whether two values are the same; numbers are by what they are worth.
pub(super) fn is_equal(one: &Json, other: &Json) -> bool {
    one == other || order(one, other) == Some(Ordering::Equal)
}

/// Which of two comes first, if they are of one kind that has an order.
pub(super) fn order(one: &Json, other: &Json) -> Option<Ordering> {
    match (one, other) {
        (Json::String(one), Json::String(other)) => Some(one.cmp(other)),
        (Json::Number(one), Json::Number(other)) => match (one.as_i128(), other.as_i128()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        _ => None,
    }
}
