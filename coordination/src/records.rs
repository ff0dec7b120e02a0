//! Records as protobuf: how they enter and leave the store.

use prost::Message;

use crate::store::{Entry, Error, LeaseId, Operation};

/// Reads the record that an entry holds.
///
/// # Errors
///
/// [`Error::Malformed`] if the value is not such a record.
///
/// ```
/// use coordination::{Entry, decode};
/// use proto::store::LeaderRecord;
///
/// let entry = Entry { key: "leader".into(), value: vec![0xff], created: 1, modified: 1 };
/// assert!(decode::<LeaderRecord>(&entry).unwrap_err().to_string().contains("leader"));
/// ```
pub fn decode<M: Message + Default>(entry: &Entry) -> Result<M, Error> {
    M::decode(&entry.value[..])
        .map_err(|error| Error::Malformed { key: entry.key.clone(), reason: error.to_string() })
}

/// Makes the operation that writes a record.
///
/// ```
/// use coordination::{Keys, MemoryStore, Store, Transaction, decode, put};
/// use daemon::Clock;
/// use proto::store::AssignedRecord;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (store, keys) = (MemoryStore::new(Clock::system()), Keys::new("test").unwrap());
/// let record = AssignedRecord { generation: 2, workers: 3 };
/// let write = put(keys.assigned("word-count"), &record, None);
/// store.commit(Transaction { guards: vec![], operations: vec![write] }).await.unwrap();
///
/// let entry = store.get(&keys.assigned("word-count")).await.unwrap().expect("it was written");
/// assert_eq!(decode::<AssignedRecord>(&entry).unwrap(), record);
/// # });
/// ```
#[must_use]
pub fn put<M: Message>(key: String, record: &M, lease: Option<LeaseId>) -> Operation {
    Operation::Put { key, value: record.encode_to_vec(), lease }
}
