//! What can flow through a topology: the `Tuple` trait, which `#[derive(Tuple)]` implements.
//!
//! Inside a worker a tuple is just its Rust value and a batch is a `Vec` of them. The rest of the
//! trait is for the edges of the worker: a compact row for other workers, a schema and access by
//! position for what works with names at run time (fields groupings by name, the dashboard,
//! topologies described in YAML or SQL).

use crate::codec::DecodeError;
use crate::key::KeyHasher;
use crate::value::Value;

/// What flows through a stream; `#[derive(Clone, Tuple)]` implements it for a struct with named
/// fields.
///
/// Fields may be integers, floats, `bool`, `char`, `String`, [`Text`](crate::Text), and options,
/// lists and tuples of these; `Vec<u8>` is bytes. A field of any other type that serde knows is
/// marked `#[tuple(serde)]`.
///
/// ```
/// use topology_api::{Text, Tuple, Value};
///
/// #[derive(Clone, Debug, PartialEq, Tuple)]
/// struct Count {
///     word: Text,
///     count: u64,
/// }
///
/// let count = Count { word: "squall".into(), count: 3 };
/// assert_eq!(Count::schema().to_string(), "Count(word: text, count: u64)");
/// assert_eq!(count.value(1), Value::Int(3));
///
/// let mut row = Vec::new();
/// count.encode(&mut row);
/// assert_eq!(Count::decode(&mut row.as_slice()).unwrap(), count);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot flow through a topology",
    label = "this is not a tuple",
    note = "put `#[derive(Clone, Tuple)]` on it"
)]
pub trait Tuple: Clone + Send + 'static {
    /// Says what the fields are called and which types they have.
    fn schema() -> Schema;

    /// Says about how many bytes the tuple takes as a row, without encoding it.
    fn weight(&self) -> usize;

    /// Appends the tuple as a row: at least one byte.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one row off the front of `input`.
    ///
    /// # Errors
    /// Garbage is an error, never a panic, and never makes it allocate more than the garbage is
    /// long, by a factor that the types of the fields set.
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError>;

    /// Gives the field at a position of the schema; [`Value::Null`] where there is none.
    fn value(&self, field: usize) -> Value;

    /// Adds the field at a position to a key, as the field itself as a [`Key`](crate::Key) would.
    fn hash_field(&self, field: usize, hasher: &mut KeyHasher);

    /// Finds the position of the field called `name`.
    ///
    /// Ask once and keep the answer, unless the schema is dynamic: then each tuple has its own.
    fn position(&self, name: &str) -> Option<usize> {
        Self::schema().position(name)
    }
}

/// The fields of a tuple, in the order in which they were declared.
///
/// ```
/// use topology_api::{Field, Schema};
///
/// let schema = Schema::new("Word", vec![Field::new("word", "text".to_owned())]);
/// assert_eq!(schema.position("word"), Some(0));
/// assert_eq!(schema.to_string(), "Word(word: text)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What the tuple's type is called.
    pub name: &'static str,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Whether each tuple brings its own fields, so that `fields` says nothing.
    pub dynamic: bool,
}

impl Schema {
    /// Makes the schema of a tuple whose fields are known.
    pub fn new(name: &'static str, fields: Vec<Field>) -> Self {
        Self { name, fields, dynamic: false }
    }

    /// Makes the schema of a tuple that knows its fields only at run time.
    pub fn dynamic(name: &'static str) -> Self {
        Self { name, fields: Vec::new(), dynamic: true }
    }

    /// Finds the position of the field called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

impl std::fmt::Display for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = |field: &Field| format!("{}: {}", field.name, field.type_name);
        let fields: Vec<String> = self.fields.iter().map(field).collect();
        let fields = if self.dynamic { "..".to_owned() } else { fields.join(", ") };
        write!(f, "{}({fields})", self.name)
    }
}

/// One field of a [`Schema`].
///
/// ```
/// let field = topology_api::Field::new("words", "list of text".to_owned());
/// assert_eq!(field.type_name, "list of text");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is called.
    pub name: &'static str,
    /// Its type as people write it: `u64`, `text`, `list of f64`, ...
    pub type_name: String,
}

impl Field {
    /// Makes a field.
    pub fn new(name: &'static str, type_name: String) -> Self {
        Self { name, type_name }
    }
}

/// The output type of a bolt that emits nothing. It has no values, so nothing can be emitted.
///
/// ```
/// use topology_api::{NoOutput, Tuple};
///
/// assert_eq!(NoOutput::schema().to_string(), "NoOutput()");
/// assert!(NoOutput::decode(&mut &b"anything"[..]).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoOutput {}

impl Tuple for NoOutput {
    fn schema() -> Schema {
        Schema::new("NoOutput", Vec::new())
    }

    fn weight(&self) -> usize {
        match *self {}
    }

    fn encode(&self, _out: &mut Vec<u8>) {
        match *self {}
    }

    fn decode(_input: &mut &[u8]) -> Result<Self, DecodeError> {
        Err(DecodeError::Invalid("a row on a stream that carries nothing"))
    }

    fn value(&self, _field: usize) -> Value {
        match *self {}
    }

    fn hash_field(&self, _field: usize, _hasher: &mut KeyHasher) {
        match *self {}
    }
}
