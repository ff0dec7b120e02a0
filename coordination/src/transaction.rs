//! What every store refuses, checked in one place so that no store takes what another does not;
//! and how to cut many writes into transactions that pass.

use std::collections::HashSet;

use crate::store::{Error, Guard, OPERATIONS_MAX, Operation, TRANSACTION_BYTES_MAX, Transaction};

impl Transaction {
    /// Cuts `operations` into as few transactions as the limits allow, in order, each under the
    /// same guards.
    ///
    /// They are applied one by one, so a reader may see some without the others: write what makes
    /// them visible afterwards.
    ///
    /// ```
    /// use coordination::{Guard, Operation, Transaction};
    ///
    /// let operations = (0..300).map(|n| Operation::Delete(format!("key-{n}"))).collect();
    /// let guards = [Guard::CreatedAt("leader".into(), 7)];
    /// let transactions = Transaction::split(&guards, operations);
    /// assert_eq!(transactions.len(), 3);
    /// assert!(transactions.iter().all(|transaction| transaction.guards == guards));
    /// ```
    #[must_use]
    pub fn split(guards: &[Guard], operations: Vec<Operation>) -> Vec<Self> {
        let mut transactions = Vec::new();
        let empty = || Self { guards: guards.to_vec(), operations: Vec::new() };
        let guard_bytes: usize = guards.iter().map(Guard::bytes).sum();
        let (mut current, mut bytes) = (empty(), guard_bytes);
        for operation in operations {
            let more = operation.bytes();
            let full =
                current.operations.len() == OPERATIONS_MAX || bytes + more > TRANSACTION_BYTES_MAX;
            if full && !current.operations.is_empty() {
                transactions.push(std::mem::replace(&mut current, empty()));
                bytes = guard_bytes;
            }
            bytes += more;
            current.operations.push(operation);
        }
        if !current.operations.is_empty() {
            transactions.push(current);
        }
        transactions
    }

    /// Refuses what can never be applied.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let count = self.operations.len().max(self.guards.len());
        if count > OPERATIONS_MAX {
            return Err(Error::Refused(format!(
                "{count} operations in one transaction; {OPERATIONS_MAX} are allowed"
            )));
        }
        let bytes = self.guards.iter().map(Guard::bytes).sum::<usize>()
            + self.operations.iter().map(Operation::bytes).sum::<usize>();
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(Error::Refused(format!(
                "{bytes} bytes in one transaction; {TRANSACTION_BYTES_MAX} are allowed"
            )));
        }
        self.check_keys()
    }

    /// Refuses empty keys and keys written more than once.
    fn check_keys(&self) -> Result<(), Error> {
        if self.guards.iter().any(|guard| guard.key().is_empty())
            || self.operations.iter().any(|operation| operation.key().is_empty())
        {
            return Err(Error::Refused("a key is empty".to_owned()));
        }
        let mut written = HashSet::new();
        for operation in &self.operations {
            if let Operation::Put { key, .. } = operation {
                let deleted = self.operations.iter().any(|other| match other {
                    Operation::Put { .. } => false,
                    Operation::Delete(gone) => gone == key,
                    Operation::DeletePrefix(prefix) => key.starts_with(prefix),
                });
                if deleted || !written.insert(key) {
                    return Err(Error::Refused(format!("{key} is written twice")));
                }
            }
        }
        Ok(())
    }
}

impl Guard {
    /// Returns the key that is compared.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::CreatedAt(key, _) | Self::ModifiedAt(key, _) => key,
        }
    }

    fn bytes(&self) -> usize {
        self.key().len() + ENVELOPE_BYTES
    }
}

impl Operation {
    /// Returns the key or the prefix that is written.
    fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete(key) | Self::DeletePrefix(key) => key,
        }
    }

    fn bytes(&self) -> usize {
        let value = if let Self::Put { value, .. } = self { value.len() } else { 0 };
        self.key().len() + value + ENVELOPE_BYTES
    }
}

/// What a guard or an operation takes on the wire besides its key and value, at most.
const ENVELOPE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, bytes: usize) -> Operation {
        Operation::Put { key: key.to_owned(), value: vec![0; bytes], lease: None }
    }

    fn refusal(operations: Vec<Operation>) -> String {
        Transaction { guards: vec![], operations }.check().unwrap_err().to_string()
    }

    #[test]
    fn a_key_may_be_written_only_once() {
        for other in [
            write("a/1", 0),
            Operation::Delete("a/1".to_owned()),
            Operation::DeletePrefix("a/".to_owned()),
        ] {
            let text = refusal(vec![other.clone(), write("a/1", 0)]);
            assert!(text.contains("a/1 is written twice"), "{other:?}: {text}");
        }
    }

    #[test]
    fn an_empty_key_is_refused() {
        for operation in
            [write("", 0), Operation::Delete(String::new()), Operation::DeletePrefix(String::new())]
        {
            assert!(refusal(vec![operation]).contains("a key is empty"));
        }
    }

    #[test]
    fn split_respects_the_byte_limit_and_keeps_the_order() {
        let operations: Vec<_> = (0..5).map(|n| write(&n.to_string(), 600_000)).collect();
        let transactions = Transaction::split(&[], operations.clone());
        assert_eq!(transactions.len(), 3, "two of 600 kB fit, three do not");
        assert!(transactions.iter().all(|transaction| transaction.check().is_ok()));
        let joined: Vec<_> = transactions.into_iter().flat_map(|t| t.operations).collect();
        assert_eq!(joined, operations);
    }

    #[test]
    fn splitting_nothing_gives_nothing() {
        assert!(Transaction::split(&[Guard::Absent("a".to_owned())], vec![]).is_empty());
    }
}
