//! Tuples that are enums: one of several tuples, for a bolt that reads streams of several types.
//!
//! A row is a byte for the variant, then the row of the tuple that it holds.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DataEnum, DeriveInput, Error, Fields, Ident, Result, Type, Variant};

const EXPECTED: &str = "a variant of a tuple enum holds one tuple: write `Word(Word)`";

fn held(variant: &Variant) -> Result<&Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(&fields.unnamed[0].ty),
        _ => Err(Error::new_spanned(variant, EXPECTED)),
    }
}

/// A stream's tuple must lead to one variant.
fn check_different(types: &[&Type]) -> Result<()> {
    let mut written = HashSet::new();
    match types.iter().find(|ty| !written.insert(quote!(#ty).to_string())) {
        None => Ok(()),
        Some(ty) => Err(Error::new_spanned(
            ty,
            "two variants hold this tuple: which of them would one of its stream become? Give \
             each stream a tuple of its own",
        )),
    }
}

/// Writes the implementation, and `From` for each variant.
pub(crate) fn expand(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let tuple = &input.ident;
    if data.variants.is_empty() || data.variants.len() > 256 {
        return Err(Error::new_spanned(tuple, "a tuple enum has 1 to 256 variants"));
    }
    let tuple_name = tuple.unraw().to_string();
    let types = data.variants.iter().map(held).collect::<Result<Vec<_>>>()?;
    check_different(&types)?;
    let names: Vec<&Ident> = data.variants.iter().map(|variant| &variant.ident).collect();
    let tags: Vec<u8> = (0..=u8::MAX).take(names.len()).collect();
    let tuples: Vec<TokenStream> =
        types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as ::topology_api::Tuple>)).collect();

    Ok(quote! {
        #(
            #[automatically_derived]
            impl ::std::convert::From<#types> for #tuple {
                fn from(tuple: #types) -> Self {
                    Self::#names(tuple)
                }
            }
        )*

        #[automatically_derived]
        impl ::topology_api::Tuple for #tuple {
            fn schema() -> ::topology_api::Schema {
                ::topology_api::Schema::dynamic(#tuple_name)
            }

            #[inline]
            fn weight(&self) -> usize {
                1 + match self { #(Self::#names(tuple) => #tuples::weight(tuple),)* }
            }

            #[inline]
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                match self {
                    #(Self::#names(tuple) => {
                        out.push(#tags);
                        #tuples::encode(tuple, out);
                    })*
                }
            }

            #[inline]
            fn decode(
                input: &mut &[u8],
            ) -> ::std::result::Result<Self, ::topology_api::DecodeError> {
                let tag = <u8 as ::topology_api::codec::FieldCodec>::decode(input)?;
                match tag {
                    #(#tags => #tuples::decode(input).map(Self::#names),)*
                    _ => ::std::result::Result::Err(
                        ::topology_api::DecodeError::new("an enum has an unknown variant"),
                    ),
                }
            }

            fn value(&self, field: usize) -> ::topology_api::Value {
                match self { #(Self::#names(tuple) => #tuples::value(tuple, field),)* }
            }

            fn hash_field(&self, field: usize, hasher: &mut ::topology_api::KeyHasher) {
                match self {
                    #(Self::#names(tuple) => #tuples::hash_field(tuple, field, hasher),)*
                }
            }

            fn position(&self, name: &str) -> ::std::option::Option<usize> {
                match self { #(Self::#names(tuple) => #tuples::position(tuple, name),)* }
            }
        }
    })
}
