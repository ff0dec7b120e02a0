//! The derive macro for tuples: schema and row codec of a struct, written out field by field.
//!
//! What it generates calls nothing but `topology_api`, by its absolute path. A mistake is reported
//! at the place that made it, with what to write instead.

mod choice;
mod fields;

use proc_macro::TokenStream;
use syn::{Data, DeriveInput, Error, Fields, Result, parse_macro_input};

/// Implements `topology_api::Tuple`.
///
/// For a struct with named fields, which then are the fields of the tuple. A field whose type has
/// no row codec of its own is marked `#[tuple(serde)]`.
///
/// For an enum whose variants each hold one tuple: the input of a bolt that reads streams of
/// several types. It also implements `From` for each of them.
#[proc_macro_derive(Tuple, attributes(tuple))]
pub fn derive_tuple(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> Result<proc_macro2::TokenStream> {
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new_spanned(
            parameter,
            "a tuple cannot be generic: its schema is one; write out the struct for each type",
        ));
    }
    if let Some(attribute) = input.attrs.iter().find(|a| a.path().is_ident("tuple")) {
        return Err(Error::new_spanned(
            attribute,
            "`#[tuple(..)]` belongs on a field: `#[tuple(serde)]` encodes it with serde",
        ));
    }
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => fields::expand(input, fields),
            Fields::Named(_) | Fields::Unit => Err(Error::new_spanned(
                &input.ident,
                "a tuple needs at least one field: write `struct Tick { at_ms: u64 }`",
            )),
            Fields::Unnamed(fields) => Err(Error::new_spanned(
                &fields.unnamed,
                "the fields of a tuple need names: write `struct Word { word: Text }`",
            )),
        },
        Data::Enum(data) => choice::expand(input, data),
        Data::Union(_) => Err(Error::new_spanned(
            &input.ident,
            "a union cannot be a tuple: write a struct with named fields",
        )),
    }
}
