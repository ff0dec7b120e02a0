//! Tuples that are structs: each method goes through the fields in the order of declaration.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Field, FieldsNamed, Ident, Result, Type};

/// A field and how it is encoded.
struct Column<'a> {
    ident: &'a Ident,
    name: String,
    ty: &'a Type,
    serde: bool,
}

impl<'a> Column<'a> {
    fn new(field: &'a Field) -> Result<Self> {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "has no name"))?;
        let mut serde = false;
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("tuple")) {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("serde") {
                    return Err(meta.error("the only attribute of a field is `#[tuple(serde)]`"));
                }
                serde = true;
                Ok(())
            })?;
        }
        Ok(Self { ident, name: ident.unraw().to_string(), ty: &field.ty, serde })
    }

    /// Calls `method` of the field's codec. The span makes the compiler point at the field's type
    /// when it has none.
    fn call(&self, method: &str, arguments: TokenStream) -> TokenStream {
        let ty = self.ty;
        let span = ty.span();
        let method = Ident::new(method, span);
        if self.serde {
            quote_spanned!(span=> ::topology_api::serde_field::#method::<#ty>(#arguments))
        } else {
            quote_spanned!(span=> <#ty as ::topology_api::codec::FieldCodec>::#method(#arguments))
        }
    }
}

/// Writes the implementation.
pub(crate) fn expand(input: &DeriveInput, fields: &FieldsNamed) -> Result<TokenStream> {
    let columns = fields.named.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
    let tuple = &input.ident;
    let tuple_name = tuple.unraw().to_string();
    let each = |method: &str, arguments: &dyn Fn(&Ident) -> TokenStream| -> Vec<TokenStream> {
        columns.iter().map(|column| column.call(method, arguments(column.ident))).collect()
    };
    let idents: Vec<&Ident> = columns.iter().map(|column| column.ident).collect();
    let names: Vec<&String> = columns.iter().map(|column| &column.name).collect();
    let positions: Vec<usize> = (0..columns.len()).collect();

    let type_names = each("type_name", &|_| quote!());
    let weights = each("weight", &|field| quote!(&self.#field));
    let encodes = each("encode", &|field| quote!(&self.#field, out));
    let decodes = each("decode", &|_| quote!(input));
    let values = each("value", &|field| quote!(&self.#field));
    let hashes = each("hash_value", &|field| quote!(&self.#field, hasher));

    Ok(quote! {
        #[automatically_derived]
        impl ::topology_api::Tuple for #tuple {
            fn schema() -> ::topology_api::Schema {
                ::topology_api::Schema::new(
                    #tuple_name,
                    ::std::vec![#(::topology_api::Field::new(#names, #type_names)),*],
                )
            }

            #[inline]
            fn weight(&self) -> usize {
                0 #(+ #weights)*
            }

            #[inline]
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                #(#encodes;)*
            }

            #[inline(always)]
            fn decode(
                input: &mut &[u8],
            ) -> ::std::result::Result<Self, ::topology_api::DecodeError> {
                ::std::result::Result::Ok(Self { #(#idents: #decodes?),* })
            }

            fn value(&self, field: usize) -> ::topology_api::Value {
                match field {
                    #(#positions => #values,)*
                    _ => ::topology_api::Value::Null,
                }
            }

            #[inline]
            fn hash_field(&self, field: usize, hasher: &mut ::topology_api::KeyHasher) {
                match field {
                    #(#positions => #hashes,)*
                    _ => hasher.part(&[]),
                }
            }

            fn position(&self, name: &str) -> ::std::option::Option<usize> {
                match name {
                    #(#names => ::std::option::Option::Some(#positions),)*
                    _ => ::std::option::Option::None,
                }
            }
        }
    })
}
