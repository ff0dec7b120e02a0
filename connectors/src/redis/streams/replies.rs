//! Entries as the server lists them.
//!
//! Pure: a list of another shape is an error, and the place where it differs is said.

use topology_api::Text;

use super::open_entries::EntryId;
use crate::redis::Reply;

/// An entry of a list; without fields, if it was deleted from the stream meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: EntryId,
    pub(super) fields: Option<Vec<(Text, Vec<u8>)>>,
}

/// Reads what `XREADGROUP` answers: streams by name, each with its entries.
pub(super) fn of_streams(reply: Reply) -> Result<Vec<(String, Vec<Listed>)>, String> {
    match reply {
        // Nothing came in time.
        Reply::Nil => Ok(Vec::new()),
        Reply::List(streams) => streams.into_iter().map(stream).collect(),
        other => Err(unexpected("a list of streams", &other)),
    }
}

/// Reads what `XAUTOCLAIM` answers: where to go on, none at the end, and entries.
pub(super) fn of_claim(reply: Reply) -> Result<(Option<String>, Vec<Listed>), String> {
    let Reply::List(parts) = reply else { return Err(unexpected("a list of parts", &reply)) };
    let mut parts = parts.into_iter();
    let (Some(cursor), Some(listed)) = (parts.next(), parts.next()) else {
        return Err("the answer to `XAUTOCLAIM` has less than two parts".to_owned());
    };
    let cursor = cursor.text().ok_or_else(|| unexpected("an id", &cursor))?;
    Ok(((cursor != "0-0").then_some(cursor), entries(listed)?))
}

fn stream(reply: Reply) -> Result<(String, Vec<Listed>), String> {
    let [name, listed] = pair("a stream with its entries", reply)?;
    let name = name.text().ok_or_else(|| unexpected("the key of a stream", &name))?;
    Ok((name, entries(listed)?))
}

fn entries(reply: Reply) -> Result<Vec<Listed>, String> {
    match reply {
        Reply::List(entries) => {
            // The sixth version lists deleted entries that it was to claim as nothing.
            let there = entries.into_iter().filter(|it| *it != Reply::Nil);
            there.map(entry).collect()
        }
        other => Err(unexpected("a list of entries", &other)),
    }
}

fn entry(reply: Reply) -> Result<Listed, String> {
    let [id, fields] = pair("an id with fields", reply)?;
    let text = id.text().ok_or_else(|| unexpected("an id", &id))?;
    let id = EntryId::parse(&text).ok_or_else(|| format!("`{text}` is no id of an entry"))?;
    let fields = match fields {
        Reply::Nil => None,
        Reply::List(words) => Some(pairs(words)?),
        other => return Err(unexpected("fields", &other)),
    };
    Ok(Listed { id, fields })
}

fn pairs(words: Vec<Reply>) -> Result<Vec<(Text, Vec<u8>)>, String> {
    let mut fields = Vec::with_capacity(words.len() / 2);
    let mut words = words.into_iter();
    while let Some(name) = words.next() {
        let name = name.text().ok_or_else(|| unexpected("the name of a field", &name))?;
        match words.next() {
            Some(Reply::Bytes(value)) => fields.push((Text::from(name), value)),
            other => return Err(format!("the field `{name}` has no value but {other:?}")),
        }
    }
    Ok(fields)
}

fn pair(what: &str, reply: Reply) -> Result<[Reply; 2], String> {
    match reply {
        Reply::List(parts) => {
            let parts = <[Reply; 2]>::try_from(parts);
            parts.map_err(|parts| unexpected(what, &Reply::List(parts)))
        }
        other => Err(unexpected(what, &other)),
    }
}

fn unexpected(what: &str, reply: &Reply) -> String {
    let shown: String = format!("{reply:?}").chars().take(100).collect();
    format!("the server sent {shown} instead of {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Reply {
        Reply::Bytes(text.as_bytes().to_vec())
    }

    fn listed() -> Reply {
        let fields = Reply::List(vec![text("user"), text("ann")]);
        Reply::List(vec![
            Reply::List(vec![text("5-1"), fields]),
            Reply::List(vec![text("6-0"), Reply::Nil]),
        ])
    }

    fn expected() -> Vec<Listed> {
        vec![
            Listed {
                id: EntryId { ms: 5, number: 1 },
                fields: Some(vec![("user".into(), b"ann".to_vec())]),
            },
            Listed { id: EntryId { ms: 6, number: 0 }, fields: None },
        ]
    }

    #[test]
    fn entries_are_read_by_stream_and_deleted_ones_have_no_fields() {
        let reply = Reply::List(vec![Reply::List(vec![text("orders"), listed()])]);
        assert_eq!(of_streams(reply), Ok(vec![("orders".to_owned(), expected())]));
        assert_eq!(of_streams(Reply::Nil), Ok(Vec::new()), "nothing came");
    }

    #[test]
    fn a_claim_says_where_to_go_on() {
        let at_the_end = Reply::List(vec![text("0-0"), listed(), Reply::List(Vec::new())]);
        assert_eq!(of_claim(at_the_end), Ok((None, expected())));
        let more = Reply::List(vec![text("7-0"), Reply::List(vec![Reply::Nil])]);
        assert_eq!(of_claim(more), Ok((Some("7-0".to_owned()), Vec::new())));
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            Just(Reply::Nil),
            any::<i64>().prop_map(Reply::Integer),
            prop_oneof![Just("5-1"), Just("0-0"), Just("x")].prop_map(text),
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop::collection::vec(inner, 0..4).prop_map(Reply::List)
        })
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(reply in any_reply()) {
            drop((of_streams(reply.clone()), of_claim(reply)));
        }
    }
}
