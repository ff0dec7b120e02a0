//! As much of JSON Schema (draft 2020-12) as the description of the REST pages uses: whether a
//! document is what its schema says, with no field that the schema does not name.

use serde_json::{Map, Value};

/// What the description says, looked up by pointer.
pub(super) struct Description(pub(super) Value);

impl Description {
    /// Asserts that a document is what a schema says.
    #[track_caller]
    pub(super) fn assert_fits(&self, schema: &Value, document: &Value, what: &str) {
        let mut wrong = Vec::new();
        self.check(schema, document, "", &mut wrong);
        assert!(wrong.is_empty(), "{what}: {wrong:#?} in {document:#}");
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => {
                let found = self.0.pointer(name.trim_start_matches('#'));
                self.resolved(found.unwrap_or_else(|| panic!("there is no {name}")))
            }
            None => schema,
        }
    }

    fn check(&self, schema: &Value, it: &Value, at: &str, wrong: &mut Vec<String>) {
        self.check_parts(schema, it, at, wrong);
        if let (Some(fields), Some(known)) = (it.as_object(), self.fields(schema)) {
            let unknown = fields.keys().filter(|name| !known.contains(name));
            wrong.extend(unknown.map(|name| format!("{at}/{name} is not described")));
        }
    }

    /// Checks it without asking whether all fields are described.
    fn check_parts(&self, schema: &Value, it: &Value, at: &str, wrong: &mut Vec<String>) {
        let schema = self.resolved(schema);
        let list = |name: &str| schema[name].as_array().cloned().unwrap_or_default();
        for part in list("allOf") {
            self.check_parts(&part, it, at, wrong);
        }
        for name in ["oneOf", "anyOf"] {
            let choices = list(name);
            let fits = |choice: &Value| {
                let mut wrong = Vec::new();
                self.check(choice, it, at, &mut wrong);
                wrong.is_empty()
            };
            if !choices.is_empty() && !choices.iter().any(fits) {
                wrong.push(format!("{at} is none of {name}"));
            }
        }
        let values = list("enum");
        if !values.is_empty() && !values.contains(it) {
            wrong.push(format!("{at} is {it}, none of {values:?}"));
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.clone(),
            Value::Null => Vec::new(),
            kind => vec![kind.clone()],
        };
        if !kinds.is_empty() && !kinds.iter().any(|kind| is_a(kind, it)) {
            wrong.push(format!("{at} is {it}, no {kinds:?}"));
        }
        if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), it.as_f64())
            && number < least
        {
            wrong.push(format!("{at} is {number}, less than {least}"));
        }
        for (index, item) in it.as_array().into_iter().flatten().enumerate() {
            if !schema["items"].is_null() {
                self.check(&schema["items"], item, &format!("{at}/{index}"), wrong);
            }
        }
        if let Some(fields) = it.as_object() {
            self.check_fields(schema, fields, at, wrong);
        }
    }

    fn check_fields(
        &self,
        schema: &Value,
        fields: &Map<String, Value>,
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !required.as_str().is_some_and(|name| fields.contains_key(name)) {
                wrong.push(format!("{at} has no {required}"));
            }
        }
        for (name, field) in fields {
            let described = &schema["properties"][name];
            let rest = &schema["additionalProperties"];
            let described = if described.is_null() && rest.is_object() { rest } else { described };
            if !described.is_null() {
                self.check(described, field, &format!("{at}/{name}"), wrong);
            }
        }
    }

    /// The fields that a schema names; none if it takes any.
    fn fields<'a>(&'a self, schema: &'a Value) -> Option<Vec<&'a String>> {
        let schema = self.resolved(schema);
        if !schema["additionalProperties"].is_null() || schema["oneOf"].is_array() {
            return None;
        }
        let mut fields: Vec<&String> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
        let parts = schema["allOf"].as_array();
        if parts.is_none() && schema["properties"].is_null() {
            return None;
        }
        for part in parts.into_iter().flatten() {
            fields.extend(self.fields(part)?);
        }
        Some(fields)
    }
}

fn is_a(kind: &Value, it: &Value) -> bool {
    match kind.as_str().unwrap_or_default() {
        "object" => it.is_object(),
        "array" => it.is_array(),
        "string" => it.is_string(),
        "integer" => it.is_u64() || it.is_i64(),
        "number" => it.is_number(),
        "boolean" => it.is_boolean(),
        "null" => it.is_null(),
        other => panic!("there is no type {other:?}"),
    }
}
