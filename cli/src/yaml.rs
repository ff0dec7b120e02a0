//! JSON documents as YAML 1.2, for people who like to read those.
//!
//! Only what is needed: block style, and text in double quotes unless it can be nothing but text. Text
//! in quotes is JSON's, which YAML 1.2 reads as it is.

use serde_json::Value;

/// Writes a document.
pub(crate) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text.trim_start_matches('\n').to_owned()
}

/// Writes what stands behind `key:` or `-`, at this depth of indentation.
fn write(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                text.push_str(&format!("\n{indent}{}:", scalar(key)));
                write(value, depth + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                write(item, depth + 1, &mut inner);
                // What is nested begins on the line of its dash.
                let nested =
                    inner.strip_prefix('\n').map(|inner| format!(" {}", inner.trim_start()));
                text.push_str(&format!("\n{indent}-{}", nested.unwrap_or(inner)));
            }
        }
        Value::String(said) => text.push_str(&format!(" {}", scalar(said))),
        other => text.push_str(&format!(" {other}")),
    }
}

/// Text without quotes where nobody could take it for anything else.
fn scalar(text: &str) -> String {
    let plain = |at: usize, byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => true,
        b'0'..=b'9' | b'-' | b'.' | b'/' | b' ' => at > 0,
        _ => false,
    };
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_plain = !text.is_empty()
        && text.bytes().enumerate().all(|(at, byte)| plain(at, byte))
        && !text.ends_with(' ')
        && !words.contains(&text.to_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_read_as_yaml_does() {
        let value = json!({
            "a b": [1, {"x": "yes", "z": [true, []]}, "p: q"], "empty": {}, "nil": null, "s": "1.5",
            "t": [[1, 2]], "esc": "\u{1b}\n",
        });
        let expected = "a b:\n  - 1\n  - x: \"yes\"\n    z:\n      - true\n      - []\n  - \"p: q\"\n\
            empty: {}\nesc: \"\\u001b\\n\"\nnil: null\ns: \"1.5\"\nt:\n  - - 1\n    - 2";
        assert_eq!(yaml(&value), expected);
        assert_eq!(yaml(&json!([])), " []");
    }
}
